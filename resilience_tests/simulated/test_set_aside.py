"""Rows that cannot be applied block the verify gate, and not the line."""

import asyncio

from cutover.engine.worker import Worker
from cutover.model.change import Insert
from resilience_tests.simulated.apart import POSTS, Apart, ending, post, wrote


def test_many_rows_without_their_objects_do_not_hold_up_the_changes_behind_them() -> None:
    """Each is tried again now and then, which takes several calls: all at once they took seconds a round."""
    rows = 300

    async def story(apart: Apart) -> None:
        for n in range(rows):
            wrote(apart.east, Insert(POSTS, (f"gone{n}",), post(f"gone{n}", "film", film=True)))
        complaints: list[str] = []
        worker = asyncio.ensure_future(Worker(apart.parts, "west", complaints.append).run())
        async with asyncio.timeout(60):
            while len(apart.west.aside) < rows:
                await asyncio.sleep(0.1)
        for n in range(12):  # spread over more than a round of trying them again
            wrote(apart.east, Insert(POSTS, (f"{n}",), post(f"{n}", "text")))
            async with asyncio.timeout(2):
                while (f"{n}",) not in apart.west.rows(POSTS):
                    await asyncio.sleep(0.1)
            await asyncio.sleep(1.5)
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)
        assert not complaints

    ending(story, reach_seconds=0.02)
