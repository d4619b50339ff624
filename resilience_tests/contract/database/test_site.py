"""A site's database as coordinator and agent use it, on a real server."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from cutover.adapters.postgres import slots
from cutover.adapters.postgres.site import PostgresSite
from cutover.errors import Refused, SiteUnreachable
from cutover.model.observation import Fence, FenceState
from cutover.model.position import Position
from resilience_tests.contract.database.link import following
from resilience_tests.contract.database.server import DEADLINE_SECONDS, SUPERUSER, Database, Server
from resilience_tests.contract.database.sites import (
    G1,
    G2,
    PLAN,
    PREPARED,
    TABLES,
    opened,
    prepared,
    site_of,
)

SERVING = "select cutover.serving_epoch(), cutover.still_serving(0)"


async def test_a_site_of_which_nothing_is_ours_is_absent_and_has_an_end(database: Database) -> None:
    async with site_of(database) as east:
        seen = await east.look()
        assert seen.fence == await east.fence() == Fence(state=FenceState.ABSENT)
        assert seen.end.offset > 0
        assert not seen.slot
        assert await east.probe_write()
        assert await east.remember_register(epoch=1, revision=1)
        await east.renew_lease(epoch=1, started=await east.instant(), seconds=60)
        assert await east.probe_write()


async def test_a_source_serves_on_between_its_preparation_and_its_first_epoch(database: Database) -> None:
    async with prepared(database) as east:
        assert await east.fence() == Fence(state=FenceState.OPEN, lease_live=True, guard=PREPARED)
        await database.run("insert into post values (1, 'x')")
        assert await database.rows(SERVING, "platform") == [(0, True)]
        await opened(east)
        assert await database.rows(SERVING, "platform") == [(1, True)]


async def test_a_target_is_closed_from_the_first_moment(database: Database) -> None:
    async with prepared(database, "west") as west:
        assert await west.fence() == Fence(state=FenceState.CLOSED, guard=PREPARED)
        assert not await west.probe_write()


async def test_a_probe_leaves_nothing_of_its_own_and_commits_durably(database: Database) -> None:
    async with prepared(database) as east:
        assert await east.probe_write()
        assert await east.probe_write()
        assert await database.rows("select n from cutover.probe") == [(0,)]
        assert await database.rows("select n from cutover.pulse") == [(2,)]
        await east.close(guard=G1)
        assert not await east.probe_write()
        assert not await east.probe_write()
        await opened(east)
        assert await east.probe_write()


async def test_a_site_whose_commits_hang_fails_the_probe(database: Database) -> None:
    async with prepared(database):
        pass
    address = database.address("cutover_admin")
    east = PostgresSite(site="east", connection=address, plan=PLAN, timeout=1.5)
    async with commits_hang(database):
        with pytest.raises(SiteUnreachable, match="east"):
            await probe_on(east)
    assert await east.probe_write()
    await east.close_connections()


async def probe_on(site: PostgresSite) -> None:
    """Probe until that fails."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while await site.probe_write():
            pass


@asynccontextmanager
async def commits_hang(database: Database) -> AsyncIterator[None]:
    """Soon no durable commit of the server comes back: it waits for a standby that is not there."""
    setting = "alter system set synchronous_standby_names = '{}'"
    async with database.session(SUPERUSER) as superuser:
        await superuser.execute(setting.format("nobody"))
        await superuser.execute("select pg_reload_conf()")
        try:
            yield
        finally:
            await superuser.execute(setting.format(""))
            await superuser.execute("select pg_reload_conf()")
    await database.until(
        "select count(*) = 0 from pg_stat_activity where wait_event = 'SyncRep'"
        " or current_setting('synchronous_standby_names') <> ''"
    )


async def test_a_site_opens_closes_and_opens_again(database: Database) -> None:
    async with prepared(database) as east:
        await opened(east)
        assert await east.probe_write()
        end = await east.close(guard=G1)
        assert not await east.probe_write()
        assert (await east.look()).end.reaches(end)
        await opened(east, epoch=2)
        assert (await east.fence()).epoch == 2
        assert await east.probe_write()


async def test_preparing_an_open_site_again_leaves_it_open(database: Database) -> None:
    async with prepared(database) as east:
        await opened(east)
        await east.prepare(guard=G2)
        assert (await east.fence()).state is FenceState.OPEN


