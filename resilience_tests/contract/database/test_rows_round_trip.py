"""Every type goes through log and chunk and comes out as the same value."""

import json
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime, time

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import AsyncRawCursor
from psycopg.rows import TupleRow

from cutover.adapters.postgres.rows import PostgresRows
from cutover.model.change import UNCHANGED, Change, Key, Update
from cutover.model.merge import Settled
from cutover.model.position import Position
from resilience_tests.contract.database.link import GUARD, Link, following, plan_of, table
from resilience_tests.contract.database.server import Database
from resilience_tests.contract.database.sites import merge, site_of

Text = st.SearchStrategy[str]

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
NASTY = st.sampled_from(["", " ", "\\", '"', "'", "NULL", "null", "\\N", "{}", "a,b", "\t\r\n\v", "%s", "$1"])
WORDS = TEXT | NASTY
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
).map(json.dumps)
FOREVER = st.sampled_from(["infinity", "-infinity"])
DAYS = st.dates().map(date.isoformat) | st.sampled_from(["4713-01-01 BC", "5874897-12-31"])
MOMENTS = st.datetimes().map(datetime.isoformat) | FOREVER
TIMES = st.times().map(time.isoformat)
ZONES = st.sampled_from(["Z", "+05:30", "-08:00", "+00:00:01"])
INTERVALS = st.builds(
    "{} months {} days {} microseconds".format,
    st.integers(-(10**6), 10**6),
    st.integers(-(10**6), 10**6),
    st.integers(-(10**15), 10**15),
)
BITS = st.text("01", min_size=3, max_size=3)
SPANS = st.builds(
    lambda low, more, ends: f"{ends[0]}{low},{low + more}{ends[1]}",
    *(st.integers(-1000, 1000), st.integers(1, 1000), st.sampled_from(["[)", "(]", "[]"])),
) | st.sampled_from(["empty", "(,)", "[5,)", "(,5)"])


def whole(bits: int) -> Text:
    """Integers of so many bits."""
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1).map(str)


def listed(inner: Text) -> Text:
    """Arrays in PostgreSQL's text form."""
    return st.lists(st.none() | inner, max_size=4).map(
        lambda values: "{" + ",".join("NULL" if value is None else quoted(value) for value in values) + "}"
    )


def quoted(value: str) -> str:
    """An element of an array or a composite."""
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


PLAIN: dict[str, tuple[str, Text]] = {
    "i2": ("int2", whole(16)),
    "i4": ("int4", whole(32)),
    "i8": ("int8", whole(64)),
    "number": (
        "numeric",
        st.decimals(allow_nan=False, allow_infinity=False).map(str) | st.sampled_from(["NaN", "Infinity"]),
    ),
    "money": ("numeric(12,2)", st.decimals(-(10**9), 10**9, places=2).map(str)),
    "f4": ("float4", st.floats(width=32).map(repr)),
    "f8": ("float8", st.floats().map(repr)),
    "yes": ("bool", st.sampled_from(["t", "f"])),
    "words": ("text", WORDS),
    "short": ("varchar(20)", WORDS),
    "padded": ("char(20)", WORDS),
    "letter": ('"char"', st.sampled_from(["a", "", "\\377", "\\"])),
    "bytes": ("bytea", st.binary(max_size=20).map(lambda value: "\\x" + value.hex())),
    "doc": ("json", JSON),
    "docb": ("jsonb", JSON),
    "uid": ("uuid", st.uuids().map(str)),
    "day": ("date", DAYS | FOREVER),
    "hour": ("time", TIMES),
    "hourz": ("timetz", st.builds(str.__add__, TIMES, ZONES)),
    "at": ("timestamp", MOMENTS),
    "atz": ("timestamptz", st.builds(str.__add__, st.datetimes().map(datetime.isoformat), ZONES) | FOREVER),
    "span": ("interval", INTERVALS),
    "numbers": ("int4[]", listed(whole(32))),
    "grid": ("int4[]", st.just("[0:1][2:3]={{1,2},{3,NULL}}")),
    "many": ("text[]", listed(WORDS)),
    "docs": ("jsonb[]", listed(JSON)),
    "host": ("inet", st.ip_addresses().map(str) | st.just("10.1.2.3/8")),
    "net": ("cidr", st.ip_addresses().map(str)),
    "mac": ("macaddr", st.just("08:00:2b:01:02:03")),
    "range": ("int4range", SPANS),
    "nrange": ("numrange", SPANS),
    "ranges": (
        "int4multirange",
        st.lists(SPANS.filter(lambda span: span != "empty"), max_size=3).map(
            lambda spans: "{" + ",".join(spans) + "}"
        ),
    ),
    "bits": ("bit(3)", BITS),
    "varbits": ("varbit", BITS),
    "point": ("point", st.just("(1.5,-2)")),
    "box": ("box", st.just("(3,4),(1,2)")),
    "boxes": ("box[]", st.just("{(3,4),(1,2);(1,1),(0,0)}")),
    "search": ("tsvector", st.just("'a':1 'b':2A")),
    "place": ("pg_lsn", st.just("16/B374D848")),
}
FANCY: dict[str, tuple[str, Text]] = {
    "mood": ("mood", st.sampled_from(["good", "so, so"])),
    "moods": ("mood[]", listed(st.sampled_from(["good", "so, so"]))),
    "pair": ("pair", st.builds(lambda n, text: f"({n},{quoted(text)})", whole(32), WORDS)),
    "pairs": ("pair[]", listed(st.builds(lambda n, text: f"({n},{quoted(text)})", whole(32), WORDS))),
    "small": ("small", st.integers(0, 9).map(str)),
    "coded": ("code", st.text("abc", min_size=3, max_size=3)),
    "kind": ("regtype", st.sampled_from(["integer", "text"])),
}
KINDS = {"plain": PLAIN, "fancy": FANCY}


