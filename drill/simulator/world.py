"""Two sites, a witness, their processes and their users, in one event loop.

Everything here is production code but the ports under it and the network:
coordinator, workers, agents, the platform's logic, the drill's workload. Each
process has a name and can be killed, paused and started again; a site dies as
one. What is random comes from the seed and a name, so that a run depends on
nothing else.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any, cast

from cutover.adapters.memory.objects import MemoryObjects, MemoryStore
from cutover.adapters.memory.replication import MemoryApplier, MemoryLog, MemoryRows
from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.site import MemorySite
from cutover.adapters.memory.witness import MemoryJournal, MemoryRegister, MemoryWitness
from cutover.engine.agent import Agent
from cutover.engine.coordinator import Coordinator, Progress
from cutover.engine.parts import Parts
from cutover.engine.resting import rest
from cutover.engine.router import route
from cutover.engine.worker import Worker
from cutover.errors import CutoverError, StaleTerm
from cutover.model.journal import Entry, Kind
from cutover.model.plan import Plan
from cutover.ports.database import Applier, ChangeLog, Rows, SiteDatabase
from cutover.ports.witness import Journal
from cutover.protocol.advance import ENDED
from cutover.protocol.replay import State, replay
from drill.history import HistoryWriter
from drill.planted.plant import Plant
from drill.points import Point, PointedJournal
from drill.simulator.clients import ClientApi
from drill.simulator.nap import Nap
from drill.simulator.network import Line, Network, Remote, RemoteApplier, RemoteLog
from drill.simulator.objects import SimulatedObjects
from drill.simulator.places import CLIENTS, OPERATOR, WITNESS, Host, Life, ProcessClock, SiteClock
from drill.simulator.records import REFERENCES, SEQUENCES, UNIQUE, SimulatedRecords, SimulatedServingCheck
from drill.simulator.stores import SimulatedStoreReader
from sample_platform.errors import PlatformError
from sample_platform.platform import Platform

AGAIN_SECONDS = 1.0
"""How long an operator takes to start a coordinator that ended with an error."""
DELIVERY_SECONDS = 1.0
"""Pause of a platform between two looks at its queue: longer than its service's, for it is most of what
an idle site does."""
DRIFT = 0.0005
"""Largest error of a clock's rate: half a second in a quarter of an hour."""

OnPoint = Callable[[Point], Awaitable[None]]
Listen = Callable[[str, PointedJournal], None]
KINDS = ("agent", "worker", "deliveries")


async def _nothing() -> None:
    """Nobody strikes."""


async def _at_once() -> None:
    """The line has brought the request already."""


