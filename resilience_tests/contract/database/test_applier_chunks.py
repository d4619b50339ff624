"""Copying beside the stream: rows that were there before arrive, and nothing older overwrites."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cutover.model.change import Chunk, Key, Transaction
from cutover.model.observation import Copying
from cutover.model.plan import ObjectOf
from cutover.ports.database import Aside
from cutover.protocol.copying import keys_touched, superseded
from resilience_tests.contract.database.link import GUARD, Link, following, plan_of, table
from resilience_tests.contract.database.server import SUPERUSER, Database

SCHEMA = (
    "create type mood as enum ('good', 'bad')",
    "create table posts (id bigint primary key, title text unique, moods mood[], kind regtype)",
    "create table parts (post int, n int, file text, primary key (n, post))",
)
PLAN = plan_of(
    table("posts"),
    table("parts", "post", "n", objects=(ObjectOf(key_column="file"), ObjectOf(key_column="n"))),
)
FILLED = (
    "insert into posts select n, 'p' || n from generate_series(1, 25) n",
    "insert into parts select n % 5, n, 'f' || n from generate_series(1, 25) n",
)
POSTS = "select id, title, moods::text, kind::text from posts order by id"
ASIDE = "select key::text, reason, row ->> 'title' from cutover.set_aside order by 1"


@pytest.fixture
async def link(database: Database, peer: Database) -> AsyncIterator[Link]:
    async with following(PLAN, database, peer, schema=SCHEMA, filled=FILLED, backfill=True) as made:
        yield made


async def read(
    link: Link, name: str, after: Key | None = None, limit: int = 100
) -> tuple[Chunk, Transaction]:
    """A chunk and its mark; what came before the mark is applied."""
    chunk = await link.rows.read_chunk(f"public.{name}", after, limit)
    batch = await link.until_mark("chunk")
    await link.apply(batch, upserting=[chunk.table])
    return chunk, batch[-1]


async def test_chunks_bring_a_table_in_pieces_and_progress_is_kept(
    link: Link, database: Database, peer: Database
) -> None:
    first, mark = await read(link, "posts", None, 20)
    assert (first.rows, first.last) == (20, ("20",))
    await link.place(first, mark)
    begun = Copying(table="public.posts", after=("20",), done=False)
    assert begun in await link.applier.copying()
    second, mark = await read(link, "posts", first.last, 20)
    assert (second.rows, second.last) == (5, None)
    await link.place(second, mark)
    assert await database.rows(POSTS) == await peer.rows(POSTS)
    assert {item.table: item.done for item in await link.applier.copying()} == {
        "public.posts": True,
        "public.parts": False,
    }
    assert await link.applier.durable() == mark.position


async def test_a_table_that_ends_with_a_chunk_is_followed_by_an_empty_one(link: Link) -> None:
    full = await link.rows.read_chunk("public.posts", None, 25)
    assert (full.rows, full.last) == (25, ("25",))
    rest = await link.rows.read_chunk("public.posts", full.last, 25)
    assert (rest.rows, rest.last) == (0, None)


async def test_chunks_of_a_key_of_two_columns_go_by_its_index(
    link: Link, database: Database, peer: Database
) -> None:
    after: Key | None = None
    for _ in range(4):
        chunk, mark = await read(link, "parts", after, 7)
        await link.place(chunk, mark)
        after = chunk.last
    assert after is None
    parts = "select * from parts order by n"
    assert await database.rows(parts) == await peer.rows(parts)


async def test_a_chunk_names_the_objects_of_its_rows(link: Link, peer: Database) -> None:
    await peer.run("update parts set file = null where n > 1")
    chunk = await link.rows.read_chunk("public.parts", None, 2)
    assert [(owner.key, [name.key for name in owner.objects]) for owner in chunk.owners] == [
        (("1", "1"), ["f1", "1"]),
        (("2", "2"), ["2"]),
    ]


async def test_a_chunk_may_be_placed_twice(link: Link, database: Database, peer: Database) -> None:
    chunk, mark = await read(link, "posts")
    await link.place(chunk, mark)
    await link.place(chunk, mark)
    assert await database.rows(POSTS) == await peer.rows(POSTS)


async def test_rows_that_a_chunk_does_not_have_stay(link: Link, database: Database) -> None:
    """Absence is not deletion: only the log removes rows."""
    async with database.session("cutover_applier") as old:
        await old.execute("insert into public.posts values (26, 'only here'), (3, 'older')")
    chunk, mark = await read(link, "posts")
    await link.place(chunk, mark)
    rows = await database.rows("select id, title from posts where id in (3, 26) order by id")
    assert rows == [(3, "p3"), (26, "only here")]
    assert await database.rows("select count(*) from posts") == [(26,)]


@pytest.mark.parametrize("here", [3, 150])
async def test_a_row_that_the_stream_brought_since_is_not_overwritten(
    link: Link, database: Database, peer: Database, here: int
) -> None:
    """`here` rows of the chunk's range are here already: few are looked at in passing, many are staged."""
    await peer.run(f"insert into posts select n, 'q' || n from generate_series(26, {25 + here}) n")
    chunk = await link.rows.read_chunk("public.posts", None, 1000)
    await peer.run("update posts set title = 'newer' where id = 7", "delete from posts where id = 8")
    batch = await link.until_mark("chunk")
    await link.apply(batch, upserting=["public.posts"])
    touched = {key: item.xid for item in batch for _, key in keys_touched(item)}
    await link.place(chunk, batch[-1], without=superseded(chunk.snapshot, touched.items()))
    assert await database.rows(POSTS) == await peer.rows(POSTS)
    assert await database.rows("select title from posts where id = 7") == [("newer",)]


