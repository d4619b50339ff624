"""Strikes a simulated world as its schedule says, at crash points or at a time, and undoes it."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

from cutover.model.register import Grant
from drill.history import HistoryWriter
from drill.points import Point, PointedJournal, role, roles_of
from drill.schedule import Strike
from drill.simulator.faults import COORDINATORS, DEADLY, SIMULATED_FAULTS, SITES, Memory, Struck
from drill.simulator.nap import Nap
from drill.simulator.world import World
from drill.workload.clients import Workload

WITHOUT_EFFECT = frozenset({"verify-delta"})
"""Actions that may change nothing at all: a fault strikes during their first read."""

BITE_SECONDS = 0.6
"""Longest that a fault waits for something to be in flight."""
LOOK_SECONDS = 0.004
"""Pause between two looks at what is in flight: a call takes several of it."""

Bite = dict[str, object]


@dataclass(slots=True)
class Armed:
    """One strike that waits for its moment."""

    strike: Strike
    point: Point | None
    passed: int = 0  #: times that a coordinator came by
    begun: bool = False
    struck: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(slots=True)
class Nemesis:
    """Knows the world and what its users do; everything that it does is in the history."""

    world: World
    workload: Workload
    history: HistoryWriter
    strikes: tuple[Strike, ...]
    _armed: list[Armed] = field(init=False)
    _newest: Memory = field(init=False)  #: as it was when the present stage began
    _older: Memory = field(init=False)  #: as it was when the stage before that began
    _under_way: "dict[asyncio.Task[None], None]" = field(default_factory=dict)
    _standing: dict[int, tuple[Armed, Struck]] = field(default_factory=dict)  #: faults that are not undone
    _healed: bool = False  #: all is undone for good

    def __post_init__(self) -> None:
        self._armed = [
            Armed(strike, None if strike.time is not None else Point.parse(strike.point))
            for strike in self.strikes
        ]
        self._older = self._newest = Memory(self.world)
        if any(armed.point for armed in self._armed):
            self.world.on_point, self.world.on_journal = self.reached, self.listen
        for armed in self._armed:
            if armed.strike.time is not None:
                self._begin(self._in_time(armed, armed.strike.time))

    def _begin(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._under_way[task] = None
        task.add_done_callback(lambda over: self._under_way.pop(over, None))
        return task

    @property
    def over(self) -> bool:
        """Every strike that has begun is undone again, but for those that last to the end."""
        waiting = [one for one in self._armed if one.begun and not one.struck.is_set()]
        return not waiting and all(a.strike.seconds is None for a, _ in self._standing.values())

    @property
    def missed(self) -> list[Strike]:
        """Those that never came."""
        return [armed.strike for armed in self._armed if not armed.begun]

    # -- when -------------------------------------------------------------------------------

    async def reached(self, here: Point) -> None:
        """A coordinator stands at a crash point, before or after an action, or where a stage begins."""
        if here.action is None:
            self._older = self._newest.keep()
        await self._meet(here)

    async def _meet(self, here: Point) -> None:
        for armed in self._armed:
            if self._healed or armed.point is None or armed.begun or not armed.point.is_at(here):
                continue
            armed.passed += 1
            if armed.passed >= armed.strike.nth:
                armed.begun = True
                self._begin(self._strike(armed, standing=True))
                await armed.struck.wait()

    def listen(self, process: str, journal: PointedJournal) -> None:
        """Hear also of the moments during actions of a coordinator that has just begun."""
        wanted = [armed for armed in self._armed if armed.point and armed.point.when == "during"]
        if not any(armed.point and armed.point.action for armed in wanted):
            return

        async def during(effect: bool) -> None:  # noqa: FBT001
            here = journal.current
            if here is not None and (effect or here.action in WITHOUT_EFFECT):
                await self._meet(here)

        self.world.lives[process].trap = during

    async def _in_time(self, armed: Armed, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        older = max(0.0, seconds - 1.0)
        await Nap(max(0.0, older - loop.time()))
        if armed.strike.fault == "restore":
            self._newest.keep()
            self._older = self._newest
        await Nap(max(0.0, seconds - loop.time()))
        armed.begun = True
        await self._strike(armed, standing=False)

    # -- what -------------------------------------------------------------------------------

    async def _strike(self, armed: Armed, *, standing: bool) -> None:
        strike = armed.strike
        fault = SIMULATED_FAULTS[strike.fault]
        struck = Struck(self.world, strike.victim, self._older, strike.seconds)
        bite = await self._awaited_bite(strike.victim, standing=standing)
        self.history.fault(name=strike.fault, victim=strike.victim, point=strike.point, bite=bite)
        number = id(armed)
        self._standing[number] = (armed, struck)
        await fault.strike(struck)
        if strike.seconds is None and strike.fault in DEADLY and strike.victim in SITES:
            self.world.gone.add(struck.site)
        armed.struck.set()
        if strike.seconds is not None:
            await Nap(strike.seconds)
            await self._heal(number)

    async def _heal(self, number: int) -> None:
        found = self._standing.pop(number, None)
        if found is None:
            return
        armed, struck = found
        await SIMULATED_FAULTS[armed.strike.fault].heal(struck)
        self.history.heal(name=armed.strike.fault, victim=armed.strike.victim)

    async def heal_all(self, *, away: frozenset[str]) -> None:
        """Undo whatever stands, but for what keeps the victims in `away`; nothing strikes any more.

        Whoever waits at a crash point for a strike that will not come goes on.
        """
        self._healed = True
        for task in list(self._under_way):
            task.cancel()
        for task in list(self._under_way):
            await asyncio.wait([task])
        for armed in self._armed:
            armed.struck.set()
        for number, (armed, _) in list(self._standing.items()):
            if armed.strike.seconds is not None or armed.strike.victim not in away:
                await self._heal(number)
        if not any(self.world.is_running(name) for name in COORDINATORS):
            self.world.start(COORDINATORS[0])

    # -- what it hits -----------------------------------------------------------------------

    async def _awaited_bite(self, victim: str, *, standing: bool) -> Bite | None:
        """Wait for a moment until the fault would hit something; None when nothing came."""
        for _ in range(round(BITE_SECONDS / LOOK_SECONDS)):
            found = self.bite(victim, standing=standing)
            if found is not None:
                return found
            await Nap(LOOK_SECONDS)
        return self.bite(victim, standing=standing)

    def bite(self, victim: str, *, standing: bool) -> Bite | None:
        """What is in flight on the victim, or on a link that it needs; None: nothing."""
        world, plan = self.world, self.world.plan
        kind, found = victim.partition("-")[0], Bite()
        everywhere = kind in ("sites", "witness", "backend")
        action = world.state.pending[0] if world.state.pending else None
        if action is not None:
            at = roles_of(plan, action.name, getattr(action, "site", None))
            if kind in ("coordinator", "witness", "sites") or kind in at:
                found["action"] = action.name
        elif standing and kind in ("coordinator", "witness"):
            found["call"] = "its own, at the crash point"
        calls = [role(plan, site) for site in self.workload.under_way.values()]
        if operations := len(calls) if everywhere else calls.count(kind):
            found["operations"] = operations
        fed = [role(plan, site) for site in world.servers if self._is_fed(site)]
        needed = kind in ("source", "target", "sites") or (kind == "worker" and self._site_of(victim) in fed)
        if fed and needed:
            found["changes to"] = fed
        if (grant := world.witness.grant()) is not None and self._must_renew(victim, grant):
            found["lease"] = grant.lease_holder
        return found or None

    def _site_of(self, victim: str) -> str:
        return victim.partition("-")[2] or {"worker": "target", "agent": "source"}.get(victim, victim)

    def _is_fed(self, site: str) -> bool:
        server, peer = self.world.servers[site], self.world.servers[self.world.plan.peer(site)]
        if server.told is None:
            return False
        behind = server.applied is None or not server.applied.reaches(peer.end)
        return behind or any(not table.done for table in server.copying.values())

    def _must_renew(self, victim: str, grant: Grant) -> bool:
        """Renewals are a few a lease: whoever stands between them and the witness bites for certain."""
        if victim == "witness":
            return True
        kind = victim.partition("-")[0]
        return kind in ("source", "target", "agent") and grant.lease_holder == (
            self.world.plan.target if self._site_of(victim) == "target" else self.world.plan.source
        )
