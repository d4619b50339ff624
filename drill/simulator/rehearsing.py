"""A rehearsal under way: users at work, a migration that an operator drives, and a nemesis.

In two phases. While faults stand, only safety may be demanded. Then everything
is healed but for what the schedule keeps away, and the migration must come to
its goal and both sites must become alike within a stated bound.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from typing import Any

from cutover.engine.journalling import ask
from cutover.errors import CutoverError
from cutover.model.journal import Entry, Intent
from cutover.model.register import Parting
from cutover.model.stage import Stage
from cutover.protocol.replay import State, replay
from drill.checkers import Announced, Evidence, Paced, Scheduled, judge
from drill.checkers.cascade import comparable
from drill.drills import EARLY
from drill.history import HistoryWriter, history_of
from drill.planted.plant import Plant
from drill.points import Point
from drill.schedule import Schedule
from drill.simulator.clients import Astray
from drill.simulator.faults import DEADLY
from drill.simulator.nap import Nap
from drill.simulator.nemesis import Nemesis
from drill.simulator.rehearsal import Conditions, Disturb, Rehearsal, events_of
from drill.simulator.world import World
from drill.stores import SiteStores, with_quarantine_of
from drill.verdict import Finding, Verdict, Witness
from drill.workload.clients import Workload

ENDINGS: Mapping[str, tuple[Intent | None, Stage]] = {
    "soak": (None, Stage.SOAK),
    "complete": (Intent.COMPLETE, Stage.COMPLETE),
    "roll-back": (Intent.ROLL_BACK, Stage.ROLLED_BACK),
}
ENDED = (Stage.COMPLETE, Stage.ROLLED_BACK)
HEAD_START_SECONDS = 0.5
"""How long users are at work before the migration begins, so that there is something to copy."""
SOAK_SECONDS = 0.7
"""How long users are at work at the target before an operator completes or rolls back."""
GOAL_SECONDS = 60.0
"""Longest that a migration may take to its goal (virtual seconds) while faults come and go."""
HEALED_SECONDS = 40.0
"""Longest that it may take once everything is healed, before that is inconclusive."""
SETTLE_SECONDS = 15.0
"""Longest that the other site may take to have everything, once nobody writes any more."""
OPERATOR_SECONDS = 0.5
"""Pause of the operator between two looks at what the migration waits for."""


@dataclass(slots=True)
class Rehearsing:
    """A rehearsal under way."""

    schedule: Schedule
    plant: Plant | None
    conditions: Conditions
    disturb: Disturb | None
    problems: list[Witness] = field(default_factory=list)
    _world: World = field(init=False)
    _nemesis: Nemesis = field(init=False)
    _partings: dict[int, Parting] = field(default_factory=dict)  #: by the epoch of the survivor
    _healed_at: float = 0.0
    _asked_at: float = 0.0  #: when an early roll back was asked for
    _paced: Paced | None = None  #: while users kept one pace; None: they had done the most that they may

    async def run(self) -> Rehearsal:
        """Everything, in the loop's own time."""
        loop: Any = asyncio.get_running_loop()
        written = BytesIO()
        history = HistoryWriter(written, loop.time)
        world = World(seed=self.schedule.seed, plan=self.conditions.plan, history=history, plant=self.plant)
        self._world = world
        self._worsen(world)
        workload = self._workload(world, history)
        self._nemesis = Nemesis(world, workload, history, self.schedule.strikes)
        self._listen(world)
        await self._migrate(workload)
        evidence, stage = await self._evidence()
        recorded = history_of(events_of(written.getvalue()))
        if self._paced is not None and evidence.serving_is_up:  # else nobody is there to carry the load
            evidence = replace(evidence, paced=comparable(recorded, self._paced))
        away = any(not world.hosts[site].up for site in world.servers)
        await world.stop()
        self.problems += [Witness(what=f"a process ended by itself: {what}") for what in world.died]
        progress = Finding(
            checker="progress",
            verdict=Verdict.INCONCLUSIVE if self.problems else Verdict.HELD,
            witnesses=tuple(self.problems),
        )
        return Rehearsal(
            seed=self.schedule.seed,
            schedule=self.schedule,
            history=written.getvalue(),
            entries=tuple(world.entries),
            evidence=evidence,
            findings=(*judge(recorded, evidence), progress),
            stage=stage,
            seconds=loop.time(),
            asked_at=self._asked_at,
            steps=loop.steps,
            away=away,
            terms=max((entry.term for entry in world.entries), default=0),
            complaints=tuple(world.complaints),
        )

    def _worsen(self, world: World) -> None:
        """The network as the conditions say, from the beginning."""
        world.network.seconds_max = self.conditions.delay_seconds
        for here in world.places:
            for there in world.places:
                if here != there:
                    world.network.way(here, there).loss = self.conditions.loss

    def _workload(self, world: World, history: HistoryWriter) -> Workload:
        apis: dict[str, Any] = dict(world.apis)
        if self.conditions.astray:
            apis = {site: self._astray(world, site) for site in world.apis}
        return Workload(
            apis=apis,
            route=world.named_site,
            history=history,
            random=world.random("workload"),
            amount=self.conditions.amount,
            first_site=world.plan.source,
        )

    def _astray(self, world: World, site: str) -> Astray:
        peer = world.plan.peer(site)
        chance = world.random(f"astray {site}")
        return Astray(world.apis[site], world.apis[peer], lambda: world.servers[peer].prepared, chance)

    # -- the migration ------------------------------------------------------------------------

    async def _migrate(self, workload: Workload) -> None:
        """Users are at work until all is over; then the other site is given its time."""
        world = self._world
        world.start_sites()
        workload.hold(pace_seconds=self.conditions.pace_seconds)
        held_at = asyncio.get_running_loop().time()
        clients = asyncio.ensure_future(workload.run())
        operators = [asyncio.ensure_future(self._operate()), asyncio.ensure_future(self._roll_back_early())]
        await self._within(GOAL_SECONDS, self._while_faults_come)
        await self._nemesis.heal_all(away=self._away)
        await Nap(world.plan.lease.seconds + world.plan.lease.margin)
        self._healed_at = asyncio.get_running_loop().time()
        if not await self._within(HEALED_SECONDS, self._to_the_goal):
            self._stuck()
        if workload.done < workload.amount.most and workload.since is not None:
            begins = max(held_at + HEAD_START_SECONDS, workload.since)
            self._paced = Paced(begins=begins, ends=asyncio.get_running_loop().time())
        workload.release()
        await clients
        await self._within(HEALED_SECONDS, self._to_the_goal)  # a promotion may have come late
        for operator in operators:
            operator.cancel()
            await asyncio.wait([operator])
        await self._settle()

    async def _within(self, seconds: float, what: Callable[[], Any]) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await what()
        except TimeoutError:
            return False
        return True

    async def _while_faults_come(self) -> None:
        world = self._world
        await Nap(HEAD_START_SECONDS)
        world.start("coordinator")
        if self.disturb is not None:
            disturbing = asyncio.ensure_future(self.disturb(world))
        else:
            disturbing = asyncio.ensure_future(asyncio.sleep(0))
        try:
            await self._to_the_goal()
            await disturbing
            while not self._nemesis.over:
                await Nap(0.1)
            await Nap(max(0.0, self.conditions.lasts_seconds - asyncio.get_running_loop().time()))
        finally:
            disturbing.cancel()
            await asyncio.wait([disturbing])

    async def _to_the_goal(self) -> None:
        """The ending that the operator asks for; what ended before stays where it is."""
        world = self._world
        if self._early is None:
            await self._reach(_at_soak)
            if self._intent is not None and world.state.wanted is not self._intent:
                await Nap(SOAK_SECONDS)
                await self._ask(self._intent)
        if self._intent is not None:
            goal = ENDINGS["roll-back"][1] if self._early else ENDINGS[self.schedule.ending][1]
            await self._reach(lambda state: state.stage is goal and not state.pending)

    @property
    def _early(self) -> str | None:
        """The stage at whose beginning, or the point at which, the operator rolls back; None: from soak."""
        ending = self.schedule.ending
        return ending.removeprefix(EARLY) if ending.startswith(EARLY) else None

    @property
    def _intent(self) -> Intent | None:
        return Intent.ROLL_BACK if self._early else ENDINGS[self.schedule.ending][0]

    async def _reach(self, there: Callable[[State], bool]) -> None:
        """Wait until the journal says so, or the migration has ended and nothing of it is left to do."""
        world = self._world
        while world.state.stage not in ENDED or world.state.pending:
            if there(world.state) and not self._apart():
                return
            await world.news.wait()

    def _apart(self) -> bool:
        """A survivor serves, and the other site has not come home."""
        grant = self._world.witness.grant()
        return grant is not None and grant.parted is not None

    async def _ask(self, intent: Intent | None, **facts: object) -> None:
        """An operator's command, repeated until the witness has it."""
        parts = self._world.parts("operator")
        while True:
            try:
                await ask(parts, intent, **facts)
            except CutoverError:
                await parts.clock.sleep(OPERATOR_SECONDS)
            else:
                return

    async def _operate(self) -> None:
        """What a person does who reads `cutover status` now and then."""
        world = self._world
        while True:
            await Nap(OPERATOR_SECONDS)
            grant = world.witness.grant()
            if grant is not None and grant.parted is not None:
                self._partings[grant.parted.epoch] = grant.parted
            waits = world.progress.waiting_for if world.progress else ""
            if "cutover approve" in waits:
                await self._ask(None)
            elif "cutover resume" in waits:
                await self._ask(Intent.RESUME)
            elif "cutover quarantine list" in waits:
                await self._decide()
            elif "cutover stranded merge" in waits:
                await self._ask(Intent.MERGE)
            elif "cutover verify" in waits:
                await self._ask(Intent.VERIFY)

    def _listen(self, world: World) -> None:
        """Be there when the migration comes by the point at which the operator changes his mind."""
        if self._early is None or "/" not in self._early:
            return
        wanted, told = Point.parse(self._early), world.on_point

        async def reached(here: Point) -> None:
            if self._asked_at == 0.0 and wanted.is_at(here):
                await self._roll_back_now()
            if told is not None:
                await told(here)

        world.on_point = reached

    async def _roll_back_early(self) -> None:
        """As soon as the stage begins at which the operator changes his mind."""
        world = self._world
        if self._early is not None and "/" not in self._early:
            while world.state.stage.value != self._early.replace("-", "_"):
                await world.news.wait()
            await self._roll_back_now()

    async def _roll_back_now(self) -> None:
        self._asked_at = asyncio.get_running_loop().time()
        await self._ask(Intent.ROLL_BACK)

    async def _decide(self) -> None:
        """A person reads the quarantine and lets what stands there stay."""
        sites = self._world.parts("operator").sites
        for site in sites.values():
            try:
                for one in await site.quarantine():
                    await site.resolve(one.number, take=False)
            except CutoverError:
                return

    # -- the end ------------------------------------------------------------------------------

    @property
    def _away(self) -> frozenset[str]:
        """Victims that the schedule keeps away for good."""
        strikes = self.schedule.strikes
        return frozenset(one.victim for one in strikes if one.seconds is None and one.fault in DEADLY)

    def _stuck(self) -> None:
        world = self._world
        if any(not world.hosts[site].up for site in world.servers):
            return  # judged by the survivor alone
        waits = world.progress.waiting_for if world.progress else ""
        state = world.state
        doing = f", {len(state.pending)} action(s) left" if state.pending else ""
        what = (
            f"no goal within {HEALED_SECONDS:.0f} s after all was healed: it stands at {state.stage.value}"
            f"{doing} and waits until {waits!r}; last complaints: {world.complaints[-2:]}"
        )
        self.problems.append(Witness(what=what))

    async def _settle(self) -> None:
        """Nobody writes any more: wait until the other site has everything, if it still follows."""
        world = self._world
        for site in world.servers:
            await world.kill(f"deliveries {site}")
        ends = asyncio.get_running_loop().time() + SETTLE_SECONDS
        while asyncio.get_running_loop().time() < ends:
            follower = world.servers[world.plan.peer(world.serving)]
            end = world.servers[world.serving].end
            if follower.told is None or (follower.applied is not None and follower.applied.reaches(end)):
                return
            await Nap(0.05)

    async def _evidence(self) -> tuple[Evidence, Stage]:
        world = self._world
        entries = [world.witness.entry(n) for n in sorted(world.witness.entries)]
        stage = _stage_of(entries)
        serving = world.serving
        first, second = await self._stores(serving), await self._stores(world.plan.peer(serving))
        struck = tuple(
            Scheduled(fault=one.fault, victim=one.victim, point=one.point) for one in self.schedule.strikes
        )
        return (
            Evidence(
                serving=with_quarantine_of(first, second),
                other=second if self._other_is_there() else None,
                remains=None if self._other_is_there() else second,
                fences={site: world.servers[site].fence() for site in world.servers if world.hosts[site].up},
                serving_is_up=world.hosts[serving].up,
                stage=stage.value,
                complete=stage in ENDED,
                scheduled=struck,
                conflicts_expected=bool(self._partings),
                announced=self._announced(stage),
                healed_at=self._healed_at,
                converged_within=SETTLE_SECONDS,
            ),
            stage,
        )

    def _other_is_there(self) -> bool:
        """A dead site that serves is read after its death: nobody else may answer for it."""
        return self._world.hosts[self._world.plan.peer(self._world.serving)].up

    async def _stores(self, site: str) -> SiteStores:
        return await self._world.reader(site).read()

    def _announced(self, stage: Stage) -> Announced | None:
        """What was said of a site that was left: how much, if its tail is not home; else only that it was."""
        announced = None
        for epoch in sorted(self._partings):
            parted = self._partings[epoch]
            announced = Announced(site=parted.left, epoch=epoch - 1, before=announced)
        if announced is None or (self._other_is_there() and stage is not Stage.PARTED):
            return announced
        seconds = self._partings[max(self._partings)].unsent.seconds
        bound = None if seconds is None else seconds + self.conditions.plan.lease.seconds
        return replace(announced, seconds=bound, transactions=self._unsent(announced.site))

    def _unsent(self, left: str) -> int | None:
        """How many transactions of a site its peer has not: the simulator can count them.

        None when what the peer has is of another log.
        """
        server, applied = self._world.servers[left], self._world.servers[self._world.plan.peer(left)].applied
        if applied is not None and not server.end.reaches(applied):
            return None
        tail = server.log[applied.offset if applied else 0 :]
        return sum(not transaction.foreign for transaction in tail)


def _stage_of(entries: list[Entry]) -> Stage:
    """Where a journal stands; one that is broken stands where it was whole last."""
    state = State()
    for entry in entries:
        if entry.n != state.next_n:
            break
        state = replay([entry], state)
    return state.stage


def _at_soak(state: State) -> bool:
    return state.stage is Stage.SOAK and not state.pending and bool(state.clean)