async def test_a_commit_is_in_the_log_before_any_snapshot_sees_it(
    link: Link, database: Database, peer: Database
) -> None:
    """Why a chunk goes by its snapshot, and not by two marks around its reading.

    Between its commit record and its visibility a transaction waits here for a
    standby that never comes. It stands in the log before both marks, so that by
    these the chunk would count as newer than it, and is not seen by the chunk.
    """
    async with committed_but_not_visible(peer, "update posts set title = 'new' where id = 7") as update:
        early = await link.until_mark("low mark")
        chunk = await link.rows.read_chunk("public.posts", None, 100)
        late = await link.until_mark("high mark")
        assert not update.done()
    assert keys(early) == {("7",)}
    assert keys(late) == set()
    await link.apply([*early, *late], upserting=["public.posts"])
    by_marks, by_snapshot = keys(late), superseded(chunk.snapshot, [(("7",), early[0].xid)])
    assert by_snapshot == {("7",)}
    await link.place(chunk, late[-1], without=by_snapshot)
    assert await database.rows(POSTS) == await peer.rows(POSTS)
    await link.place(chunk, late[-1], without=by_marks)
    assert await database.rows("select title from posts where id = 7") == [("p7",)]  # lost


async def test_a_row_without_its_object_is_kept_back(link: Link, database: Database) -> None:
    chunk, mark = await read(link, "posts")
    aside = [Aside(table="public.posts", key=("4",), reason="missing")]
    await link.applier.place(chunk, without=(), aside=aside, mark=mark, guard=GUARD)
    assert await database.rows("select count(*) from posts") == [(24,)]
    assert await database.rows(ASIDE) == [('["4"]', "missing", "p4")]
    await link.applier.place(chunk, without=(), aside=(), mark=mark, guard=GUARD)
    assert await database.rows("select count(*) from posts") == [(25,)]
    assert await database.rows(ASIDE) == []


async def test_refused_rows_of_a_chunk_are_set_aside_and_the_rest_comes(
    link: Link, database: Database
) -> None:
    await database.run("alter table posts add check (id not in (4, 5, 19))")
    chunk, mark = await read(link, "posts")
    await link.place(chunk, mark)
    assert await database.rows("select count(*) from posts") == [(22,)]
    found = await database.rows(ASIDE)
    assert [(key, title) for key, _, title in found] == [('["19"]', "p19"), ('["4"]', "p4"), ('["5"]', "p5")]
    assert all("23514" in str(reason) for _, reason, _ in found)


async def test_types_that_the_other_database_numbers_otherwise_arrive(
    link: Link, database: Database, peer: Database
) -> None:
    await peer.run("update posts set moods = '{good,NULL,bad}', kind = 'mood' where id = 3")
    other = "create type shift as enum ('x')", "alter table posts alter moods type text[] using moods::text[]"
    await database.run(*other, "drop type mood", "create type mood as enum ('good', 'bad')")
    await database.run("alter table posts alter moods type mood[] using moods::mood[]")
    chunk, mark = await read(link, "posts")
    await link.place(chunk, mark)
    assert await database.rows(POSTS) == await peer.rows(POSTS)


def keys(batch: list[Transaction]) -> set[Key]:
    """Keys that a batch touches."""
    return {key for item in batch for _, key in keys_touched(item)}


@asynccontextmanager
async def committed_but_not_visible(
    database: Database, statement: str
) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a statement whose commit is durable and waits, until the end of this, to be seen."""
    await database.run(
        "alter system set synchronous_standby_names = 'nobody'", "select pg_reload_conf()", role=SUPERUSER
    )
    try:
        await database.until("select current_setting('synchronous_standby_names') = 'nobody'")
        task = asyncio.create_task(database.run(statement))
        await database.until("select count(*) = 1 from pg_stat_activity where wait_event = 'SyncRep'")
        yield task
    finally:
        await database.run(
            "alter system reset synchronous_standby_names", "select pg_reload_conf()", role=SUPERUSER
        )
    await task
