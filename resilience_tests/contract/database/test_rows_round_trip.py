"""Every type goes through log and chunk and comes out as the same value."""

from collections.abc import AsyncIterator, Sequence

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import AsyncRawCursor, Error
from psycopg.rows import TupleRow

from cutover.adapters.postgres.rows import PostgresRows
from cutover.errors import Refused
from cutover.model.change import UNCHANGED, Change, Key, Update
from cutover.model.merge import Settled
from cutover.model.position import Position
from resilience_tests.contract.database.link import GUARD, Link, following, plan_of, table
from resilience_tests.contract.database.server import Database
from resilience_tests.contract.database.sites import merge, site_of
from resilience_tests.contract.database.values import FANCY, ODD, OWN_TYPES, PLAIN, WORDS, Columns

KINDS = {"plain": PLAIN, "fancy": FANCY}
UNSENT = {
    "aclitem": "platform=r/cutover_admin",
    "aclitem[]": "{platform=r/cutover_admin,=X/platform}",
    "gtsvector": None,
    "int2vector": "",
    "oidvector[]": '{"","1 2"}',
    "regtype": "mood",
    "tsquery": "",
    "tsquery[]": '{"","\'a\'"}',
}
"""Types whose binary form is not there, names something by its number here, or cannot be read again."""

TAKES_NO_VALUE = "cannot accept a value of type"
LEFT_OUT = {
    "gtsvector": ("", TAKES_NO_VALUE),
    "pg_brin_bloom_summary": ("", TAKES_NO_VALUE),
    "pg_brin_minmax_multi_summary": ("", TAKES_NO_VALUE),
    "pg_dependencies": ("", TAKES_NO_VALUE),
    "pg_mcv_list": ("", TAKES_NO_VALUE),
    "pg_ndistinct": ("", TAKES_NO_VALUE),
    "pg_node_tree": ("", TAKES_NO_VALUE),
    "xml": ("<a/>", "unsupported XML feature"),
}
"""Types that no value is sent of, each with a value, and why the server here does not take it."""


def created(name: str, columns: Columns) -> str:
    """The statement that makes a table of these columns."""
    listed = ", ".join(f'"{column}" {kind}' for column, (kind, _) in columns.items())
    return f"create table {name} (id text primary key, large text, {listed})"


SCHEMA = (
    *OWN_TYPES,
    *(created(name, columns) for name, columns in KINDS.items()),
    *(f"alter table {name} alter large set storage external" for name in KINDS),
    *(f"create table unsent{n} (id int primary key, value {kind})" for n, kind in enumerate(UNSENT)),
)
PLAN = plan_of(*(table(name) for name in [*KINDS, *(f"unsent{n}" for n in range(len(UNSENT)))]))


def rows(columns: Columns) -> st.SearchStrategy[list[str | None]]:
    """Values of all columns, any of them null."""
    each = [st.none() | values for _, values in columns.values()]
    return st.tuples(*each).map(list)


@pytest.fixture
async def link(database: Database, peer: Database) -> AsyncIterator[Link]:
    await peer.run(*[f"alter database {peer.name} set {name} = '{value}'" for name, value in ODD.items()])
    await peer.run("create type shift as enum ('from here on types have other numbers than at the follower')")
    async with following(PLAN, database, peer, schema=SCHEMA) as made:
        yield made


@pytest.mark.parametrize("name", list(KINDS))
@settings(
    max_examples=20,
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


async def test_no_type_of_the_server_is_left_out_without_a_reason(link: Link) -> None:
    """Its base types, ranges and multiranges: arrays, composites, enums and domains are made of these."""
    found = await link.there.rows(
        "select typname from pg_type as t where typnamespace = 'pg_catalog'::regnamespace"
        " and typtype in ('b', 'r', 'm') and not exists (select from pg_type where typarray = t.oid)"
        " and not exists (select from pg_attribute"
        " where attrelid in ('plain'::regclass, 'fancy'::regclass) and atttypid = t.oid)"
    )
    assert {name for (name,) in found} == set(LEFT_OUT)
    for name, (value, why) in LEFT_OUT.items():
        with pytest.raises(Error, match=why):
            await link.there.run(f"select '{value}'::pg_catalog.{name}")


async def test_what_has_no_binary_form_that_can_be_read_again_is_copied_all_the_same(link: Link) -> None:
    for n, value in enumerate(UNSENT.values()):
        async with link.there.session() as session:
            insert = f"insert into unsent{n} values (1, $1)"
            await AsyncRawCursor(session).execute(insert.encode(), [value])
        chunk = await link.rows.read_chunk(f"public.unsent{n}", None, 10)
        await link.place(chunk, (await link.until_mark(f"chunk {n}"))[-1])
        assert await printed(link.here, f"unsent{n}") == await printed(link.there, f"unsent{n}")


@pytest.mark.xfail(
    strict=True,
    raises=Refused,
    reason="errors of class 42 count as those of a statement, and the batch is refused again and again",
)
@pytest.mark.parametrize(
    ("kind", "value"),
    [("regtype", "'only_there'::regtype"), ("regproc", "'abs(int)'::regprocedure::oid::regproc")],
    ids=["which is not here", "which are several here"],
)
async def test_a_row_that_names_something_is_set_aside_and_holds_up_nobody(
    database: Database, peer: Database, kind: str, value: str
) -> None:
    plan = plan_of(table("naming"), table("other"))
    schema = f"create table naming (id int primary key, value {kind})"
    other = "create table other (id int primary key)"
    async with following(plan, database, peer, schema=(schema, other)) as link:
        await peer.run("create type only_there as enum ()")
        await peer.run(f"insert into naming values (1, {value})", "insert into other values (1)")
        assert [row.table for row in await link.catch_up()] == ["public.naming"]
        assert await database.rows("select id from other") == [(1,)]


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


def insert(name: str, columns: Columns) -> str:
    given = ", ".join(f"${n}::{kind}" for n, (kind, _) in enumerate(columns.values(), 3))
    return f"insert into {name} values ($1, $2, {given})"


def update(name: str, columns: Columns) -> str:
    pairs = enumerate(columns.items(), 2)
    sets = ", ".join(f'"{column}" = ${n}::{kind}' for n, (column, (kind, _)) in pairs)
    return f"update {name} set {sets} where id = $1"
