"""Two sites in memory that count apart, and the merge of it: what is counted in the end, and what is kept."""

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from cutover.adapters.clock import SystemClock
from cutover.adapters.memory.objects import MemoryObjects, MemoryStore
from cutover.adapters.memory.replication import MemoryApplier, MemoryLog, MemoryRows
from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.site import MemorySite
from cutover.adapters.memory.witness import MemoryJournal, MemoryRegister, MemoryWitness
from cutover.engine.homecoming import merge_stranded
from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.change import Change, Delete, Insert, Row, Update
from cutover.model.plan import MergeRule, Plan, Table
from cutover.protocol.merging import Place

DAY: Place = ("public.days", ("mon",))
"""What was counted on a day: made by whoever counts first."""
POST: Place = ("public.posts", ("p",))
NEW_POST: Place = ("public.posts", ("q",))
LIKE: Place = ("public.likes", ("ann",))
PLAN = Plan(
    name="twice",
    source="east",
    target="west",
    tables=(
        Table(name="days", key=("id",), merge=MergeRule.COUNTER, counters=("n",)),
        Table(name="posts", key=("id",), merge=MergeRule.COUNTER, counters=("n",)),
        Table(name="likes", key=("id",), merge=MergeRule.APPEND),
    ),
)
AT_THE_FORK = 100


@dataclass(frozen=True, slots=True)
class Deed:
    """One transaction: how much it adds to which rows, in order; a row that is not there is made."""

    request: str | None
    added: tuple[tuple[Place, int], ...] = ()
    gone: Place | None = None
    title: str | None = None

    def write(self, server: MemoryServer) -> None:
        """Commit it there."""
        seen: dict[Place, Row] = {}
        changes: list[Change] = []
        for place, amount in self.added:
            before = seen.get(place) or server.tables[place[0]].get(place[1])
            n = amount + int(str(before.get("n", 0))) if before else amount
            row: Row = {"id": place[1][0], "n": str(n)} if place != LIKE else {"id": place[1][0]}
            row |= {"title": self.title} if self.title else {}
            changes.append(Update(*place, row, old=before) if before else Insert(*place, row))
            seen[place] = row
        if self.gone is not None:
            changes.append(Delete(*self.gone))
        server.show(server.commit(changes, request=self.request))


@dataclass(frozen=True, slots=True)
class Home:
    """What there is at the survivor once the other site is home."""

    counted: dict[Place, int]
    kept: int  #: versions in quarantine


async def merged(
    left: tuple[Deed, ...], survivor: tuple[Deed, ...], *, unique: Mapping[str, str] | None = None
) -> Home:
    """Bring east home to west; both had one post at the fork. `unique`: columns whose values must differ."""
    servers = {name: _server(name) for name in ("east", "west")}
    servers["west"].unique = {table: (column,) for table, column in (unique or {}).items()}
    parts = _parts(servers)
    for name, server in servers.items():
        Deed(None, ((POST, AT_THE_FORK),)).write(server)
        await parts.sites[name].prepare(guard=Guard(1, 1))
        await parts.sites[name].keep_log(guard=Guard(1, 1))
    west = parts.sites["west"]
    await west.open(epoch=2, started=await west.instant(), seconds=600, guard=Guard(2, 0))
    for name, deeds in (("east", left), ("west", survivor)):
        for deed in deeds:
            deed.write(servers[name])
    outcome = await merge_stranded(parts, "east", Guard(2, 1))
    counted = {
        (table, key): int(str(row["n"]))
        for table in servers["west"].tables
        for key, row in servers["west"].rows(table).items()
        if "n" in row
    }
    return Home(counted, int(str(outcome["kept"])))


async def _at_once() -> None:
    """No network."""


def _server(name: str) -> MemoryServer:
    return MemoryServer(name, PLAN, asyncio.get_running_loop().time, _at_once)


async def _nothing() -> list[str]:
    return []


def _parts(servers: dict[str, MemoryServer]) -> Parts:
    witness = MemoryWitness()
    return Parts(
        plan=PLAN,
        sites={name: MemorySite(server) for name, server in servers.items()},
        rows={name: MemoryRows(server) for name, server in servers.items()},
        stores={name: MemoryObjects(MemoryStore(name)) for name in servers},
        logs={name: partial(MemoryLog, server) for name, server in servers.items()},
        appliers={name: MemoryApplier(server) for name, server in servers.items()},
        register=MemoryRegister(witness),
        journal=MemoryJournal(witness),
        clock=SystemClock(),
        random=random.Random(7),
        preflight=_nothing,
    )
