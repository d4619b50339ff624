"""Foreign keys of planned tables, and what a merge would leave dangling.

A merge fires no trigger, so that no cascade runs, and with them PostgreSQL's
own checks of foreign keys are off. These here stand in for them; they lock as
those do, so that a user's delete and our insert cannot pass each other.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from psycopg import AsyncConnection
from psycopg.rows import class_row

from cutover.adapters.postgres import names
from cutover.adapters.postgres.catalog import Described, quoted
from cutover.adapters.postgres.runs import by_key, given, same
from cutover.adapters.postgres.session import texts
from cutover.adapters.postgres.statements import statement
from cutover.model.change import UNCHANGED, Key
from cutover.model.merge import Reference, Settled
from cutover.model.plan import Plan
from cutover.ports.database import Aside


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A foreign key as `references.sql` reads it; one of its two tables is planned."""

    name: str
    child: str  #: qualified
    child_sql: str
    columns: list[str]
    parent: str  #: qualified
    parent_sql: str
    parent_columns: list[str]

    def reference(self, plan: Plan) -> Reference | None:
        """The same in the engine's words; None when it is not one between planned tables on a planned key."""
        keys = {table.qualified: table.key for table in plan.tables}
        if self.child not in keys or sorted(self.parent_columns) != sorted(keys.get(self.parent, ())):
            return None
        column = dict(zip(self.parent_columns, self.columns, strict=True))
        ordered = tuple(column[name] for name in keys[self.parent])
        return Reference(child=self.child, columns=ordered, parent=self.parent)


async def foreign_keys(connection: AsyncConnection, plan: Plan) -> list[ForeignKey]:
    """Every foreign key that a planned table has, or that refers to one."""
    parameters = {"tables": [names.quoted(table) for table in plan.tables]}
    async with connection.cursor(row_factory=class_row(ForeignKey)) as cursor:
        return await (await cursor.execute(statement("references"), parameters)).fetchall()


async def without_parent(
    connection: AsyncConnection, key: ForeignKey, child: Described, keys: Sequence[Key]
) -> list[Aside]:
    """The rows of the child, out of these, whose parent is not there; a parent that is there stays."""
    matching, arrays = by_key(child, keys)
    named = ", ".join(f"t.{quoted(name)}" for name in child.table.key)
    filled = " and ".join(f"t.{quoted(name)} is not null" for name in key.columns)
    pairs = zip(key.parent_columns, key.columns, strict=True)
    joined = " and ".join(f"p.{quoted(theirs)} = t.{quoted(ours)}" for theirs, ours in pairs)
    found = await texts(
        connection,
        f"select {named} from {child.sql} as t, {matching} and {filled}"
        f" and (select 1 from {key.parent_sql} as p where {joined} for key share) is null",
        arrays,
    )
    reason = f"the row of {key.parent} that it refers to is not there (foreign key {key.name})"
    return [Aside(table=key.child, key=tuple(value or "" for value in row), reason=reason) for row in found]


async def still_referred_to(
    connection: AsyncConnection, key: ForeignKey, parent: Described, settled: Iterable[Settled]
) -> list[Aside]:
    """The rows of the parent, out of these, whose old values are gone and still referred to."""
    gone = [(one.key, values) for one in settled if (values := _values_lost(key, one)) is not None]
    if not gone:
        return []
    columns = [parent.named[name] for name in key.parent_columns]
    source, arrays = given(columns, [values for _, values in gone])
    found = await texts(
        connection,
        f"select u.n from {source}"
        f" where exists (select from {key.child_sql} as c where {same('c', key.columns, columns)})"
        f" and not exists (select from {key.parent_sql} as p where {same('p', key.parent_columns, columns)})",
        arrays,
    )
    reason = f"rows of {key.child} refer to it (foreign key {key.name})"
    return [Aside(table=key.parent, key=gone[int(n or 0) - 1][0], reason=reason) for (n,) in found]


def _values_lost(key: ForeignKey, one: Settled) -> list[str] | None:
    """What the row's referenced columns held; None when they hold it still, or nobody could refer to it."""
    if one.expected is None:
        return None
    before = [one.expected.get(name) for name in key.parent_columns]
    after = None if one.row is None else [one.row.get(name, UNCHANGED) for name in key.parent_columns]
    if after is not None and all(new in (old, UNCHANGED) for old, new in zip(before, after, strict=True)):
        return None
    values = [value for value in before if isinstance(value, str)]
    return values if len(values) == len(before) else None