@dataclass(slots=True, kw_only=True)
class World:
    """Make it inside a running loop. Processes are called `worker west`, `agent east`, `coordinator`..."""

    seed: int
    plan: Plan
    history: HistoryWriter
    plant: Plant | None = None
    network: Network = field(init=False)
    hosts: dict[str, Host] = field(init=False)
    clocks: dict[str, SiteClock] = field(init=False)
    servers: dict[str, MemoryServer] = field(init=False)
    stores: dict[str, MemoryStore] = field(init=False)
    platforms: dict[str, Platform] = field(init=False)
    apis: dict[str, ClientApi] = field(init=False)
    witness: MemoryWitness = field(default_factory=MemoryWitness)
    lives: dict[str, Life] = field(default_factory=dict)  #: by process, the newest of each
    progress: Progress | None = None  #: what a coordinator said last
    complaints: list[str] = field(default_factory=list)  #: of workers, agents and coordinators
    died: list[str] = field(default_factory=list)  #: processes that ended by themselves, with the reason
    entries: list[Entry] = field(default_factory=list)  #: of the journal, as they were written
    state: State = field(default_factory=State)  #: where those entries stand
    news: asyncio.Event = field(default_factory=asyncio.Event)  #: set at the next entry, and then replaced
    on_point: OnPoint | None = None  #: told of each crash point as a coordinator comes by
    on_journal: Listen | None = None  #: told of each coordinator's journal, once it has one
    gone: set[str] = field(default_factory=set)  #: sites that died for good: whatever else is undone
    _running: "dict[str, asyncio.Task[None]]" = field(default_factory=dict)
    _made: int = 0

    def __post_init__(self) -> None:
        self.network = Network(self.random("network"))
        names = [self.plan.source, self.plan.target]
        drift = self.random("clocks")
        self.hosts = {name: Host(name) for name in [*names, WITNESS]}
        self.clocks = {name: SiteClock(1.0 + drift.uniform(-DRIFT, DRIFT)) for name in [*names, OPERATOR]}
        self.servers = {name: self._server(name) for name in names}
        self.stores = {name: MemoryStore(name) for name in names}
        self.platforms = {name: self._platform(name) for name in names}
        clients = Life(CLIENTS, CLIENTS)
        self.lives[CLIENTS] = clients
        self.apis = {
            name: ClientApi(self.platforms, name, self.network.line(clients, self.hosts[name]))
            for name in names
        }

    def random(self, name: str) -> Random:
        """The random source of that name."""
        return Random(f"{self.seed} {name}")

    @property
    def places(self) -> tuple[str, ...]:
        """Everywhere that a link begins or ends."""
        return (self.plan.source, self.plan.target, WITNESS, OPERATOR, CLIENTS)

    # -- what a site has ------------------------------------------------------------------------

    def _server(self, site: str) -> MemoryServer:
        server = MemoryServer(site, self.plan, self.clocks[site], _at_once)
        server.references, server.unique = REFERENCES, UNIQUE
        server.sequence = dict.fromkeys(SEQUENCES, 0)
        server.pause = partial(self._moment, self.hosts[site])
        return server

    async def _moment(self, host: Host, moment: str) -> None:
        """Between two moments of a transaction, inside a server."""
        if host.trap is not None:
            await host.trap(moment)
        await Nap(self.network.chance.random() * self.network.seconds_max)
        if host.thawed is not None:
            await host.awake()

    def _platform(self, site: str) -> Platform:
        kind = Platform
        if self.plant is not None and "platform" in self.plant.processes:
            kind = self.plant.platform
        line = self.network.line(Life(f"platform {site}", site), self.hosts[site])
        return kind(
            site=site,
            records=SimulatedRecords(self.servers[site]),
            objects=SimulatedObjects(MemoryObjects(self.stores[site], carry=line.carry)),
            serving=SimulatedServingCheck(self.servers[site]),
            random=self.random(f"platform {site}, life {self.hosts[site].lives}"),
        )

    async def kill_site(self, site: str, *, power: bool = False) -> None:
        """All of it at one instant: processes, platform, database and store; `power`: as by a power cut."""
        self.hosts[site].up = False
        for kind in KINDS:
            await self.kill(f"{kind} {site}")
        await self.hosts[site].die()
        chance = self.random(f"crash {site} {self.hosts[site].lives}")
        self.servers[site].crash(None if power else chance)

    def restart_site(self, site: str) -> None:
        """On the same data, unless it is gone for good; every lease is void."""
        if site in self.gone:
            return
        self.hosts[site].up = True
        self.platforms[site] = self._platform(site)
        for kind in KINDS:
            self.start(f"{kind} {site}")

    def freeze_site(self, site: str) -> None:
        """All of it stands still: what it is sent waits."""
        self.hosts[site].freeze()
        for kind in KINDS:
            self.pause(f"{kind} {site}")

    def thaw_site(self, site: str) -> None:
        """It wakes with all that it believed."""
        self.hosts[site].thaw()
        for kind in KINDS:
            self.resume(f"{kind} {site}")

    def reader(self, site: str) -> SimulatedStoreReader:
        """Reads a site's stores for the checkers."""
        return SimulatedStoreReader(self.servers[site], self.stores[site])

    # -- what a process is made of ----------------------------------------------------------------

    def parts(self, process: str) -> Parts:
        """What one process is put together from; with the planted bug, if it carries that."""
        life = self._life_of(process)
        lines = {name: self.network.line(life, host) for name, host in self.hosts.items()}
        servers = self.servers.items()
        witness = lines[WITNESS].carry
        parts = Parts(
            plan=self.plan,
            sites={n: cast(SiteDatabase, Remote(MemorySite(server), lines[n])) for n, server in servers},
            rows={n: cast(Rows, Remote(MemoryRows(server), lines[n])) for n, server in servers},
            stores={n: MemoryObjects(store, carry=lines[n].carry) for n, store in self.stores.items()},
            logs={n: _log(server, lines[n]) for n, server in servers},
            appliers={n: cast(Applier, RemoteApplier(MemoryApplier(s), lines[n])) for n, s in servers},
            register=MemoryRegister(self.witness, carry=witness),
            journal=self._journal(process, MemoryJournal(self.witness, carry=witness)),
            clock=ProcessClock(life, self.clocks[life.place].rate),
            random=self.random(f"{process}, life {self._made}"),
            preflight=self._preflight,
        )
        planted = self.plant is not None and process.split()[0] in self.plant.processes
        return self.plant.in_parts(parts) if self.plant is not None and planted else parts

    def _life_of(self, process: str) -> Life:
        self._made += 1
        place = process.partition(" ")[2]
        life = Life(process, place if place in self.servers else OPERATOR)
        self.lives[process] = life
        return life

    def _journal(self, process: str, journal: Journal) -> Journal:
        if self.on_point is None or not process.startswith("coordinator"):
            return journal
        pointed = PointedJournal(journal, self.plan, self.on_point, lambda _: None)
        if self.on_journal is not None:
            self.on_journal(process, pointed)
        return pointed

    async def _preflight(self) -> list[str]:
        return []

    async def named_site(self) -> str | None:
        """Which site the router names, as a client asks it; None when nobody answers."""
        line = self.network.line(self.lives[CLIENTS], self.hosts[WITNESS])
        try:
            named = await route(MemoryRegister(self.witness, carry=line.carry))
        except CutoverError:
            return None
        return None if named is None else named.site

    @property
    def serving(self) -> str:
        """Which site the register names, as it stands there now."""
        grant = self.witness.grant()
        return self.plan.source if grant is None else grant.serving

    # -- processes ----------------------------------------------------------------------------

    def start_sites(self) -> None:
        """Everything but a coordinator."""
        for site in self.servers:
            for kind in KINDS:
                self.start(f"{kind} {site}")

    def start(self, process: str) -> None:
        """Start a process, if it is not running."""
        if process not in self._running:
            self._running[process] = asyncio.ensure_future(self._guarded(process))

    def is_running(self, process: str) -> bool:
        """Whether it was started, and has not ended since."""
        return process in self._running

    async def kill(self, process: str) -> None:
        """End a process wherever it stands: what it has sent is done, and nothing else of it."""
        task = self._running.pop(process, None)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def pause(self, process: str) -> None:
        """It takes no further step; what it has sent is done."""
        if process in self.lives:
            self.lives[process].pause()

    def resume(self, process: str) -> None:
        """It goes on with all that it believed."""
        if process in self.lives:
            self.lives[process].resume()

    async def stop(self) -> None:
        """End everything."""
        for process in list(self._running):
            await self.kill(process)
        for host in self.hosts.values():
            await host.die()

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
                return self._deliver(self._life_of(process), self.platforms[site])
            case "coordinator":
                return self._coordinate(process)
        raise ValueError(f"no process is called {process!r}")

    def _complain(self, text: str) -> None:
        self.complaints.append(text)

    async def _coordinate(self, process: str) -> None:
        """Carry on whenever an operator has written something; one that ends is started again."""
        while True:
            parts = self.parts(process)
            try:
                if await Coordinator(parts, self._progressed, self._recorded).run() in ENDED:
                    return
                await rest(parts)
            except StaleTerm:
                raise
            except CutoverError as error:
                self._complain(f"{process}: {error}")
                await parts.clock.sleep(AGAIN_SECONDS)

    async def _deliver(self, life: Life, platform: Platform) -> None:
        """Work the distribution queue for ever; a site that does not serve only waits."""
        while True:
            try:
                await platform.work_queue()
            except (PlatformError, CutoverError) as error:
                self._complain(f"{error}")
            await Nap(DELIVERY_SECONDS)
            await life.awake()

    def _progressed(self, progress: Progress) -> None:
        self.progress = progress

    def _recorded(self, entry: Entry) -> None:
        """A coordinator tells of an entry: take in the journal as the witness holds it."""
        held = self.witness.entries
        if len(held) < self.state.next_n:  # the witness was given an older state
            self.state = State()
        while self.state.next_n in held:
            self._take_in(self.witness.entry(self.state.next_n))

    def _take_in(self, entry: Entry) -> None:
        self.state = replay([entry], self.state)
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


def _log(server: MemoryServer, line: Line) -> Callable[[], ChangeLog]:
    return lambda: RemoteLog(MemoryLog(server), line)
