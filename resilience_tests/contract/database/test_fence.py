"""Closed means that no writer is left, whatever a writer tries; each of these got past a lesser fence."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from psycopg import errors

from cutover.adapters.postgres import closing
from cutover.adapters.postgres.site import PostgresSite
from cutover.errors import Refused, SiteUnreachable, StaleTerm
from cutover.model.action import Guard
from cutover.model.observation import Fence, FenceState
from cutover.model.position import Position
from resilience_tests.contract.database.server import Database, Server
from resilience_tests.contract.database.sites import G1, G2, PREPARED, merge, opened, prepared

FENCED = errors.ReadOnlySqlTransaction
WRITES = (
    "insert into post values (1, 'x')",
    "update post set title = 'y'",
    "delete from post",
    "truncate post",
    "merge into post using (select 1) as new on post.id = 1 when not matched then insert values (1)",
    "with gone as (delete from video returning id) select * from gone",
)
WAITS_FOR_POST = "select count(*) > 0 from pg_locks where relation = 'post'::regclass and not granted"
CLOSER_WAITS = "select count(*) > 0 from pg_locks where locktype = 'advisory' and not granted"
SERVING = "select cutover.serving_epoch(), cutover.still_serving(1)"


@pytest.mark.parametrize("write", WRITES)
async def test_a_closed_site_refuses_every_kind_of_write(database: Database, write: str) -> None:
    async with prepared(database) as east:
        await east.close(guard=G1)
        with pytest.raises(FENCED, match='site "east" takes no writes: its fence is closed at epoch 0'):
            await database.run(write)


async def test_a_closed_site_refuses_a_bulk_load(database: Database) -> None:
    async with prepared(database) as east, database.session() as writer:
        await east.close(guard=G1)
        with pytest.raises(FENCED):
            async with writer.cursor() as cursor, cursor.copy("copy post from stdin") as copy:
                await copy.write_row((1, "x"))


async def test_the_applier_writes_at_a_closed_site(database: Database) -> None:
    async with prepared(database, "west"):
        await database.run(WRITES[0], role="cutover_applier")
        assert await database.rows("select id from post") == [(1,)]


async def test_a_snapshot_from_before_the_close_does_not_see_an_open_fence(database: Database) -> None:
    async with prepared(database) as east, database.session() as writer:
        await opened(east)
        await writer.execute("begin isolation level repeatable read")
        await writer.execute("select * from elsewhere")
        await east.close(guard=G1)
        with pytest.raises(FENCED):
            await writer.execute(WRITES[0])


@pytest.mark.parametrize("trick", ["set constraints all immediate", "savepoint s", "select 1"])
async def test_a_close_gives_up_on_an_open_writer_and_names_it(
    database: Database, monkeypatch: pytest.MonkeyPatch, trick: str
) -> None:
    monkeypatch.setattr(closing, "WAIT_SECONDS", 0.2)
    async with prepared(database) as east, database.session() as writer:
        async with writer.transaction():
            await writer.execute(WRITES[0])
            await writer.execute(trick)
            with pytest.raises(Refused, match=rf"pid {writer.info.backend_pid} of platform"):
                await east.close(guard=G1)
            assert (await east.fence()).state is FenceState.OPEN
            await writer.execute(WRITES[1])
        await east.close(guard=G1)


async def test_a_close_names_the_prepared_transaction_that_may_still_commit(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(closing, "WAIT_SECONDS", 0.2)
    async with prepared(database) as east:
        async with database.session() as writer:
            await writer.execute("begin")
            await writer.execute(WRITES[0])
            await writer.execute("prepare transaction 'a''b'")
        with pytest.raises(Refused, match="prepared transaction 'a''b' of platform"):
            await east.close(guard=G1)
        await database.run("commit prepared 'a''b'")
        end = await east.close(guard=G1)
        assert (await east.look()).end.reaches(end)


async def test_a_replica_role_is_fenced_too(database: Database) -> None:
    async with prepared(database) as east, database.session() as writer:
        await east.close(guard=G1)
        with pytest.raises(errors.InsufficientPrivilege):
            await writer.execute("set session_replication_role = replica")
    async with database.session("postgres") as superuser:
        await superuser.execute("set session_replication_role = replica")
        with pytest.raises(FENCED):
            await superuser.execute(WRITES[0])


async def test_a_close_waits_for_the_writer_and_ends_behind_its_last_change(database: Database) -> None:
    async with prepared(database) as east, database.session() as writer:
        async with writer.transaction():
            await writer.execute(WRITES[0])
            closing_site = asyncio.create_task(east.close(guard=G1))
            await database.until(CLOSER_WAITS)
            await writer.execute(WRITES[1])
            assert not closing_site.done()
            written = await (
                await writer.execute("select (pg_current_wal_insert_lsn() - '0/0')::bigint")
            ).fetchone()
        end = await closing_site
        assert written is not None
        assert end.offset > written[0]
        with pytest.raises(FENCED):
            await writer.execute(WRITES[1])


async def test_other_writers_go_on_while_a_close_waits_for_one(database: Database) -> None:
    async with prepared(database) as east, database.session() as holder:
        async with holder.transaction():
            await holder.execute(WRITES[0])
            closing_site = asyncio.create_task(east.close(guard=G1))
            await database.until(CLOSER_WAITS)
            await database.run("set lock_timeout = '2s'; insert into post values (2, 'y')")
            assert not closing_site.done()
        await closing_site
        assert await database.rows("select count(*) from post") == [(2,)]


async def test_two_coordinators_may_close_at_once(database: Database) -> None:
    async with prepared(database) as east:
        await opened(east)
        first, second = await asyncio.gather(east.close(guard=G1), east.close(guard=G1))
        assert first != second
        assert (await east.fence()).state is FenceState.CLOSED


EFFECTS: dict[str, Callable[[PostgresSite, Guard], Awaitable[object]]] = {
    "prepare": lambda site, guard: site.prepare(guard=guard),
    "open": lambda site, guard: opened(site, guard=guard),
    "close": lambda site, guard: site.close(guard=guard),
    "keep_log": lambda site, guard: site.keep_log(guard=guard),
    "release_log": lambda site, guard: site.release_log(guard=guard),
    "follow": lambda site, guard: site.follow(backfill=True, guard=guard),
    "unfollow": lambda site, guard: site.unfollow(guard=guard),
    "release_brake": lambda site, guard: site.release_brake(reason="any", guard=guard),
    "raise_sequences": lambda site, guard: site.raise_sequences({"public.video_id_seq": 9}, guard=guard),
    "throttle": lambda site, guard: site.throttle(pace=9, guard=guard),
    "forget_merged": lambda site, guard: site.forget_merged(guard=guard),
    "merge": lambda site, guard: merge(site, (), upto=Position("1", 1, 1), guard=guard),
    "watch_touched": lambda site, guard: site.watch_touched(guard=guard),
}


@pytest.mark.parametrize("effect", EFFECTS)
async def test_an_effect_of_an_older_coordinator_is_refused_and_changes_nothing(
    database: Database, effect: str
) -> None:
    async with prepared(database) as east:
        await east.follow(backfill=True, guard=G2)
        before = await east.look()
        with pytest.raises(StaleTerm, match="term 1, entry 1: it has seen term 1, entry 2"):
            await EFFECTS[effect](east, G1)
        after = await east.look()
        assert (after.fence, after.slot, after.following) == (before.fence, before.slot, before.following)
        assert await east.sequences() == {}
        await EFFECTS[effect](east, G2)
        await EFFECTS[effect](east, Guard(2, 0))
        assert (await east.fence()).guard == Guard(2, 0)


async def test_an_older_coordinator_removes_nothing(database: Database) -> None:
    async with prepared(database) as east:
        await east.keep_log(guard=G2)
        before = await east.look()
        with pytest.raises(StaleTerm, match="term 1, entry 1: it has seen term 1, entry 2"):
            await east.remove(guard=G1)
        assert await east.look() == replace(before, end=(await east.look()).end)
        await east.remove(guard=G2)
        assert (await east.look()).fence == Fence(state=FenceState.ABSENT)
        await east.remove(guard=G1)  # what is gone has seen nobody


async def test_a_coordinator_that_grew_old_while_it_removed_leaves_the_rest(database: Database) -> None:
    async with prepared(database) as east, database.session("cutover_admin") as newer:
        await east.keep_log(guard=G1)
        async with newer.transaction():
            await newer.execute("lock table post in access share mode")
            removing = asyncio.create_task(east.remove(guard=G1))
            await database.until(WAITS_FOR_POST)
            await newer.execute("select cutover.raise_guard(1, 2)")
        with pytest.raises(StaleTerm):
            await removing
        assert (await east.fence()).guard == G2


async def test_a_site_does_not_open_under_an_epoch_older_than_it_has_seen(database: Database) -> None:
    async with prepared(database) as east:
        await opened(east, epoch=3)
        await east.close(guard=G1)
        with pytest.raises(Refused, match="under epoch 2: it has seen epoch 3"):
            await opened(east, epoch=2)
        assert (await east.fence()).state is FenceState.CLOSED


async def test_when_the_lease_is_over_nothing_is_written_or_acknowledged(database: Database) -> None:
    async with prepared(database) as east, database.session() as writer:
        await opened(east)
        assert await database.rows(SERVING, "platform") == [(1, True)]
        started = await east.instant()
        await east.renew_lease(epoch=1, started=started, seconds=-1)
        with pytest.raises(FENCED, match="open without a live lease at epoch 1"):
            await writer.execute(WRITES[0])
        assert await database.rows(SERVING, "platform") == [(None, False)]
        assert not await east.probe_write()
        assert not (await east.fence()).lease_live
        await east.renew_lease(epoch=1, started=started, seconds=60)
        await writer.execute(WRITES[0])


async def test_a_renewal_for_another_epoch_has_no_effect(database: Database) -> None:
    async with prepared(database) as east:
        await opened(east, epoch=2, seconds=-1)
        await east.renew_lease(epoch=1, started=await east.instant(), seconds=60)
        assert not (await east.fence()).lease_live


async def test_a_restart_of_the_server_voids_the_lease(database: Database, server: Server) -> None:
    async with prepared(database) as east:
        started = await east.instant()
        await opened(east)
        server.restart()
        assert not (await east.look()).fence.lease_live
        assert await database.rows(SERVING, "platform") == [(None, False)]
        await east.renew_lease(epoch=1, started=started, seconds=600)
        assert not await east.probe_write()
        with pytest.raises(SiteUnreachable, match="'east' cannot be reached: it was restarted while"):
            await east.open(epoch=1, started=started, seconds=600, guard=G1)
        await east.renew_lease(epoch=1, started=await east.instant(), seconds=60)
        await east.renew_lease(epoch=1, started=started, seconds=600)
        assert await east.probe_write()


async def test_a_close_outlives_a_crash_of_the_server(database: Database, server: Server) -> None:
    async with prepared(database) as east:
        await opened(east)
        end = await east.close(guard=G2)
        server.restart()
        seen = await east.look()
        assert (seen.fence.state, seen.fence.epoch, seen.fence.guard) == (FenceState.CLOSED, 1, G2)
        assert seen.end.reaches(end)


async def test_a_close_of_which_a_crash_left_the_fence_alone_is_made_whole_when_it_is_repeated(
    database: Database,
) -> None:
    """As `setval` is never taken back: the worker must stand still all the same."""
    async with prepared(database) as east:
        await opened(east)
        await east.follow(backfill=False, guard=G1)
        async with database.session("cutover_admin") as half:
            await half.execute("begin")
            await half.execute("select cutover.close_fence(%s, %s)", [G2.term, G2.entry])
            await half.execute("rollback")
        assert (await east.fence()).state is FenceState.CLOSED
        assert await database.rows("select standing from cutover.follow") == [(False,)]
        await east.close(guard=G2)
        assert await database.rows("select standing from cutover.follow") == [(True,)]


async def test_a_close_lets_a_site_follow_that_was_told_so_with_it(database: Database) -> None:
    async with prepared(database) as east:
        await opened(east)
        await east.close(guard=G1)
        await east.follow(backfill=False, guard=G2)
        await east.close(guard=G2)
        assert await database.rows("select standing from cutover.follow") == [(False,)]


async def test_who_asked_for_a_write_is_in_the_log(database: Database) -> None:
    async with prepared(database) as east, database.session() as writer:
        await east.keep_log(guard=PREPARED)
        async with writer.transaction():
            await writer.execute("set local cutover.request_id = 'request-17'")
            await writer.execute(WRITES[0])
        await writer.execute(WRITES[1])
        await east.close(guard=G1)
        assert await _messages(database) == [("cutover.request", "request-17"), ("cutover.mark", "closed")]


async def test_an_instant_is_of_this_start_of_the_server(database: Database, server: Server) -> None:
    async with prepared(database) as east:
        first, second = await east.instant(), await east.instant()
        assert first.boot == second.boot
        assert first.microseconds <= second.microseconds
        server.restart()
        third = await east.instant()
        assert third.boot > first.boot


async def _messages(database: Database) -> list[tuple[str, str]]:
    rows = await database.rows(
        f"select data from pg_logical_slot_peek_binary_changes('cutover_{database.name}', null, null,"
        " 'proto_version', '1', 'publication_names', 'cutover', 'messages', 'true')"
    )
    found = []
    for (data,) in rows:
        assert isinstance(data, bytes)
        if data[:1] == b"M":
            prefix, content = data[10:].split(b"\0", 1)
            found.append((prefix.decode(), content[4:].decode()))
    return found
