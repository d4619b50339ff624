"""What a site that was left brings home, and what it must not bring by itself."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from cutover.adapters.memory import site as memory_site
from cutover.adapters.memory.replication import MemoryLog
from cutover.engine.homecoming import list_stranded, merge_stranded
from cutover.model.change import Delete, Insert, LogItem, Update
from cutover.ports.database import Aside
from resilience_tests.simulated.apart import HOME, POSTS, Apart, ending, post, wrote

MISSING = Aside(table=POSTS, key=("1",), reason="object 'film' is not in the store of east")


def test_an_upload_that_the_survivor_had_set_aside_comes_home() -> None:
    """It lies before the fork, so it is in nobody's tail; and an open site's worker may not apply it."""

    async def story(apart: Apart) -> None:
        wrote(apart.east, Insert(POSTS, ("1",), post("1", "new", film=True)))
        await apart.applied(MISSING)
        await apart.parted()
        await apart.stored("east")
        assert (await list_stranded(apart.parts, "east"))["rows"] == 1
        outcome = await merge_stranded(apart.parts, "east", HOME)
        assert (outcome["merged"], outcome["kept"]) == (1, 0)
        assert apart.west.rows(POSTS)["1",] == post("1", "new", film=True)
        assert not await apart.parts.appliers["west"].set_aside()
        assert await apart.parts.stores["west"].head("film") is not None

    ending(story)


def test_an_edit_that_the_survivor_had_set_aside_comes_home_unless_a_user_edited_the_old_row_there() -> None:
    async def story(apart: Apart) -> None:
        wrote(apart.east, Insert(POSTS, ("1",), post("1", "old")), Insert(POSTS, ("2",), post("2", "old")))
        await apart.applied()
        edits = [Update(POSTS, (key,), post(key, "edited", film=True)) for key in ("1", "2")]
        wrote(apart.east, *edits)
        await apart.applied(MISSING, replace(MISSING, key=("2",)))
        await apart.parted()
        await apart.stored("east")
        wrote(apart.west, Update(POSTS, ("2",), post("2", "at west"), old=post("2", "old")), request="w")
        await merge_stranded(apart.parts, "east", HOME)
        assert apart.west.rows(POSTS)["1",] == post("1", "edited", film=True)
        assert apart.west.rows(POSTS)["2",] == post("2", "at west")
        (kept,) = apart.west.quarantine.values()
        assert kept.row == post("2", "edited", film=True)
        assert not await apart.parts.appliers["west"].set_aside()

    ending(story)


def test_what_was_set_aside_and_cannot_be_had_at_home_either_is_kept() -> None:
    async def story(apart: Apart) -> None:
        wrote(apart.east, Insert(POSTS, ("1",), post("1", "new", film=True)))
        await apart.applied(MISSING)
        await apart.parted()
        assert (await merge_stranded(apart.parts, "east", HOME))["kept"] == 1
        assert ("1",) not in apart.west.rows(POSTS)
        assert not await apart.parts.appliers["west"].set_aside()

    ending(story)


def test_a_delete_that_nobody_asked_for_is_listed_with_the_reason_of_the_brake() -> None:
    """The brake had stopped it while the site served; coming home it would have passed unseen."""

    async def story(apart: Apart) -> None:
        wrote(apart.east, *(Insert(POSTS, (f"{n}",), post(f"{n}", "here")) for n in range(20)))
        await apart.applied()
        wrote(apart.east, *(Delete(POSTS, (f"{n}",)) for n in range(20)), request=None)
        await apart.parted()
        listed = await list_stranded(apart.parts, "east")
        assert "deletes 20 rows" in str(listed["brake"])

    ending(story)


def test_a_site_that_forgot_what_it_had_of_its_peers_log_merges_nothing_by_itself() -> None:
    """Restored from a backup, it does not know what the survivor did since: its rows are kept, not merged."""

    async def story(apart: Apart) -> None:
        wrote(apart.east, Insert(POSTS, ("1",), post("1", "old")))
        await apart.applied()
        await apart.parted()
        wrote(apart.west, Update(POSTS, ("1",), post("1", "at west"), old=post("1", "old")))
        apart.east.applied = apart.west.position(0)
        apart.west.slot = len(apart.west.log)
        assert (await merge_stranded(apart.parts, "east", HOME))["merged"] == 0
        assert apart.west.rows(POSTS)["1",] == post("1", "at west")
        assert len(apart.west.quarantine) == 1

    ending(story)


def test_the_survivors_log_is_read_before_any_row_is_locked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge that is silent for too long is ended: a long log would be read again and again, in vain."""

    async def story(apart: Apart) -> None:
        wrote(apart.east, Insert(POSTS, ("1",), post("1", "stranded")))
        await apart.parted()
        for n in range(50):
            wrote(apart.west, Insert(POSTS, (f"w{n}",), post(f"w{n}", "since")), request=f"w{n}")
        slow = replace(apart.parts, logs={**apart.parts.logs, "west": lambda: SlowLog(apart.west)})
        assert (await merge_stranded(slow, "east", HOME))["merged"] == 1

    monkeypatch.setattr(memory_site, "HOLD_SECONDS", 2.0)
    ending(story)


class SlowLog(MemoryLog):
    """A tenth of a second for every transaction."""

    async def read(self) -> AsyncIterator[LogItem]:
        async for item in MemoryLog.read(self):
            await asyncio.sleep(0.1)
            yield item