async def test_the_log_is_kept_from_a_position_until_it_is_released(database: Database) -> None:
    async with prepared(database) as east:
        kept = await east.keep_log(guard=G1)
        assert (await east.look()).slot
        assert await east.keep_log(guard=G1) == kept
        await east.release_log(guard=G1)
        await east.release_log(guard=G1)
        assert not (await east.look()).slot


async def test_what_was_never_installed_can_be_given_up(database: Database) -> None:
    async with site_of(database) as east:
        await east.unfollow(guard=G1)
        await east.release_log(guard=G1)
        await east.remove()
        assert (await east.fence()).state is FenceState.ABSENT
        assert not (await east.look()).slot


async def test_a_new_slot_names_who_it_waits_for_even_in_another_database(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slots, "START_SECONDS", 0.3)
    other = server.fresh()
    async with prepared(database) as east, other.session() as writer:
        async with writer.transaction():
            await writer.execute("create table t ()")
            with pytest.raises(Refused, match=rf"pid {writer.info.backend_pid} .* {other.name}"):
                await east.keep_log(guard=G1)
        assert not (await east.look()).slot
        await east.keep_log(guard=G1)
    server.drop(other)


async def test_telling_a_site_to_follow_again_keeps_what_was_copied(
    database: Database,
) -> None:
    async with prepared(database, "west") as west:
        await west.follow(backfill=True, guard=G1)
        await database.run(
            "update cutover.copying set rows = 7, done = true where table_name = 'public.post'",
            "insert into cutover.applied (position) values ('1/1/A')",
            role="cutover_applier",
        )
        await west.follow(backfill=True, guard=G2)
        seen = await west.look()
        assert (seen.following, seen.tables_pending, seen.rows_copied) == (True, 1, 7)
        assert seen.applied == Position("1", 1, 10)


async def test_a_new_following_starts_to_copy_afresh(database: Database) -> None:
    async with prepared(database, "west") as west:
        await west.follow(backfill=True, guard=G1)
        await database.run("update cutover.copying set rows = 7, done = true", role="cutover_applier")
        await west.unfollow(guard=G1)
        assert not (await west.look()).following
        await west.follow(backfill=True, guard=G2)
        seen = await west.look()
        assert (seen.tables_pending, seen.rows_copied) == (2, 0)


async def test_no_batch_is_under_way_once_a_site_stopped_following(database: Database) -> None:
    async with prepared(database, "west") as west, database.session("cutover_applier") as applier:
        await west.follow(backfill=False, guard=G1)
        async with applier.transaction():
            await applier.execute("select from cutover.follow for share")
            stopping = asyncio.create_task(west.unfollow(guard=G1))
            await database.until("select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'")
            await applier.execute("insert into post values (1, 'x')")
            assert not stopping.done()
        await stopping
        assert await database.rows("select * from cutover.follow") == []


async def test_an_operator_lets_the_applier_pass_what_stopped_it(database: Database) -> None:
    async with prepared(database, "west") as west:
        await west.follow(backfill=False, guard=G1)
        await database.run("update cutover.follow set brake = 'too many deletes'", role="cutover_applier")
        assert (await west.look()).brake == "too many deletes"
        await west.release_brake(reason="too many deletes", guard=G1)
        assert (await west.look()).brake is None
        assert await database.rows("select released from cutover.follow") == [("too many deletes",)]


async def test_a_brake_that_nobody_has_seen_is_not_released_by_an_older_answer(database: Database) -> None:
    async with prepared(database, "west") as west:
        await west.follow(backfill=False, guard=G1)
        await database.run("update cutover.follow set brake = 'a truncate'", role="cutover_applier")
        await west.release_brake(reason="too many deletes", guard=G1)
        assert (await west.look()).brake == "a truncate"
        assert await database.rows("select released from cutover.follow") == [(None,)]


async def test_a_register_that_shows_less_than_was_seen_is_told_apart(
    database: Database, server: Server
) -> None:
    async with prepared(database) as east:
        for epoch, revision in ((1, 7), (1, 7), (2, 3)):
            assert await east.remember_register(epoch=epoch, revision=revision)
        for epoch, revision in ((2, 2), (1, 9), (0, 0)):
            assert not await east.remember_register(epoch=epoch, revision=revision)
        server.restart()
        assert not await east.remember_register(epoch=2, revision=2)
        assert await east.remember_register(epoch=2, revision=3)


