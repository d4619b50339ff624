"""A planned table as the server's catalog describes it, and the SQL that names its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from psycopg import AsyncConnection

from cutover.adapters.postgres import names
from cutover.adapters.postgres.session import texts
from cutover.errors import Refused
from cutover.model.change import Key
from cutover.model.plan import Table

ALWAYS = "a"  # pg_attribute.attidentity of GENERATED ALWAYS AS IDENTITY


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column that is written; generated ones are not."""

    name: str
    type: str  #: as SQL, without a modifier: a cast to it never cuts a value
    array: str | None  #: as SQL, the type of an array of these; None: none that is read like others
    identity: str  #: ALWAYS, by default ("d") or none ("")
    portable: bool  #: whether its binary form can be read, and means the same, in every database


@dataclass(frozen=True)
class Described:
    """A planned table with its columns, in their order."""

    table: Table
    columns: tuple[Column, ...]
    order: tuple[str, ...]  #: the key's columns as its index has them: reading in another order sorts

    @cached_property
    def named(self) -> dict[str, Column]:
        """The columns by name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def sql(self) -> str:
        """The table's name."""
        return names.quoted(self.table)

    @cached_property
    def keys(self) -> tuple[Column, ...]:
        """The columns of the plan's key."""
        return tuple(self.named[name] for name in self.table.key)

    @cached_property
    def key_list(self) -> str:
        """The key's columns, for an index or a conflict target."""
        return ", ".join(quoted(name) for name in self.table.key)

    @cached_property
    def order_list(self) -> str:
        """The key's columns in the order of their index."""
        return ", ".join(quoted(name) for name in self.order)

    @cached_property
    def column_list(self) -> str:
        """All columns."""
        return ", ".join(quoted(column.name) for column in self.columns)

    def keys_of(self, alias: str) -> list[str]:
        """The key's columns of the table under this alias."""
        return [f"{alias}.{quoted(name)}" for name in self.table.key]

    def columns_of(self, alias: str) -> list[str]:
        """All columns of the table under this alias."""
        return [f"{alias}.{quoted(column.name)}" for column in self.columns]

    @cached_property
    def portable(self) -> bool:
        """Whether rows may be passed on in binary form."""
        return all(column.portable for column in self.columns)

    def constant(self, key: Key) -> str:
        """A key as a constant row, in the order of the index."""
        values = dict(zip(self.table.key, key, strict=True))
        return f"({', '.join(f'{literal(values[name])}::{self.named[name].type}' for name in self.order)})"

    def within(self, after: Key | None, last: Key | None) -> str:
        """The condition for keys past `after` and up to `last`."""
        parts = [] if after is None else [f"({self.order_list}) > {self.constant(after)}"]
        if last is not None:
            parts.append(f"({self.order_list}) <= {self.constant(last)}")
        return " and ".join(parts) or "true"

    def among(self, keys: Sequence[Key]) -> str:
        """The condition for one of these keys."""
        if len(self.keys) == 1:
            (column,) = self.keys
            values = ", ".join(f"{literal(key[0])}::{column.type}" for key in keys)
            return f"{quoted(column.name)} in ({values})" if keys else "false"
        return " or ".join(f"({self.order_list}) = {self.constant(key)}" for key in keys) or "false"


# Of the server's own types reg* name things by numbers of this database, an empty tsquery or vector
# of numbers is not read again in its binary form, and aclitem and gtsvector have none.
_COLUMNS = """
select a.attname,
    quote_ident(n.nspname) || '.' || quote_ident(t.typname),
    case when t.typtype in ('b', 'e', 'r') and e.typdelim = ',' then
        quote_ident(en.nspname) || '.' || quote_ident(e.typname) end,
    a.attidentity,
    t.typtype = 'e' or t.oid < 16384
        and t.typname !~ '^_?(reg|(tsquery|int2vector|oidvector|aclitem|gtsvector)$)'
from pg_attribute a
    join pg_type t on t.oid = a.atttypid
    join pg_namespace n on n.oid = t.typnamespace
    left join pg_type e on e.oid = t.typarray
    left join pg_namespace en on en.oid = e.typnamespace
where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
order by a.attnum
"""

_KEY_INDEX = """
select a.attname
from (
    select i.indrelid, i.indkey from pg_index i
    where i.indrelid = to_regclass($1) and i.indisunique and i.indisvalid and i.indimmediate
        and i.indpred is null and i.indexprs is null
        and (select array_agg(k.attname::text order by k.attname::text) from pg_attribute k
            where k.attrelid = i.indrelid and k.attnum = any(i.indkey[0:i.indnkeyatts - 1]))
            = (select array_agg(name order by name) from unnest($2::text[]) as name)
    order by i.indisprimary desc, i.indexrelid
    limit 1
) as chosen
    cross join lateral unnest(chosen.indkey) with ordinality as part (attnum, n)
    join pg_attribute a on a.attrelid = chosen.indrelid and a.attnum = part.attnum
where part.n <= $3::int
order by part.n
"""


async def describe(connection: AsyncConnection[Any], site: str, table: Table) -> Described:
    """Read a table's columns; Refused when it is not there, or without a column of its key."""
    rows = await texts(connection, _COLUMNS, [names.quoted(table)])
    columns = tuple(
        Column(
            name=name or "", type=kind or "", array=array, identity=identity or "", portable=portable == "t"
        )
        for name, kind, array, identity, portable in rows
    )
    missing = sorted(set(table.key) - {column.name for column in columns})
    if missing:
        what = f"no column {missing[0]!r} in {table.qualified}" if columns else f"no table {table.qualified}"
        raise Refused(f"site {site!r} has {what}, which the plan names")
    found = [names.quoted(table), sorted(table.key), len(table.key)]
    order = tuple(name or "" for (name,) in await texts(connection, _KEY_INDEX, found))
    return Described(table, columns, order or table.key)


def quoted(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text constant as SQL, in a session with standard_conforming_strings on."""
    return "'" + text.replace("'", "''") + "'"
