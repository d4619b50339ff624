"""Keys of every type that can be one: rows are copied, followed, compared and found by them."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from psycopg import AsyncRawCursor

from cutover.adapters.postgres.rows import PostgresRows
from cutover.model.change import Key
from resilience_tests.contract.database.link import Link, following, plan_of, table
from resilience_tests.contract.database.server import Database
from resilience_tests.contract.database.values import FANCY, ODD, OWN_TYPES, PLAIN

TYPES = (
    *("i8", "number", "money", "f8", "yes", "words", "padded", "letter", "title", "bytes", "docb", "uid"),
    *("day", "hourz", "atz", "span", "many", "host", "mac8", "i4range", "nranges", "varbits", "search"),
    *("place", "transaction8", "wanted", "oids", "mood", "pair", "small", "floats", "kind", "relation"),
)
"""Columns of each family of types that an index orders."""

KEYS = {f"by_{name}": (PLAIN | FANCY)[name] for name in TYPES}
SCHEMA = (
    *OWN_TYPES,
    *(f"create table {name} (id {kind} primary key, note text)" for name, (kind, _) in KEYS.items()),
)
PLAN = plan_of(*(table(name) for name in KEYS))
VALUES = st.tuples(*(st.lists(values, min_size=3, max_size=3) for _, values in KEYS.values()))
PAGE = 2


@pytest.fixture
async def link(database: Database, peer: Database) -> AsyncIterator[Link]:
    await peer.run(*[f"alter database {peer.name} set {name} = '{value}'" for name, value in ODD.items()])
    async with following(PLAN, database, peer, schema=SCHEMA) as made:
        yield made


@settings(
    max_examples=2,  # the first is of the plainest values
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(drawn=VALUES)
async def test_a_row_is_known_by_its_key_whatever_the_type(link: Link, drawn: tuple[list[str], ...]) -> None:
    here = PostgresRows(link.here.address("cutover_admin"), site="west", plan=PLAN)
    values = dict(zip(KEYS, drawn, strict=True))
    await write(link, {f"delete from {name}": [] for name in KEYS})
    await link.catch_up()
    await write(link, {inserted(name): values[name] for name in KEYS})
    await link.until_mark("in the log, and to be copied nevertheless")
    for name in KEYS:
        await copy(link, name)
    before = {name: await paged(link.rows, name) for name in KEYS}
    assert {name: await paged(here, name) for name in KEYS} == before
    for name, digests in before.items():
        assert 1 <= len(digests) <= 3
        assert await here.digests_of(f"public.{name}", list(digests)) == digests, name
        for key in digests:
            found, _ = await link.rows.read_again(f"public.{name}", key)
            assert found is not None, name
            assert found.changes[0].key == key  # type: ignore[union-attr]
    firsts = {name: next(iter(digests))[0] for name, digests in before.items()}  # one stays, edited
    await write(
        link, {f"update {name} set note = 'edited' where {named(name)}": [firsts[name]] for name in KEYS}
    )
    await write(link, {f"delete from {name} where not {named(name)}": [firsts[name]] for name in KEYS})
    await link.catch_up()
    for name in KEYS:
        left = await paged(link.rows, name)
        assert list(left) == [(firsts[name],)]
        assert left != before[name]
        assert await paged(here, name) == left
    await here.close_connections()


def named(name: str) -> str:
    """The condition for one row."""
    return f"id = $1::{KEYS[name][0]}"


def inserted(name: str) -> str:
    """The statement that makes a row of each value, where two of them are not one key."""
    rows = ", ".join(f"(${n}::{KEYS[name][0]}, 'first')" for n in (1, 2, 3))
    return f"insert into {name} values {rows} on conflict do nothing"


async def write(link: Link, statements: dict[str, list[str]]) -> None:
    """Run these, one transaction for all, at the site that is followed."""
    async with link.there.session() as session, session.transaction():
        for statement, values in statements.items():
            await AsyncRawCursor(session).execute(statement.encode(), values)


async def copy(link: Link, name: str) -> None:
    """Copy a table in chunks."""
    after: Key | None = None
    while True:
        chunk = await link.rows.read_chunk(f"public.{name}", after, PAGE)
        await link.place(chunk, (await link.until_mark(f"{name} after {after}"))[-1])
        if chunk.last is None:
            return
        after = chunk.last


async def paged(rows: PostgresRows, name: str) -> dict[Key, object]:
    """The digest of every row by its key, page by page."""
    found: dict[Key, object] = {}
    after: Key | None = None
    while True:
        page = await rows.digests(f"public.{name}", after, PAGE)
        assert not found.keys() & page.rows.keys()
        found |= page.rows
        if page.last is None:
            return found
        after = page.last