async def test_the_same_register_again_writes_nothing(database: Database) -> None:
    async with prepared(database) as east:
        await east.remember_register(epoch=1, revision=7)
        written = await database.rows("select xmin, ctid from cutover.seen")
        await east.remember_register(epoch=1, revision=7)
        assert await database.rows("select xmin, ctid from cutover.seen") == written


async def test_a_register_is_remembered_while_an_effect_holds_the_guard(database: Database) -> None:
    async with prepared(database) as east, database.session("cutover_admin") as slow, slow.transaction():
        await slow.execute("select cutover.raise_guard(1, 1)")
        assert await east.remember_register(epoch=1, revision=7)


async def test_a_site_that_was_installed_before_learns_to_remember(database: Database) -> None:
    async with prepared(database) as east:
        await database.run("drop table cutover.seen", role="cutover_admin")
        assert await east.remember_register(epoch=1, revision=7)
        await east.prepare(guard=G1)
        await east.remember_register(epoch=1, revision=7)
        assert not await east.remember_register(epoch=1, revision=6)


async def test_a_key_that_is_touched_again_is_not_forgotten(database: Database) -> None:
    touch = "insert into cutover.touched (table_name, key) values ('public.post', '[\"{}\"]')"
    async with prepared(database, "west") as west:
        await west.follow(backfill=False, guard=G1)
        await west.watch_touched(guard=G1)
        await database.run(
            touch.format(1), touch.format(2), touch.format(1), touch.format(3), role="cutover_applier"
        )
        assert await west.touched(3) == {"public.post": [("1",), ("2",)]}
        await database.run(touch.format(2), role="cutover_applier")
        await west.watch_touched(guard=G2)
        await west.forget_touched({"public.post": [("1",), ("2",)]})
        assert (await west.look()).touched == 2
        assert await west.touched(9) == {"public.post": [("3",), ("2",)]}


async def test_sequences_are_raised_and_never_lowered(database: Database, peer: Database) -> None:
    async with prepared(database) as east, prepared(peer, "west") as west:
        assert await east.sequences() == {}
        await database.run("select setval('video_id_seq', 41)")
        await west.raise_sequences(await east.sequences(), guard=G1)
        await west.raise_sequences({"public.video_id_seq": 12}, guard=G1)
        assert await peer.rows("select nextval('video_id_seq')", "platform") == [(42,)]


async def test_a_sequence_that_tables_share_and_no_column_owns_moves_once(
    database: Database, peer: Database
) -> None:
    shared = ["create sequence ids"]
    shared += [f"alter table {table} alter id set default nextval('ids')" for table in ("post", "video")]
    async with prepared(database) as east, prepared(peer, "west") as west:
        for site in (database, peer):
            await site.run(*shared, "drop sequence video_id_seq")
        await database.run(
            "insert into post default values", "insert into video default values", "delete from video"
        )
        assert await east.sequences() == {"public.ids": 2}
        assert (await east.lead()).sequences == (("public.ids", 2),)
        await west.raise_sequences(await east.sequences(), guard=G1)
        assert await peer.rows("select nextval('ids')", "platform") == [(3,)]


async def test_a_sequence_that_the_other_site_lacks_is_named(database: Database) -> None:
    async with prepared(database) as east:
        with pytest.raises(Refused, match=r"public\.unknown"):
            await east.raise_sequences({"public.unknown": 3}, guard=G1)


async def test_a_site_lends_to_its_peer_until_it_withholds(database: Database) -> None:
    async with site_of(database, "west") as west:
        assert not await west.lend(epoch=1, lease_count=4, seconds=60)
        assert await west.withhold(epoch=1, lease_count=4)
    async with prepared(database, "west") as west:
        assert await west.withhold(epoch=1, lease_count=3)
        assert not await west.lend(epoch=1, lease_count=3, seconds=60)
        assert await west.lend(epoch=1, lease_count=4, seconds=60)
        assert await west.lend(epoch=1, lease_count=4, seconds=-60)  # what runs is not cut short
        assert not await west.withhold(epoch=1, lease_count=4)
        assert not await west.lend(epoch=1, lease_count=4, seconds=60)
        assert await west.lend(epoch=2, lease_count=0, seconds=60)