def created(name: str, columns: dict[str, tuple[str, Text]]) -> str:
    """The statement that makes a table of these columns."""
    listed = ", ".join(f'"{column}" {kind}' for column, (kind, _) in columns.items())
    return f"create table {name} (id text primary key, large text, {listed})"


SCHEMA = (
    "create type mood as enum ('good', 'so, so', 'bad')",
    "create type pair as (a int, b text)",
    "create domain small as int check (value < 10)",
    "create domain code as char(3)",
    *(created(name, columns) for name, columns in KINDS.items()),
    *(f"alter table {name} alter large set storage external" for name in KINDS),
)
PLAN = plan_of(*(table(name) for name in KINDS))


def rows(columns: dict[str, tuple[str, Text]]) -> st.SearchStrategy[list[str | None]]:
    """Values of all columns, any of them null."""
    each = [st.none() | values for _, values in columns.values()]
    return st.tuples(*each).map(list)


ODD = {
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Kathmandu",
    "bytea_output": "escape",
    "extra_float_digits": "-5",
}
"""How the database that is read prints, unless told otherwise: most of it would lose something."""


@pytest.fixture
async def link(database: Database, peer: Database) -> AsyncIterator[Link]:
    await peer.run(*[f"alter database {peer.name} set {name} = '{value}'" for name, value in ODD.items()])
    async with following(PLAN, database, peer, schema=SCHEMA) as made:
        yield made


@pytest.mark.parametrize("name", list(KINDS))
@settings(
    max_examples=30,
    deadline=None,
    derandomize=True,
    phases=[
        Phase.explicit,
        Phase.generate,
    ],  # a failure names its values; shrinking on a server takes minutes
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
async def test_every_value_arrives_as_it_was(link: Link, name: str, data: st.DataObject) -> None:
    key = data.draw(WORDS, "key")
    first, second = data.draw(rows(KINDS[name]), "first"), data.draw(rows(KINDS[name]), "second")
    columns = KINDS[name]
    async with link.there.session() as session:
        cursor = AsyncRawCursor(session)
        await cursor.execute(f"delete from {name}".encode())
        await cursor.execute(insert(name, columns).encode(), [key, "large" * 3000, *first])
        await cursor.execute(update(name, columns).encode(), [key, *second])
        batch = await link.until_mark("all")
        await link.apply(batch)
        assert await printed(link.here, name) == await printed(link.there, name)
        await compare(link, name)
        await merge_out_and_in(link, name, (key,), batch[-2].changes[-1])
        await cursor.execute(update(name, columns).encode(), [key, *first])
        chunk = await link.rows.read_chunk(f"public.{name}", None, 10)
        batch = await link.until_mark("chunk")
        await link.place(chunk, batch[-1])
        assert await printed(link.here, name) == await printed(link.there, name)
        await compare(link, name)


async def merge_out_and_in(link: Link, name: str, key: Key, logged: Change) -> None:
    """A row is read as the log carried it, and a merge writes it back as it was."""
    qualified, before = f"public.{name}", await printed(link.there, name)
    assert isinstance(logged, Update)
    row = (await link.rows.rows_of(qualified, [key]))[key]
    assert row == {
        column: row[column] if value is UNCHANGED else value for column, value in logged.row.items()
    }
    async with site_of(link.there, plan=PLAN) as east:
        for expected, wanted in ((row, None), (None, row)):
            settled = Settled(table=qualified, key=key, expected=expected, row=wanted)
            assert not await merge(east, [settled], upto=Position("7", 1, 7), guard=GUARD)
    assert await printed(link.there, name) == before


async def compare(link: Link, name: str) -> None:
    """Both sites give equal digests, under equal keys."""
    here = PostgresRows(link.here.address("cutover_admin"), site="west", plan=PLAN)
    qualified = f"public.{name}"
    theirs = await link.rows.digests(qualified, None, 100)
    assert theirs == await here.digests(qualified, None, 100)
    assert await here.digests_of(qualified, list(theirs.rows)) == theirs.rows
    assert len(theirs.rows) == 1
    await here.close_connections()


async def printed(database: Database, name: str) -> Sequence[TupleRow]:
    """The rows as text, the same at both sites."""
    async with database.session() as session:
        for setting, value in ODD.items():
            await session.execute(f"set {setting} = '{'ISO' if setting == 'DateStyle' else value}'".encode())
        await session.execute("set extra_float_digits = 3")
        return await (await session.execute(f"select t::text from {name} as t".encode())).fetchall()


def insert(name: str, columns: dict[str, tuple[str, Text]]) -> str:
    given = ", ".join(f"${n}::{kind}" for n, (kind, _) in enumerate(columns.values(), 3))
    return f"insert into {name} values ($1, $2, {given})"


def update(name: str, columns: dict[str, tuple[str, Text]]) -> str:
    pairs = enumerate(columns.items(), 2)
    sets = ", ".join(f'"{column}" = ${n}::{kind}' for n, (column, (kind, _)) in pairs)
    return f"update {name} set {sets} where id = $1"
