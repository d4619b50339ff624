"""Two sites, a witness, their processes and their users, in one event loop.

Everything here is production code but the ports under it and the network:
coordinator, workers, agents, the platform's logic, the drill's workload. Each
process has a name and can be killed and started again. What is random comes
from the seed and a name, so that a run depends on nothing else.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any

from cutover.adapters.memory.objects import MemoryObjects, MemoryStore
from cutover.adapters.memory.replication import MemoryApplier, MemoryLog, MemoryRows
from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.site import MemorySite
from cutover.adapters.memory.witness import MemoryJournal, MemoryRegister, MemoryWitness
from cutover.engine.agent import Agent
from cutover.engine.coordinator import Coordinator, Progress
from cutover.engine.journalling import state_of
from cutover.engine.parts import Parts
from cutover.engine.router import route
from cutover.engine.worker import Worker
from cutover.errors import CutoverError, StaleTerm
from cutover.model.journal import Entry, Kind
from cutover.model.plan import Plan
from cutover.ports.database import ChangeLog
from cutover.protocol.advance import ENDED
from drill.history import HistoryWriter
from drill.planted.plant import Plant
from drill.simulator.objects import SimulatedObjects
from drill.simulator.records import SimulatedRecords, SimulatedServingCheck
from drill.simulator.stores import SimulatedStoreReader
from sample_platform.errors import PlatformError
from sample_platform.platform import Platform

DELAY_SECONDS_MAX = 0.004
"""Longest way to a server, and longest way back (seconds): two sites of one region."""
REST_SECONDS = 0.1
"""Pause of a resting coordinator between two looks at the journal."""
DELIVERY_SECONDS = 0.25
"""Pause of a platform between two looks at its queue, as its service has it."""


@dataclass(slots=True)
class Network:
    """Delays whatever crosses it, by a seeded while."""

    chance: Random
    seconds_max: float = DELAY_SECONDS_MAX

    async def reach(self) -> None:
        """Be under way."""
        await asyncio.sleep(self.chance.random() * self.seconds_max)


class LoopClock:
    """The running loop's clock as the engine's."""

    def monotonic(self) -> float:
        """Virtual seconds."""
        return asyncio.get_running_loop().time()

    def stamp(self) -> str:
        """A wall clock could not be repeated."""
        return ""

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        await asyncio.sleep(seconds)


@dataclass(slots=True, kw_only=True)
class World:
    """Make it inside a running loop. Processes are called `worker west`, `agent east`, `coordinator`..."""

    seed: int
    plan: Plan
    history: HistoryWriter
    plant: Plant | None = None
    network: Network = field(init=False)
    servers: dict[str, MemoryServer] = field(init=False)
    stores: dict[str, MemoryStore] = field(init=False)
    platforms: dict[str, Platform] = field(init=False)
    witness: MemoryWitness = field(default_factory=MemoryWitness)
    progress: Progress | None = None  #: what a coordinator said last
    complaints: list[str] = field(default_factory=list)  #: of workers and agents
    died: list[str] = field(default_factory=list)  #: processes that ended by themselves, with the reason
    entries: list[Entry] = field(default_factory=list)  #: of the journal, as they were written
    news: asyncio.Event = field(default_factory=asyncio.Event)  #: set at the next entry, and then replaced
    _running: "dict[str, asyncio.Task[None]]" = field(default_factory=dict)
    _lives: int = 0

    def __post_init__(self) -> None:
        clock = asyncio.get_running_loop().time
        self.network = Network(self.random("network"))
        names = (self.plan.source, self.plan.target)
        self.servers = {name: MemoryServer(name, self.plan, clock, self.network.reach) for name in names}
        self.stores = {name: MemoryStore(name) for name in names}
        self.platforms = {name: self._platform(name) for name in names}

    def random(self, name: str) -> Random:
        """The random source of that name."""
        return Random(f"{self.seed} {name}")

    def parts(self, process: str) -> Parts:
        """What one process is put together from; with the planted bug, if it carries that."""
        reach = self.network.reach
        self._lives += 1
        parts = Parts(
            plan=self.plan,
            sites={name: MemorySite(server) for name, server in self.servers.items()},
            rows={name: MemoryRows(server) for name, server in self.servers.items()},
            stores={name: MemoryObjects(store, reach) for name, store in self.stores.items()},
            logs={name: self._log(server) for name, server in self.servers.items()},
            appliers={name: MemoryApplier(server) for name, server in self.servers.items()},
            register=MemoryRegister(self.witness, reach),
            journal=MemoryJournal(self.witness, reach),
            clock=LoopClock(),
            random=self.random(f"{process}, life {self._lives}"),
            preflight=self._preflight,
        )
        planted = self.plant is not None and process.split()[0] in self.plant.processes
        return self.plant.in_parts(parts) if self.plant is not None and planted else parts

    def _log(self, server: MemoryServer) -> Callable[[], ChangeLog]:
        return lambda: MemoryLog(server)

    async def _preflight(self) -> list[str]:
        return []

    def _platform(self, site: str) -> Platform:
        kind = Platform
        if self.plant is not None and "platform" in self.plant.processes:
            kind = self.plant.platform
        return kind(
            site=site,
            records=SimulatedRecords(self.servers[site]),
            objects=SimulatedObjects(MemoryObjects(self.stores[site], self.network.reach)),
            serving=SimulatedServingCheck(self.servers[site]),
            random=self.random(f"platform {site}"),
        )

    async def named_site(self) -> str | None:
        """Which site the router names, as a client asks it."""
        named = await route(MemoryRegister(self.witness, self.network.reach))
        return None if named is None else named.site

    def reader(self, site: str) -> SimulatedStoreReader:
        """Reads a site's stores for the checkers."""
        return SimulatedStoreReader(self.servers[site], self.stores[site])

    # -- processes ----------------------------------------------------------------------------

    def start_sites(self) -> None:
        """Everything but a coordinator."""
        for site in self.servers:
            for kind in ("agent", "worker", "deliveries"):
                self.start(f"{kind} {site}")

    def start(self, process: str) -> None:
        """Start a process, if it is not running."""
        if process not in self._running:
            self._running[process] = asyncio.ensure_future(self._guarded(process))

    async def kill(self, process: str) -> None:
        """End a process wherever it stands: what it has sent is done, and nothing else of it."""
        task = self._running.pop(process, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def stop(self) -> None:
        """End everything."""
        for process in list(self._running):
            await self.kill(process)

    async def _guarded(self, process: str) -> None:
        """A coordinator that was taken over may end; any other end is told."""
        try:
            await self._life(process)
        except StaleTerm:
            pass
        except Exception as error:
            self.died.append(f"{process}: {type(error).__name__}: {error}")
        self._running.pop(process, None)

    def _life(self, process: str) -> Coroutine[Any, Any, None]:
        kind, _, site = process.partition(" ")
        match kind:
            case "agent":
                return Agent(self.parts(process), site, report=self._complain).run()
            case "worker":
                return Worker(self.parts(process), site, report=self._complain).run()
            case "deliveries":
                return self._deliver(self.platforms[site])
            case "coordinator":
                return self._coordinate(self.parts(process))
        raise ValueError(f"no process is called {process!r}")

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    async def _coordinate(self, parts: Parts) -> None:
        """Carry on whenever an operator has written something, until the migration has ended."""
        while await Coordinator(parts, self._progressed, self._recorded).run() not in ENDED:
            resting = await state_of(parts)
            while (await state_of(parts)) == resting and not (resting and resting.wanted):
                await asyncio.sleep(REST_SECONDS)

    async def _deliver(self, platform: Platform) -> None:
        """Work the distribution queue for ever; a site that does not serve only waits."""
        while True:
            try:
                await platform.work_queue()
            except (PlatformError, CutoverError) as error:
                self._complain(f"{error}")
            await asyncio.sleep(DELIVERY_SECONDS)

    def _progressed(self, progress: Progress) -> None:
        self.progress = progress

    def _recorded(self, entry: Entry) -> None:
        """Keep a journal entry once, although two coordinators may tell of it."""
        if self.entries and entry.n <= self.entries[-1].n:
            return
        self.entries.append(entry)
        self.news.set()
        self.news = asyncio.Event()
        if entry.kind is Kind.MOVE:
            self.history.move(
                stage=entry.stage or "",
                direction=entry.direction or "",
                actions=[str(action["action"]) for action in entry.actions],
                entry=entry.n,
            )