async def test_a_site_lends_nothing_to_an_older_epoch_or_while_it_is_open(database: Database) -> None:
    async with prepared(database, "west") as west:
        await west.remember_register(epoch=2, revision=1)
        assert not await west.lend(epoch=1, lease_count=9, seconds=60)
        await opened(west, epoch=3)
        assert not await west.lend(epoch=3, lease_count=9, seconds=60)
        await west.close(guard=G1)
        assert not await west.lend(epoch=2, lease_count=9, seconds=60)
        assert await west.lend(epoch=3, lease_count=9, seconds=60)


async def test_what_was_lent_runs_whole_again_after_a_restart(database: Database, server: Server) -> None:
    async with prepared(database, "west") as west:
        assert await west.lend(epoch=1, lease_count=1, seconds=60)
        await database.run("update cutover.lent set until = 0", role="cutover_admin")
        assert await west.withhold(epoch=1, lease_count=1)
        server.restart()
        assert not await west.withhold(epoch=1, lease_count=1)
        await database.run("update cutover.lent set until = 0", role="cutover_admin")
        assert await west.withhold(epoch=1, lease_count=1)


async def test_a_lead_needs_nothing_of_ours(database: Database) -> None:
    await database.run(*TABLES, "insert into video values (default)")
    async with site_of(database) as east:
        seen = await east.lead()
        assert (seen.confirmed, seen.sequences) == (None, (("public.video_id_seq", 1),))
        assert (await east.look()).end.reaches(seen.end)


async def test_a_lead_counts_transactions_and_ends_on_disk(database: Database) -> None:
    async with prepared(database) as east:
        kept = await east.keep_log(guard=G1)
        first = await east.lead()
        assert first.confirmed == kept
        assert first.sequences == ()
        await database.run("insert into post values (1)", "insert into video values (default)")
        second = await east.lead()
        assert second.transactions >= first.transactions + 2
        assert second.end.reaches(first.end)
        assert second.end != first.end
        assert second.sequences == (("public.video_id_seq", 1),)
        await east.release_log(guard=G1)
        assert (await east.lead()).confirmed is None


async def test_a_lead_does_not_count_on_what_the_disk_has_not_taken(database: Database) -> None:
    async with prepared(database) as east, database.session() as lazy:
        await lazy.execute("set synchronous_commit = off")
        for number in range(20):
            await lazy.execute(f"insert into post values ({number})".encode())
            end = (await east.lead()).end
            flushed = await database.rows("select (pg_current_wal_flush_lsn() - '0/0')::bigint")
            assert end.offset <= int(str(flushed[0][0]))


async def test_a_follower_that_has_confirmed_everything_reaches_the_lead(
    database: Database, peer: Database
) -> None:
    async with following(PLAN, database, peer, schema=TABLES) as link, site_of(peer) as east:
        await peer.run("insert into post values (1)")
        for item in await link.until_mark("all"):
            await link.log.confirm(item.position)
        lead = await east.lead()
        async with asyncio.timeout(DEADLINE_SECONDS):
            while lead.confirmed is None or not lead.confirmed.reaches(lead.end):
                await link.log.confirm((await link.quiet()).position)
                lead = await east.lead()


async def test_a_stopped_server_is_unreachable_and_is_found_again(database: Database, server: Server) -> None:
    async with prepared(database) as east:
        await east.look()
        server.stop(signal.SIGQUIT)
        with pytest.raises(SiteUnreachable, match="east"):
            await east.look()
        with pytest.raises(SiteUnreachable, match="east"):
            await east.close(guard=G1)
        server.start()
        assert (await east.fence()).guard == PREPARED


async def test_a_fence_that_is_missing_from_one_table_counts_as_absent(database: Database) -> None:
    async with prepared(database) as east:
        await database.run("drop trigger cutover_fence on post")
        assert (await east.fence()).state is FenceState.ABSENT
        await east.prepare(guard=G1)
        assert (await east.fence()).state is FenceState.OPEN
