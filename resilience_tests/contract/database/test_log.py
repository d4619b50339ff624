"""What a reader of a real server's log gets, and what the server hears back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from cutover.adapters.postgres.changelog import PostgresLog
from cutover.errors import Refused, SiteUnreachable
from cutover.model.change import UNCHANGED, Delete, Row, Transaction, Truncate, Update
from cutover.model.position import Position
from resilience_tests.contract.database.link import DEADLINE_SECONDS, Link, following, plan_of, table
from resilience_tests.contract.database.server import SUPERUSER, Database

POSTS = "create table posts (id bigint primary key, title text, body text)"
LIKES = "create table likes (id bigint primary key, post bigint references posts on delete cascade)"
DRAFTS = "create table drafts (id bigint primary key)"
PLAN = plan_of(table("posts"), table("likes"))
SCHEMA = (POSTS, LIKES, DRAFTS, "alter table posts alter body set storage external")
LARGE = "repeat('x', 9000)"
READER = "application_name = 'cutover log'"


@pytest.fixture
async def link(database: Database, peer: Database) -> AsyncIterator[Link]:
    async with following(PLAN, database, peer, schema=SCHEMA) as made:
        yield made


async def test_transactions_come_whole_and_in_the_order_of_their_commits(link: Link, peer: Database) -> None:
    async with peer.session() as slow, peer.session() as fast:
        await slow.execute("begin; insert into posts values (1)")
        await fast.execute("insert into posts values (2)")
        await slow.execute("insert into likes values (1, 1); commit")
    first, second = await link.take(), await link.take()
    assert [len(first.changes), len(second.changes)] == [1, 2]
    assert second.position.reaches(first.position)
    assert not first.position.reaches(second.position)


async def test_a_cascade_is_in_the_log_row_by_row(link: Link, peer: Database) -> None:
    await peer.run(
        "insert into posts values (1)", "insert into likes values (7, 1), (8, 1)", "delete from posts"
    )
    _, _, deleted = await link.take(), await link.take(), await link.take()
    assert set(deleted.changes) == {
        Delete("public.posts", ("1",)),
        Delete("public.likes", ("7",)),
        Delete("public.likes", ("8",)),
    }


async def test_a_truncate_names_the_planned_tables(link: Link, peer: Database) -> None:
    await peer.run("insert into drafts values (1)", "truncate posts, likes, drafts")
    (change,) = (await link.take()).changes
    assert isinstance(change, Truncate)
    assert set(change.tables) == {"public.posts", "public.likes"}


async def test_a_changed_key_and_an_unchanged_large_value_are_told(link: Link, peer: Database) -> None:
    await peer.run(f"insert into posts values (1, 'a', {LARGE})", "update posts set id = 2, title = 'b'")
    await link.take()
    (change,) = (await link.take()).changes
    row: Row = {"id": "2", "title": "b", "body": UNCHANGED}
    assert change == Update("public.posts", ("2",), row, ("1",))


async def test_a_full_replica_identity_brings_the_large_value_too(link: Link, peer: Database) -> None:
    await peer.run(
        "alter table posts replica identity full",
        f"insert into posts values (1, 'a', {LARGE})",
        "update posts set title = 'b'",
        "delete from posts",
    )
    await link.take()
    (change,) = (await link.take()).changes
    old: Row = {"id": "1", "title": "a", "body": "x" * 9000}
    assert change == Update("public.posts", ("1",), {**old, "title": "b"}, old=old)
    assert (await link.take()).changes == (Delete("public.posts", ("1",), {**old, "title": "b"}),)


async def test_the_fence_says_who_asked(link: Link, peer: Database) -> None:
    await peer.run("begin; set local cutover.request_id = 'r-17'; insert into posts values (1); commit")
    assert (await link.take()).request == "r-17"


async def test_an_import_with_an_origin_of_its_own_is_carried(link: Link, peer: Database) -> None:
    async with peer.session(SUPERUSER) as importer:
        await importer.execute("select pg_replication_origin_create('import')")
        await importer.execute("select pg_replication_origin_session_setup('import')")
        await importer.execute("insert into posts values (1)")
        imported = await link.take()
        await importer.execute("select pg_replication_origin_session_reset()")
        await importer.execute("select pg_replication_origin_drop('import')")
    assert (imported.foreign, len(imported.changes)) == (False, 1)


async def test_what_was_not_confirmed_comes_again_and_what_was_does_not(link: Link, peer: Database) -> None:
    await peer.run("insert into posts values (1)", "insert into posts values (2)")
    first, second = await link.take(), await link.take()
    await link.log.confirm(first.position)
    await link.log.close()
    assert await link.take() == second
    await link.log.confirm(first.position)  # an older one takes nothing back
    await link.log.confirm(second.position)
    await link.log.close()
    assert [transaction.mark for transaction in await link.until_mark("behind")] == ["behind"]


async def test_the_server_hears_only_what_was_confirmed(link: Link, peer: Database) -> None:
    link.log = PostgresLog(peer.address("cutover_admin"), site="east", plan=PLAN, ping_seconds=0.02)
    await peer.run("insert into posts values (1)")
    confirmed = (await link.take()).position
    await link.log.confirm(confirmed)
    await peer.run("insert into drafts values (1)")
    end = await end_of(peer)
    await read_to(link, end)
    await peer.until(f"select write_lsn - '0/0' >= {end.offset} from pg_stat_replication where {READER}")
    heard = "select (confirmed_flush_lsn - '0/0')::bigint from pg_replication_slots where active"
    assert await peer.rows(heard) == [(confirmed.offset,)]


async def test_a_quiet_log_is_known_to_be_read(link: Link, peer: Database) -> None:
    await link.until_mark("started")
    await peer.run("insert into drafts values (1)")
    end = await end_of(peer)
    assert (await read_to(link, end)).reaches(end)


async def test_a_second_reader_waits_until_the_first_has_closed(link: Link, peer: Database) -> None:
    await link.until_mark("reading")
    second = PostgresLog(peer.address("cutover_admin"), site="east", plan=PLAN)
    with pytest.raises(SiteUnreachable, match="another worker still reads its log"):
        await anext(second.read())
    await link.log.close()
    assert isinstance(await anext(second.read()), Transaction)
    await second.close()


async def test_a_log_that_is_not_kept_is_refused(link: Link, database: Database) -> None:
    log = PostgresLog(database.address("cutover_admin"), site="west", plan=PLAN)
    with pytest.raises(Refused, match="keeps no log"):
        await anext(log.read())


async def test_a_position_of_another_server_cannot_be_confirmed(link: Link) -> None:
    await link.until_mark("reading")
    with pytest.raises(Refused, match="restored or promoted"):
        await link.log.confirm(Position("1", 1, 1 << 60))


async def test_a_log_that_holds_what_was_applied_is_read_on(link: Link) -> None:
    applied = (await link.until_mark("applied"))[-1].position
    await link.log.close()
    await link.log.check_reaches(applied)
    await link.until_mark("read on")


@pytest.mark.parametrize(
    "forgotten",
    [
        lambda end: replace(end, offset=end.offset + (1 << 40)),
        lambda end: replace(end, timeline=end.timeline + 1),
        lambda end: replace(end, system="1"),
    ],
    ids=["shorter", "another timeline", "another server"],
)
async def test_a_log_that_lacks_what_was_applied_is_refused(
    link: Link, forgotten: Callable[[Position], Position]
) -> None:
    applied = forgotten((await link.until_mark("applied"))[-1].position)
    await link.log.close()
    with pytest.raises(Refused, match=f"forgotten.*{applied}.*compare them in full"):
        await link.log.check_reaches(applied)
    with pytest.raises(Refused, match="forgotten"):
        await link.item()


async def test_a_log_that_is_kept_only_from_behind_what_was_applied_is_refused(link: Link) -> None:
    """Whoever applied has forgotten that: between the two there is a gap."""
    applied = (await link.until_mark("applied"))[-1].position
    later = (await link.until_mark("confirmed"))[-1].position
    await link.log.confirm(later)
    await link.until_mark("and told to the server")
    await link.log.close()
    with pytest.raises(Refused, match="does not follow on behind the gap"):
        await link.log.check_reaches(applied)


async def test_a_cancelled_wait_loses_nothing(link: Link, peer: Database) -> None:
    await link.until_mark("reading")
    with suppress(TimeoutError):
        async with asyncio.timeout(0):
            while True:
                await anext(link.log.read())
    await peer.run("insert into posts values (1)")
    assert len((await link.take()).changes) == 1


async def test_a_slow_caller_holds_the_log_up_and_gets_it_all(link: Link, peer: Database) -> None:
    address = peer.address("cutover_admin")
    link.log = PostgresLog(address, site="east", plan=PLAN, ping_seconds=0.01, held_bytes=100_000)
    await link.until_mark("reading")
    await peer.run(*[f"insert into posts values ({n}, '', {LARGE})" for n in range(100)])
    ((now,),) = await peer.rows("select clock_timestamp()::text")
    later = (
        f"select reply_time > '{now}'::timestamptz + interval '0.3 s' from pg_stat_replication where {READER}"
    )
    await peer.until(later)  # it speaks on while it does not read
    behind = f"select pg_current_wal_lsn() - write_lsn > 500000 from pg_stat_replication where {READER}"
    assert await peer.rows(behind) == [(True,)]
    found = [item.changes[0] for item in await link.until_mark("all") if item.changes]
    assert [int(change.row["id"]) for change in found] == list(range(100))  # type: ignore


async def test_a_dead_link_is_noticed_though_the_relay_keeps_the_connection(
    link: Link, peer: Database
) -> None:
    async with relay(peer.server.port) as (port, cut):
        address = replace(peer.address("cutover_admin"), port=port)
        log = PostgresLog(address, site="east", plan=PLAN, ping_seconds=0.05)
        await link.rows.mark("through")
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not isinstance(await anext(log.read()), Transaction):
                pass
        cut.set()
        with pytest.raises(SiteUnreachable, match="silent"):
            await read_on(log)
        await log.close()


async def test_a_server_that_goes_down_is_unreachable(link: Link, peer: Database) -> None:
    await link.until_mark("reading")
    terminate = "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where active"
    await peer.rows(terminate)
    with pytest.raises(SiteUnreachable):
        await read_on(link.log)


async def read_on(log: PostgresLog) -> None:
    """Read until it fails."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for _ in log.read():
            pass


async def read_to(link: Link, end: Position) -> Position:
    """Read what says that nothing comes, until that is so up to `end`; return up to where it is."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not (quiet := (await link.quiet()).position).reaches(end):
            pass
    return quiet


async def end_of(database: Database) -> Position:
    query = (
        "select system_identifier::text, pg_current_wal_flush_lsn() - '0/0'::pg_lsn from pg_control_system()"
    )
    ((system, offset),) = await database.rows(query)
    return Position(str(system), 1, int(str(offset)))


@asynccontextmanager
async def relay(port: int) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A relay to a local port which, once cut, swallows everything and closes nothing."""
    cut = asyncio.Event()
    tasks: set[asyncio.Task[None]] = set()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not cut.is_set():
                    writer.write(data)
        finally:
            writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", port)
        for pair in ((reader, back), (there, writer)):
            tasks.add(asyncio.create_task(pass_on(*pair)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], cut
    finally:
        server.close()
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
