"""What our things are called in a site's database; slots and origins are known to the whole server."""

import hashlib
import re

from psycopg import sql

from cutover.model.plan import Table

PUBLICATION = "cutover"
TRIGGER = "cutover_fence"
APPLIER = "cutover_applier"  #: the role that the fence lets pass

FENCE_KEY = 7166762404106564097
"""Advisory lock: shared by every writer until its commit, exclusive while a site is closed."""

SETUP_KEY = 7166762404106564098
"""Advisory lock: one session at a time installs, removes, makes or drops the slot."""


def slot(database: str) -> str:
    """The slot that keeps this database's log for the peer."""
    return f"cutover_{_safe(database)}"


def origin(database: str) -> str:
    """The replication origin under which this database applies its peer's changes."""
    return f"cutover_{database}"


def _safe(name: str) -> str:
    """The name in the letters that a slot may have; a digest keeps changed names apart."""
    if re.fullmatch(r"[a-z0-9_]{1,55}", name):
        return name
    return re.sub(r"[^a-z0-9_]", "_", name)[:46] + "_" + hashlib.sha256(name.encode()).hexdigest()[:8]


def quoted(table: Table) -> str:
    """The table's name as SQL takes it (`to_regclass` too), whatever it is made of."""
    return sql.Identifier(table.schema, table.name).as_string()
