"""Changes of the log become the same rows at the other site, once and in order."""

from resilience_tests.contract.database.link import following, plan_of, table
from resilience_tests.contract.database.server import Database

POSTS = (
    "create table posts (id bigint generated always as identity primary key, title text unique, views int)"
)
LIKES = (
    "create table likes (post bigint references posts on delete cascade, who text, primary key (post, who))"
)
PLAN = plan_of(table("posts"), table("likes", "post", "who"))
SCHEMA = (POSTS, LIKES)


async def test_a_transaction_over_two_tables_arrives_as_one(database: Database, peer: Database) -> None:
    async with following(PLAN, database, peer, schema=SCHEMA) as link:
        await peer.run(
            "begin; insert into posts (title, views) values ('one', 0), ('two', 0);"
            " insert into likes values (1, 'ann'), (1, 'bob'), (2, 'ann');"
            " update posts set views = 3 where id = 1; commit",
            "delete from likes where who = 'bob'",
        )
        first = await link.take()
        assert len(first.changes) == 6
        assert not await link.apply([first, await link.take()])
        assert await database.rows("select * from posts order by id") == [(1, "one", 3), (2, "two", 0)]
        assert await database.rows("select * from likes order by 1, 2") == [(1, "ann"), (2, "ann")]


async def test_chunks_bring_the_rows_that_were_there_before(database: Database, peer: Database) -> None:
    async with following(PLAN, database, peer, schema=SCHEMA, backfill=True) as link:
        await peer.run("insert into posts (title, views) select 'p' || n, n from generate_series(1, 25) n")
        first = await link.rows.read_chunk("public.posts", None, 20)
        assert (first.rows, first.last) == (20, ("20",))
        before = await link.until_mark("first")
        await link.apply(before)
        await link.place(first, before[-1])
        second = await link.rows.read_chunk("public.posts", first.last, 20)
        assert (second.rows, second.last) == (5, None)
        await link.place(second, (await link.until_mark("second"))[-1])
        posts = "select * from posts order by id"
        assert await database.rows(posts) == await peer.rows(posts)
        copying = {table.table: (table.after, table.done) for table in await link.applier.copying()}
        assert copying == {"public.likes": (None, False), "public.posts": (("20",), True)}
