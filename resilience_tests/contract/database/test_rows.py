"""Digests of two sites agree where their rows do, and nowhere else."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from cutover.adapters.postgres.rows import PostgresRows, parse_snapshot
from cutover.errors import Refused
from cutover.model.change import Key, ObjectName
from cutover.model.plan import ObjectOf
from cutover.model.position import Snapshot
from resilience_tests.contract.database.link import plan_of, table
from resilience_tests.contract.database.server import Database

VIDEO = ObjectOf(key_column="video", digest_column="sha", bucket="videos")
PLAN = plan_of(table("posts", objects=(VIDEO, ObjectOf(key_column="image"))), table("likes", "post", "who"))
POSTS = "create table posts (id bigint primary key, title text, video text, sha text, image text)"
OTHER_ORDER = (
    "create table posts (image text, sha text, title text, gone int, video text, id bigint primary key)",
    "alter table posts drop gone",
)
LIKES = 'create table likes (post bigint, who text collate "C", primary key (who, post))'
ROWS = (
    "insert into posts (id, title, video, sha, image)"
    " select n, 't' || n, 'v' || n, 's' || n, null from generate_series(1, 12) n",
    "insert into likes select n % 3, 'w' || n from generate_series(1, 12) n",
)


@dataclass(frozen=True)
class Sites:
    east: PostgresRows
    west: PostgresRows


@pytest.fixture
async def sites(database: Database, peer: Database) -> AsyncIterator[Sites]:
    await peer.run(POSTS, LIKES, *ROWS)
    await database.run(*OTHER_ORDER, LIKES, *ROWS)
    made = Sites(
        PostgresRows(peer.address("cutover_admin"), site="east", plan=PLAN),
        PostgresRows(database.address("cutover_admin"), site="west", plan=PLAN),
    )
    yield made
    await made.east.close_connections()
    await made.west.close_connections()


async def test_equal_rows_have_equal_digests_whatever_the_order_of_columns(sites: Sites) -> None:
    east = await sites.east.digests("public.posts", None, 100)
    assert east == await sites.west.digests("public.posts", None, 100)
    assert (len(east.rows), east.last) == (12, None)


@pytest.mark.parametrize(
    "change",
    [
        "update posts set title = 'other' where id = 5",
        "update posts set title = null where id = 5",
        "update posts set title = '', video = 't5' where id = 5",
        "update posts set image = '' where id = 5",
        "delete from posts where id = 5",
    ],
)
async def test_a_row_that_differs_is_found(sites: Sites, database: Database, change: str) -> None:
    await database.run(change)
    east = (await sites.east.digests("public.posts", None, 100)).rows
    west = (await sites.west.digests("public.posts", None, 100)).rows
    assert {key for key in east if west.get(key) != east[key]} == {("5",)}


async def test_pages_go_through_the_table_in_the_order_of_its_index(sites: Sites) -> None:
    found: list[Key] = []
    after: Key | None = None
    while True:
        page = await sites.east.digests("public.likes", after, 5)
        found += page.rows
        after = page.last
        if after is None:
            break
    assert found == sorted(found, key=lambda key: (key[1], int(key[0])))
    assert len(found) == 12


async def test_rows_are_asked_for_by_key_and_those_that_are_gone_are_left_out(sites: Sites) -> None:
    found = await sites.east.digests_of("public.likes", [("1", "w1"), ("2", "w1"), ("2", "w2")])
    assert set(found) == {("1", "w1"), ("2", "w2")}
    assert await sites.east.digests_of("public.likes", []) == {}


async def test_a_digest_names_the_objects_of_its_row(sites: Sites, peer: Database) -> None:
    await peer.run("update posts set image = 'i1' where id = 1", "update posts set video = null where id = 2")
    found = await sites.east.digests_of("public.posts", [("1",), ("2",)])
    assert found[("1",)].objects == (
        ObjectName(bucket="videos", key="v1", sha256="s1"),
        ObjectName(bucket=None, key="i1", sha256=None),
    )
    assert found[("2",)].objects == ()


async def test_keys_are_quoted_and_not_read_as_sql(sites: Sites, peer: Database) -> None:
    nasty = 'x\'); drop table likes; --\\ %s $1 "q"'
    await peer.run(
        "insert into likes values (9, 'x''); drop table likes; --\\ %%s $1 \"q\"')".replace("%%", "%")
    )
    assert set(await sites.east.digests_of("public.likes", [("9", nasty)])) == {("9", nasty)}
    chunk = await sites.east.read_chunk("public.likes", ("9", nasty), 5)
    assert chunk.rows == 0
    assert (await sites.east.read_again("public.likes", ("9", nasty)))[0] is not None


async def test_a_row_read_again_tells_which_transactions_it_shows(sites: Sites, peer: Database) -> None:
    async with peer.session() as writer:
        await writer.execute("begin; insert into likes values (7, 'new')")
        ((xid,),) = await (await writer.execute("select pg_current_xact_id()::text::bigint")).fetchall()
        row, snapshot = await sites.east.read_again("public.likes", ("7", "new"))
        assert (row, snapshot.sees(xid)) == (None, False)
        await writer.execute("commit")
    row, snapshot = await sites.east.read_again("public.likes", ("7", "new"))
    assert row is not None
    assert snapshot.sees(xid)


async def test_a_table_that_is_not_there_is_refused_by_name(sites: Sites, peer: Database) -> None:
    await peer.run("drop table likes")
    with pytest.raises(Refused, match=r"public\.likes"):
        await sites.east.read_chunk("public.likes", None, 5)


def test_a_snapshot_is_read_from_its_text() -> None:
    assert parse_snapshot("5:9:6,8") == Snapshot(5, 9, frozenset({6, 8}))
    assert parse_snapshot("5:5:") == Snapshot(5, 5)
