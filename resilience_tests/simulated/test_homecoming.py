"""What a site that was left brings home, and what it must not bring by itself."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import pytest

from cutover.adapters.memory import site as memory_site
from cutover.adapters.memory.objects import MemoryBody, MemoryObjects, MemoryStore
from cutover.adapters.memory.replication import MemoryApplier, MemoryLog, MemoryRows
from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.site import MemorySite
from cutover.adapters.memory.witness import MemoryJournal, MemoryRegister, MemoryWitness
from cutover.engine.homecoming import list_stranded, merge_stranded
from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.change import Change, Delete, Insert, LogItem, Row, Update
from cutover.model.objects import ObjectInfo
from cutover.model.plan import Deletes, Gates, MergeRule, ObjectOf, Plan, Table
from cutover.ports.database import Aside
from drill.simulator.loop import run

POSTS = "public.posts"
BYTES = b"film"
DIGEST = hashlib.sha256(BYTES).hexdigest()
PLAN = Plan(
    name="m",
    source="east",
    target="west",
    deletes=Deletes.REQUIRE_REQUEST,
    gates=Gates(delete_rows=10),
    tables=(
        Table(
            name="posts",
            key=("id",),
            merge=MergeRule.RECORD,
            objects=(ObjectOf(key_column="object", digest_column="sha"),),
        ),
    ),
)
FIRST, SURVIVOR, HOME = Guard(1, 1), Guard(2, 0), Guard(3, 1)
LONG = 1e9  #: seconds of a lease that is not the subject


class Clock:
    """Of the virtual loop."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()

    def stamp(self) -> str:
        return ""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def _reached() -> None:
    await asyncio.sleep(0)


async def _no_problems() -> list[str]:
    return []


@dataclass
class Apart:
    """East was left, and west serves; what either is to have done is called on the servers."""

    east: MemoryServer
    west: MemoryServer
    parts: Parts

    @classmethod
    async def made(cls) -> "Apart":
        """Both prepared; east serves, and west follows."""
        now = asyncio.get_running_loop().time
        east, west = (MemoryServer(name, PLAN, now, _reached) for name in ("east", "west"))
        servers, witness = {"east": east, "west": west}, MemoryWitness()
        parts = Parts(
            plan=PLAN,
            sites={name: MemorySite(server) for name, server in servers.items()},
            rows={name: MemoryRows(server) for name, server in servers.items()},
            stores={name: MemoryObjects(MemoryStore(name)) for name in servers},
            logs={"east": lambda: MemoryLog(east), "west": lambda: MemoryLog(west)},
            appliers={name: MemoryApplier(server) for name, server in servers.items()},
            register=MemoryRegister(witness),
            journal=MemoryJournal(witness),
            clock=Clock(),
            random=random.Random(1),
            preflight=_no_problems,
        )
        for site in parts.sites.values():
            await site.prepare(guard=FIRST)
            await site.keep_log(guard=FIRST)
        await parts.sites["east"].open(
            epoch=1, started=await parts.sites["east"].instant(), seconds=LONG, guard=FIRST
        )
        await parts.sites["west"].follow(backfill=False, guard=FIRST)
        return cls(east, west, parts)

    async def applied(self, *aside: Aside) -> None:
        """West has all of east's log."""
        await self.parts.appliers["west"].apply(list(self.east.log), upserting=(), aside=aside, guard=FIRST)

    async def parted(self) -> None:
        """East is gone, and closed when it is back; west was promoted."""
        east, west = self.parts.sites["east"], self.parts.sites["west"]
        await east.close(guard=FIRST)
        await west.unfollow(guard=SURVIVOR)
        await west.open(epoch=2, started=await west.instant(), seconds=LONG, guard=SURVIVOR)

    async def stored(self, site: str) -> None:
        """The one object is there."""
        body = MemoryBody(ObjectInfo(size=len(BYTES), etag="e"), BYTES)
        await self.parts.stores[site].put_if_absent("film", body)


def post(key: str, title: str, *, film: bool = False) -> Row:
    return {"id": key, "title": title, "object": "film" if film else None, "sha": DIGEST if film else None}


def wrote(server: MemoryServer, *changes: Change, request: str | None = "r") -> None:
    server.show(server.commit(changes, request=request))


def ending(story: Callable[[Apart], Awaitable[None]]) -> None:
    """Run a story in virtual time."""

    async def told() -> None:
        await story(await Apart.made())

    run(1, told)


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
