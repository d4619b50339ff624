"""What every adapter of the database ports does alike: fence, lease, guard, log and applier."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from cutover.errors import Refused, StaleTerm
from cutover.model.action import Guard
from cutover.model.change import UNCHANGED, Delete, Key, Row, Transaction, Update
from cutover.model.observation import Fence, FenceState, Following
from cutover.model.position import Position
from cutover.ports.database import READ_AGAIN, Aside, SiteDatabase
from resilience_tests.contract.database.pair import (
    GUARD,
    LATER,
    LIKES,
    POSTS,
    SEQUENCE,
    SMALL_BOUND,
    SMALL_SEQUENCE,
    NotServing,
    Pair,
    edit,
    like,
    pair_of,
    post,
)
from resilience_tests.contract.database.sites import merge

OLDER = Guard(1, 6)


@pytest.fixture(params=["memory", "postgres"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    async with pair_of(request.param, request) as made:
        yield made


async def test_the_source_serves_from_the_start_and_the_target_does_not(pair: Pair) -> None:
    assert await pair.east.site.fence() == Fence(state=FenceState.OPEN, lease_live=True, guard=GUARD)
    assert (await pair.west.site.fence()).state is FenceState.CLOSED
    await pair.east.write(post("1", "one"))
    assert await pair.east.site.probe_write()
    with pytest.raises(NotServing):
        await pair.west.write(post("2", "two"))
    assert not await pair.west.site.probe_write()


async def test_a_site_opens_closes_and_opens_again(pair: Pair) -> None:
    east = pair.east
    await east.open()
    await east.write(post("1", "one"))
    end = await east.site.close(guard=GUARD)
    assert (await east.site.look()).end.reaches(end)
    with pytest.raises(NotServing):
        await east.write(post("2", "two"))
    await east.open(epoch=2)
    await east.write(post("2", "two"))
    assert (await east.site.fence()).epoch == 2
    with pytest.raises(Refused):
        await east.open(epoch=1)
    await east.site.prepare(guard=GUARD)
    assert (await east.site.fence()).state is FenceState.OPEN


async def test_when_the_lease_is_over_or_the_server_was_restarted_nobody_writes(pair: Pair) -> None:
    east = pair.east
    await east.open()
    started = await east.site.instant()
    await east.site.renew_lease(epoch=7, started=started, seconds=-1)
    await east.write(post("1", "one"))
    await east.site.renew_lease(epoch=1, started=started, seconds=-1)
    with pytest.raises(NotServing):
        await east.write(post("2", "two"))
    await east.site.renew_lease(epoch=1, started=started, seconds=600)
    await east.write(post("2", "two"))
    await east.crash()
    with pytest.raises(NotServing):
        await east.write(post("3", "three"))
    await east.site.renew_lease(epoch=1, started=started, seconds=600)
    assert not await east.site.probe_write()
    assert len(await east.contents(POSTS)) == 2


EFFECTS: dict[str, Callable[[SiteDatabase, Guard], Awaitable[object]]] = {
    "prepare": lambda site, guard: site.prepare(guard=guard),
    "remove": lambda site, guard: site.remove(guard=guard),
    "close": lambda site, guard: site.close(guard=guard),
    "keep_log": lambda site, guard: site.keep_log(guard=guard),
    "release_log": lambda site, guard: site.release_log(guard=guard),
    "follow": lambda site, guard: site.follow(backfill=True, guard=guard, rejoin=True),
    "throttle": lambda site, guard: site.throttle(pace=1, guard=guard),
    "unfollow": lambda site, guard: site.unfollow(guard=guard),
    "release_brake": lambda site, guard: site.release_brake(reason="any", guard=guard),
    "raise_sequences": lambda site, guard: site.raise_sequences({SEQUENCE: 9}, guard=guard),
    "watch_touched": lambda site, guard: site.watch_touched(guard=guard),
    "merge": lambda site, guard: merge(site, (), upto=Position("x", 1, 1), guard=guard),
    "forget_merged": lambda site, guard: site.forget_merged(guard=guard),
}


async def test_every_effect_of_an_older_coordinator_is_refused(pair: Pair) -> None:
    for end in (pair.east, pair.west):
        before = await end.site.look()
        for name, effect in EFFECTS.items():
            if name == "merge" and end is pair.west:
                continue  # it is closed
            with pytest.raises(StaleTerm):
                await effect(end.site, OLDER)
        with pytest.raises(StaleTerm):
            await end.open(guard=OLDER)
        after = await end.site.look()
        assert (after.fence, after.slot, after.following) == (before.fence, before.slot, before.following)
        assert await end.site.sequences() == {}


async def test_a_newer_coordinator_is_remembered(pair: Pair) -> None:
    await pair.west.site.close(guard=LATER)
    assert (await pair.west.site.fence()).guard == LATER
    with pytest.raises(StaleTerm):
        await pair.west.site.unfollow(guard=GUARD)


async def test_what_was_acknowledged_before_a_close_is_before_its_end(pair: Pair) -> None:
    """Writers race with the close: each is in the log before its end, or refused."""
    east, acknowledged = pair.east, []
    await east.open()

    async def write(number: int) -> None:
        await east.write(post(f"{number:03}", f"title {number}"))
        acknowledged.append((f"{number:03}",))

    writers = [asyncio.create_task(write(number)) for number in range(12)]
    await asyncio.wait(writers, return_when=asyncio.FIRST_COMPLETED)
    end = await east.site.close(guard=GUARD)
    before = list(acknowledged)
    for result in await asyncio.gather(*writers, return_exceptions=True):
        assert result is None or isinstance(result, NotServing)
    logged = [item for item in await east.until_mark("after") if end.reaches(item.position)]
    keys = [change.key for item in logged for change in item.changes]  # type: ignore[union-attr]
    assert before
    assert set(before) <= set(keys)
    assert sorted(keys) == sorted(acknowledged) == sorted(await east.contents(POSTS))


async def test_of_two_writers_of_one_value_exactly_one_is_there(pair: Pair) -> None:
    """Both write the same row; the log carries them in the order in which they stand."""
    await pair.east.write(post("1", "none"))
    await asyncio.gather(*(pair.east.write(edit("1", f"writer {n}", n)) for n in range(2)))
    await pair.catch_up()
    (row,) = (await pair.east.contents(POSTS)).values()
    assert row["title"] in ("writer 0", "writer 1")
    assert await pair.same()


async def test_a_register_that_shows_less_than_was_seen_is_told_apart(pair: Pair) -> None:
    site = pair.west.site
    assert await site.remember_register(epoch=2, revision=3)
    await pair.west.crash()
    for epoch, revision in ((2, 2), (1, 9)):
        assert not await site.remember_register(epoch=epoch, revision=revision)
    assert await site.remember_register(epoch=2, revision=3)


async def test_a_loan_is_withheld_and_outlives_a_crash(pair: Pair) -> None:
    site = pair.west.site
    assert await site.withhold(epoch=1, lease_count=3)
    assert not await site.lend(epoch=1, lease_count=3, seconds=600)
    assert await site.lend(epoch=1, lease_count=4, seconds=600)
    assert not await site.withhold(epoch=1, lease_count=4)
    await pair.west.crash()
    assert not await site.withhold(epoch=1, lease_count=4)
    assert not await site.lend(epoch=1, lease_count=4, seconds=600)
    assert not await pair.east.site.lend(epoch=1, lease_count=1, seconds=600)


async def test_sequences_are_raised_and_never_lowered(pair: Pair) -> None:
    site = pair.west.site
    await site.raise_sequences({SEQUENCE: 9}, guard=GUARD)
    await site.raise_sequences({SEQUENCE: 5}, guard=GUARD)
    assert await site.sequences() == {SEQUENCE: 9}
    assert (await site.lead()).sequences == ((SEQUENCE, 9),)


async def test_a_survivor_is_opened_though_a_ceiling_is_past_the_end_of_a_sequence(pair: Pair) -> None:
    """With nothing left to give out, its table takes no new rows; all the others do."""
    survivor = pair.west
    await survivor.site.raise_sequences({SMALL_SEQUENCE: 1_000_012, SEQUENCE: 1_000_012}, guard=GUARD)
    await survivor.open(epoch=2)
    await survivor.write(post("1", "one"))
    lead = await survivor.site.lead()
    assert dict(lead.sequences) == {SMALL_SEQUENCE: SMALL_BOUND, SEQUENCE: 1_000_012}
    assert dict(lead.bounds)[SMALL_SEQUENCE] == SMALL_BOUND


async def test_a_lead_grows_with_what_is_written_and_knows_what_was_confirmed(pair: Pair) -> None:
    before = await pair.east.site.lead()
    assert before.confirmed is not None
    assert (await pair.west.site.lead()).confirmed is None
    await pair.east.write(post("1", "one"))
    after = await pair.east.site.lead()
    assert after.transactions > before.transactions
    assert after.end.reaches(before.end)
    assert after.end != before.end
    for item in await pair.east.until_mark("all"):
        await pair.east.log.confirm(item.position)
    async with asyncio.timeout(20):
        while (confirmed := (await pair.east.site.lead()).confirmed) is None or not confirmed.reaches(
            after.end
        ):
            await asyncio.sleep(0)


async def test_the_worker_hears_what_it_was_told_last(pair: Pair) -> None:
    site, applier = pair.west.site, pair.west.applier
    assert await applier.following() == Following(backfill=False, guard=GUARD)
    await site.throttle(pace=500, guard=GUARD)
    await applier.brake("too many deletes", guard=GUARD)
    told = Following(backfill=False, guard=GUARD, pace=500, braked="too many deletes")
    assert await applier.following() == told
    assert (await site.look()).brake == "too many deletes"
    await site.release_brake(reason="another", guard=GUARD)
    assert await applier.following() == told
    await site.release_brake(reason="too many deletes", guard=GUARD)
    assert await applier.following() == Following(
        backfill=False, guard=GUARD, pace=500, released="too many deletes"
    )
    await site.unfollow(guard=GUARD)
    await site.follow(backfill=False, guard=LATER, rejoin=True)
    assert await applier.following() == Following(backfill=False, guard=LATER, rejoin=True)


async def test_a_transaction_comes_whole_with_who_asked_and_what_stood_there(pair: Pair) -> None:
    await pair.east.write(post("1", "one"), like("1", "ann"), request="r-1")
    await pair.east.write(edit("1", "uno", 1))
    await pair.east.write(Delete(LIKES, ("1", "ann")))
    await pair.east.write(Delete(POSTS, ("1",)))
    first, second, _, fourth, mark = await pair.east.until_mark("all")
    assert (first.changes, first.request, mark.mark) == ((post("1", "one"), like("1", "ann")), "r-1", "all")
    assert second.changes == (Update(POSTS, ("1",), edit("1", "uno", 1).row, old=post("1", "one").row),)
    assert fourth.changes == (Delete(POSTS, ("1",), edit("1", "uno", 1).row),)
    assert second.position.reaches(first.position)


async def test_what_was_not_confirmed_comes_again(pair: Pair) -> None:
    await pair.east.write(post("1", "one"))
    await pair.east.write(post("2", "two"))
    first, second, *_ = await pair.east.until_mark("all")
    await pair.east.log.confirm(first.position)
    await pair.east.leave_log()
    again = [item for item in await pair.east.until_mark("again") if item.changes]
    assert again == [second]


async def test_a_follower_ends_with_the_same_rows_and_sends_nothing_back(pair: Pair) -> None:
    await pair.west.site.keep_log(guard=GUARD)
    await pair.east.write(post("1", "one"), post("2", "two"), like("1", "ann"))
    await pair.east.write(edit("1", "uno", 1), Delete(POSTS, ("2",)))
    assert not await pair.catch_up()
    assert await pair.same()
    assert all(item.foreign or not item.changes for item in await pair.west.until_mark("back"))


@pytest.mark.parametrize("batches", [1, 2])
async def test_a_power_cut_in_the_middle_of_a_catch_up_loses_and_doubles_nothing(
    pair: Pair, batches: int
) -> None:
    for number in range(4):
        await pair.east.write(post(f"{number}", f"title {number}"))
        await pair.east.write(edit(f"{number}", f"title {number}", number))
    items = await pair.east.until_mark("all")
    half = items[: len(items) // 2]
    for batch in (half, items[len(half) :])[:batches]:
        await pair.apply(batch)
    durable = await pair.west.applier.durable()
    await pair.west.crash()
    await pair.west.applier.close()
    applied = await pair.west.applier.start()
    assert durable is None or (applied is not None and applied.reaches(durable))
    assert (await pair.west.site.look()).applied == applied
    again = [item for item in items if applied is None or not applied.reaches(item.position)]
    if again:
        await pair.apply(again)
    assert await pair.same()


async def test_what_a_site_calls_durable_outlives_a_crash_at_once(pair: Pair) -> None:
    assert await pair.west.site.durable() is None
    await pair.east.write(post("1", "one"))
    await pair.catch_up()
    durable = await pair.west.site.durable()
    assert durable is not None
    assert durable == (await pair.west.site.look()).applied
    await pair.west.crash()
    assert (await pair.west.site.look()).applied == durable
    assert await pair.same()


async def test_what_was_applied_is_on_disk_once_the_site_was_told_to_stop(pair: Pair) -> None:
    await pair.east.write(post("1", "one"))
    await pair.catch_up()
    await pair.west.site.unfollow(guard=GUARD)
    await pair.west.crash()
    assert await pair.same()


async def test_a_site_that_serves_applies_nothing_that_its_peer_wrote(pair: Pair) -> None:
    await pair.east.write(post("1", "one"))
    batch = await pair.east.until_mark("batch")
    await pair.west.open()
    with pytest.raises(Refused, match="open"):
        await pair.apply(batch)
    await pair.west.applier.start()
    await pair.apply([item for item in batch if not item.changes])
    await pair.west.site.close(guard=GUARD)
    assert await pair.west.applier.following() is None
    with pytest.raises(StaleTerm):  # it has served: should the peer be promoted now, nothing may come over it
        await pair.apply(batch)
    await pair.west.applier.start()
    await pair.west.site.follow(backfill=False, guard=GUARD)
    await pair.apply(batch)
    assert await pair.same()


async def test_no_batch_is_applied_under_an_order_that_is_not_the_last(pair: Pair) -> None:
    await pair.east.write(post("1", "one"))
    batch = await pair.east.until_mark("batch")
    await pair.west.site.follow(backfill=False, guard=LATER)
    with pytest.raises(StaleTerm):
        await pair.apply(batch)
    await pair.west.applier.start()
    await pair.apply(batch, guard=LATER)
    await pair.west.site.unfollow(guard=LATER)
    with pytest.raises(StaleTerm):
        await pair.apply(batch, guard=LATER)
    assert await pair.same()


async def test_a_row_that_must_not_be_seen_is_set_aside_until_it_may(pair: Pair) -> None:
    await pair.east.write(post("1", "one"), post("2", "two"))
    aside = [Aside(table=POSTS, key=("1",), reason="its object is missing")]
    await pair.apply(await pair.east.until_mark("all"), aside=aside)
    assert list(await pair.west.contents(POSTS)) == [("2",)]
    assert list(await pair.west.applier.set_aside()) == aside
    assert (await pair.west.site.look()).set_aside == 1
    await pair.east.write(edit("1", "uno"))
    await pair.catch_up()
    assert list(await pair.west.applier.set_aside()) == []
    assert await pair.same()


async def test_a_value_that_the_log_left_out_is_asked_for_where_the_row_is_not_there(pair: Pair) -> None:
    await pair.east.write(post("1", "one"))
    await pair.east.until_mark("not applied")
    torn = Update(POSTS, ("1",), {"id": "1", "title": UNCHANGED, "likes": "3"})
    (mark,) = await pair.east.until_mark("here")
    batch = [Transaction(xid=mark.xid, position=mark.position, changes=(torn,))]
    (asked,) = await pair.apply(batch)
    assert (asked.key, asked.reason) == (("1",), READ_AGAIN)
    assert list(await pair.west.applier.set_aside()) == [asked]  # with the batch: a crash now forgets nothing
    found, snapshot = await pair.east.rows.read_again(POSTS, ("1",))
    assert found is not None
    assert found.changes == (post("1", "one"),)
    assert snapshot.sees(mark.xid)
    await pair.apply([found])
    assert await pair.same()
    assert list(await pair.west.applier.set_aside()) == []
    await pair.apply(batch)
    assert (await pair.west.contents(POSTS))["1",] == {"id": "1", "title": "one", "likes": "3"}
    assert (await pair.east.rows.read_again(POSTS, ("8",)))[0] is None


async def test_a_row_that_was_to_be_read_again_and_is_gone_or_whole_later_in_the_batch_is_not(
    pair: Pair,
) -> None:
    await pair.east.write(post("1", "one"), post("2", "two"), post("3", "three"))
    await pair.east.until_mark("not applied")
    (mark,) = await pair.east.until_mark("here")

    def torn(key: str, old: str | None = None) -> Update:
        row: Row = {"id": key, "title": UNCHANGED, "likes": "3"}
        return Update(POSTS, (key,), row, (old,) if old else None)

    later = (Delete(POSTS, ("1",)), post("2", "whole"), torn("4", "3"))
    changes = (torn("1"), torn("2"), torn("3"), *later)
    batch = [Transaction(xid=mark.xid, position=mark.position, changes=changes)]
    assert [row.key for row in await pair.apply(batch)] == [("4",)]
    assert [row.key for row in await pair.west.applier.set_aside()] == [("4",)]
    assert list(await pair.west.contents(POSTS)) == [("2",)]


async def test_touched_keys_are_remembered_until_they_are_forgotten(pair: Pair) -> None:
    site = pair.west.site
    await pair.east.write(post("1", "one"))
    await pair.catch_up()
    await site.watch_touched(guard=GUARD)
    await pair.east.write(post("2", "two"), like("1", "ann"))
    await pair.catch_up()
    assert await site.touched(9) == {POSTS: [("2",)], LIKES: [("1", "ann")]}
    await pair.east.write(edit("2", "dos"))
    await pair.catch_up()
    await site.forget_touched({POSTS: [("2",)], LIKES: [("1", "ann")]})
    assert await site.touched(9) == {POSTS: [("2",)]}
    assert (await site.look()).touched == 1


async def test_a_copy_under_writes_ends_with_the_same_rows(pair: Pair) -> None:
    """Chunks are placed as the engine places them: with the mark that stands behind each in the log."""
    for number in range(20):
        await pair.east.write(post(f"{number:02}", f"title {number}"))
    await pair.apply(await pair.east.until_mark("not copied yet"), aside=())
    await pair.west.site.follow(backfill=True, guard=GUARD)
    assert (await pair.west.site.look()).tables_pending == 3
    after: Key | None = None
    for step in range(20):
        chunk = await pair.east.rows.read_chunk(POSTS, after, 6)
        await pair.east.write(edit(f"{step:02}", f"changed {step}"), post(f"new {step}", f"new {step}"))
        await pair.east.write(Delete(POSTS, (f"{19 - step:02}",)))
        *changes, mark = await pair.east.until_mark(f"chunk {step}")
        written = {change.key for item in changes for change in item.changes}  # type: ignore[union-attr]
        await pair.apply(changes)
        await pair.west.applier.place(chunk, without=written, aside=(), mark=mark, guard=GUARD)
        after = chunk.last
        if after is None:
            break
    assert after is None
    assert [one.done for one in await pair.west.applier.copying() if one.table == POSTS] == [True]
    assert await pair.same()


async def test_a_listing_under_writes_names_what_was_there_all_along_exactly_once(pair: Pair) -> None:
    steady = [(f"{number:03}",) for number in range(0, 60, 2)]
    await pair.east.write(*(post(key, f"steady {key}") for (key,) in steady))
    seen: list[Key] = []
    after: Key | None = None
    for step in range(99):
        page = await pair.east.rows.digests(POSTS, after, 7)
        seen += page.rows
        await pair.east.write(post(f"{2 * step + 1:03}", f"new {step}"))
        if page.last is None:
            break
        after = page.last
    assert len(seen) == len(set(seen))
    assert [key for key in seen if key in steady] == steady


async def test_a_site_from_which_all_was_removed_is_absent_and_writable(pair: Pair) -> None:
    for end in (pair.east, pair.west):
        await end.leave_log()
        await end.applier.close()
        await end.site.remove(guard=GUARD)
        assert (await end.site.fence()) == Fence(state=FenceState.ABSENT)
        assert not (await end.site.look()).slot
        assert await end.applier.following() is None
        await end.write(post("1", "one"))
