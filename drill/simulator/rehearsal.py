"""One migration in a simulated world, with users, from preflight to its end and a verdict."""

import asyncio
import gc
import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from random import Random
from typing import Any

from cutover.engine.journalling import ask, state_of
from cutover.model.journal import Intent
from cutover.model.plan import Plan
from cutover.model.stage import Stage
from cutover.protocol.replay import State
from drill.checkers import Evidence, judge, verdict_of
from drill.history import Event, HistoryWriter, Kind, history_of
from drill.planted.plant import Plant
from drill.sample_plan import sample_plan
from drill.simulator.loop import run
from drill.simulator.world import DELAY_SECONDS_MAX, World
from drill.stores import SiteStores
from drill.verdict import Finding, Verdict, Witness
from drill.workload.clients import Amount, Workload
from sample_platform.ports import PlatformApi

ENDINGS: Mapping[str, tuple[Intent | None, Stage]] = {
    "soak": (None, Stage.SOAK),
    "complete": (Intent.COMPLETE, Stage.COMPLETE),
    "roll-back": (Intent.ROLL_BACK, Stage.ROLLED_BACK),
}
HEAD_START_SECONDS = 0.5
"""How long users are at work before the migration begins, so that there is something to copy."""
SOAK_SECONDS = 0.7
"""How long users are at work at the target before an operator completes or rolls back."""
GOAL_SECONDS = 60.0
"""Longest that a migration may take to its goal (virtual seconds) before that is inconclusive."""
ASTRAY = 0.1
"""Share of calls that arrive at the other site, as through an old or a hasty DNS answer."""

USUAL = Amount(uploads=60, others=400, clients=8, most=3_000)
"""Operations of a migration under the usual conditions."""

Disturb = Callable[[World], Awaitable[None]]
"""What goes wrong meanwhile; it ends with everything started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the migration and its users find; the usual ones take about a second of real time."""

    plan: Plan = field(default_factory=sample_plan)
    amount: Amount = USUAL
    pace_seconds: float = 0.05  #: mean pause of a client, so that its operations last through the migration
    delay_seconds: float = DELAY_SECONDS_MAX  #: longest way to a server, and back


BURST = Conditions(
    amount=Amount(uploads=150, others=500, clients=32, most=650), pace_seconds=0.02, delay_seconds=0.008
)
"""Many clients while tables are copied, and hardly any later: what goes wrong with a copy stays wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What came out of one run."""

    seed: int
    history: bytes
    evidence: Evidence
    findings: tuple[Finding, ...]
    stage: Stage
    seconds: float  #: virtual
    steps: int  #: callbacks
    terms: int  #: coordinators that took office
    complaints: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """Over all findings."""
        return verdict_of(self.findings)

    def finding(self, checker: str) -> Finding:
        """What one checker concludes; KeyError when it was not asked."""
        return {finding.checker: finding for finding in self.findings}[checker]

    def explained(self) -> str:
        """The verdicts that are not clean, with their first witnesses, for a failing test."""
        lines = [f"seed {self.seed}: ended in {self.stage.value} after {self.seconds:.2f} virtual seconds"]
        for finding in self.findings:
            if finding.verdict is not Verdict.HELD:
                lines.append(f"{finding.checker} {finding.verdict.value} {dict(finding.counts)}")
                lines += [f"  {witness.what}" for witness in finding.witnesses[:5]]
        return "\n".join(lines)


def rehearse(
    seed: int,
    *,
    ending: str = "complete",
    plant: Plant | None = None,
    conditions: Conditions | None = None,
    disturb: Disturb | None = None,
) -> Rehearsal:
    """Run one migration to its verdict; the same arguments give the same bytes."""
    told = Rehearsing(seed, ending, plant, conditions or Conditions(), disturb)
    with _no_collections():
        return run(seed, told.run)


