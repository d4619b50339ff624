"""Rows that are read from the peer by themselves: what is in the log may not be visible there yet."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from cutover.engine.worker import Worker
from cutover.model.change import UNCHANGED, Insert, Transaction, Update
from cutover.ports.database import Aside
from resilience_tests.simulated.apart import HOME, POSTS, Apart, ending, post, wrote

KEY = ("1",)
OLD, NEW = post("1", "old"), post("1", "new")
LONG_LOST = Aside(table=POSTS, key=KEY, reason="its object was not there")


@asynccontextmanager
async def _following(apart: Apart) -> AsyncIterator[None]:
    """One run of west's worker."""
    worker = asyncio.ensure_future(Worker(apart.parts, "west").run())
    try:
        yield
    finally:
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)


async def _committed_and_not_visible(apart: Apart, *, torn: bool) -> Transaction:
    """It waits for a standby; west has met it in east's log and applied it. Torn: without a large value."""
    waiting = apart.east.commit((Update(POSTS, KEY, NEW),), request="r")
    if torn:
        change = Update(POSTS, KEY, {**NEW, "sha": UNCHANGED})
        apart.east.log[-1] = replace(waiting, changes=(change,))
    wrote(
        apart.east, Insert(POSTS, ("2",), post("2", "another"))
    )  # tells readers of the log that there is more
    await asyncio.sleep(1)
    assert apart.west.applied is not None
    assert apart.west.applied.reaches(waiting.position)
    return waiting


async def _shown_at_last(apart: Apart, waiting: Transaction) -> None:
    await asyncio.sleep(7)
    apart.east.show(waiting)
    await asyncio.sleep(12)
    assert apart.west.rows(POSTS) == apart.east.rows(POSTS)
    assert not apart.west.aside


def test_a_row_that_the_next_worker_reads_again_is_not_older_than_what_was_applied() -> None:
    async def story(apart: Apart) -> None:
        wrote(apart.east, Insert(POSTS, KEY, OLD))
        await apart.applied(LONG_LOST)
        async with _following(apart):
            waiting = await _committed_and_not_visible(apart, torn=True)
        async with _following(apart):
            await _shown_at_last(apart, waiting)

    ending(story)


def test_a_row_that_was_merged_is_not_taken_back_by_the_next_worker() -> None:
    async def story(apart: Apart) -> None:
        wrote(apart.east, Insert(POSTS, KEY, OLD))
        await apart.applied()
        apart.east.merged[POSTS, KEY] = None
        await apart.parts.sites["west"].follow(backfill=False, rejoin=True, guard=HOME)
        async with _following(apart):
            await asyncio.sleep(1)
            waiting = await _committed_and_not_visible(apart, torn=False)
            assert apart.west.rows(POSTS)[KEY] == NEW
        async with _following(apart):
            await _shown_at_last(apart, waiting)

    ending(story)
