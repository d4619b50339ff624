"""Two sites in memory and virtual time, for stories that call the engine's parts one by one."""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from cutover.adapters.memory.objects import MemoryBody, MemoryObjects, MemoryStore
from cutover.adapters.memory.replication import MemoryApplier, MemoryLog, MemoryRows
from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.site import MemorySite
from cutover.adapters.memory.witness import MemoryJournal, MemoryRegister, MemoryWitness
from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.change import Change, Row
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


async def _no_problems() -> list[str]:
    return []


@dataclass
class Apart:
    """East was left, and west serves; what either is to have done is called on the servers."""

    east: MemoryServer
    west: MemoryServer
    parts: Parts

    @classmethod
    async def made(cls, *, reach_seconds: float = 0.0) -> "Apart":
        """Both prepared; east serves, and west follows. Each look and write takes `reach_seconds` twice."""

        async def reach() -> None:
            await asyncio.sleep(reach_seconds)

        now = asyncio.get_running_loop().time
        east, west = (MemoryServer(name, PLAN, now, reach) for name in ("east", "west"))
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


def ending(story: Callable[[Apart], Awaitable[None]], *, reach_seconds: float = 0.0) -> None:
    """Run a story in virtual time."""

    async def told() -> None:
        await story(await Apart.made(reach_seconds=reach_seconds))

    run(1, told)