@contextmanager
def _no_collections() -> Iterator[None]:
    """A collection ends abandoned generators in the loop, at a moment that depends on earlier runs."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


@dataclass(frozen=True, slots=True)
class Astray:
    """One site's platform as clients reach it: now and then the call arrives at the other site.

    Only once that site is fenced: before, nothing in its database could
    refuse. And no `get`, which a site that does not serve answers by what it
    happens to have.
    """

    world: World
    site: str
    chance: Random

    def __getattr__(self, name: str) -> Any:
        peer = self.world.plan.peer(self.site)
        fenced = self.world.servers[peer].prepared
        astray = self.chance.random() < ASTRAY and fenced and name != "get"
        return getattr(self.world.platforms[peer if astray else self.site], name)


@dataclass(slots=True)
class Rehearsing:
    """A rehearsal under way."""

    seed: int
    ending: str
    plant: Plant | None
    conditions: Conditions
    disturb: Disturb | None
    problems: list[Witness] = field(default_factory=list)

    async def run(self) -> Rehearsal:
        """Everything, in the loop's own time."""
        loop: Any = asyncio.get_running_loop()
        written = BytesIO()
        history = HistoryWriter(written, loop.time)
        plan = self.conditions.plan
        world = World(seed=self.seed, plan=plan, history=history, plant=self.plant)
        world.network.seconds_max = self.conditions.delay_seconds
        workload = self._workload(world, history)
        await self._migrate(world, workload)
        evidence, stage = await self._evidence(world)
        await world.stop()
        self.problems += [Witness(what=f"a process ended by itself: {what}") for what in world.died]
        progress = Finding(
            checker="progress",
            verdict=Verdict.INCONCLUSIVE if self.problems else Verdict.HELD,
            witnesses=tuple(self.problems),
        )
        return Rehearsal(
            seed=self.seed,
            history=written.getvalue(),
            evidence=evidence,
            findings=(*judge(history_of(events_of(written.getvalue())), evidence), progress),
            stage=stage,
            seconds=loop.time(),
            steps=loop.steps,
            terms=max((entry.term for entry in world.entries), default=0),
            complaints=tuple(world.complaints),
        )

    def _workload(self, world: World, history: HistoryWriter) -> Workload:
        apis: dict[str, Any] = {
            site: Astray(world, site, world.random(f"astray {site}")) for site in world.platforms
        }
        reached: Mapping[str, PlatformApi] = apis
        return Workload(
            apis=reached,
            route=world.named_site,
            history=history,
            random=world.random("workload"),
            amount=self.conditions.amount,
            first_site=world.plan.source,
        )

    async def _migrate(self, world: World, workload: Workload) -> None:
        """Users are at work until all is over; then the other site is given its time."""
        world.start_sites()
        workload.hold(pace_seconds=self.conditions.pace_seconds)
        clients = asyncio.ensure_future(workload.run())
        try:
            async with asyncio.timeout(GOAL_SECONDS):
                await self._move(world)
        except TimeoutError:
            await self._stuck(world)
        workload.release()
        await clients
        await self._settle(world)

    async def _move(self, world: World) -> None:
        await asyncio.sleep(HEAD_START_SECONDS)
        world.start("coordinator")
        if self.disturb is not None:
            disturbing = asyncio.ensure_future(self.disturb(world))
        else:
            disturbing = asyncio.ensure_future(asyncio.sleep(0))
        try:
            await _reach(world, _at_soak)
            intent, goal = ENDINGS[self.ending]
            if intent is not None:
                await asyncio.sleep(SOAK_SECONDS)
                await ask(world.parts("operator"), intent)
                await _reach(world, lambda state: state.stage is goal and not state.pending)
            await disturbing
        finally:
            disturbing.cancel()
            await asyncio.wait([disturbing])

    async def _stuck(self, world: World) -> None:
        state = await state_of(world.parts("operator"))
        where = state.stage.value if state else "its beginning"
        waits = world.progress.waiting_for if world.progress else ""
        what = f"no goal within {GOAL_SECONDS:.0f} s: it stands at {where} and waits until {waits!r}"
        self.problems.append(Witness(what=what))

    async def _settle(self, world: World) -> None:
        """Nobody writes any more: wait until the other site has everything, if it still follows."""
        for site in world.servers:
            await world.kill(f"deliveries {site}")
        serving = await world.named_site() or world.plan.source
        follower = world.servers[world.plan.peer(serving)]
        end = world.servers[serving].end
        for _ in range(200):
            if follower.told is None or (follower.applied is not None and follower.applied.reaches(end)):
                return
            await asyncio.sleep(0.05)

    async def _evidence(self, world: World) -> tuple[Evidence, Stage]:
        state = await state_of(world.parts("operator"))
        stage = state.stage if state else Stage.PREFLIGHT
        serving = await world.named_site() or world.plan.source
        first: SiteStores = await world.reader(serving).read()
        second: SiteStores = await world.reader(world.plan.peer(serving)).read()
        over = stage in (Stage.COMPLETE, Stage.ROLLED_BACK)
        return Evidence(serving=first, other=second, stage=stage.value, complete=over), stage


async def _reach(world: World, there: Callable[[State], bool]) -> None:
    """Wait until the journal says so."""
    parts = world.parts("operator")
    while True:
        news = world.news
        state = await state_of(parts)
        if state is not None and there(state):
            return
        await news.wait()


def _at_soak(state: State) -> bool:
    return state.stage is Stage.SOAK and not state.pending and bool(state.clean)


def events_of(lines: bytes) -> list[Event]:
    """The lines of a history that is held in memory."""
    said = (json.loads(line) for line in lines.splitlines())
    return [Event(**{**line, "type": Kind(line["type"])}) for line in said]
