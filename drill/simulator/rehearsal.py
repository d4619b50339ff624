"""One migration in a simulated world, with users, from preflight to its end and a verdict."""

import gc
import json
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cutover.model.journal import Entry
from cutover.model.plan import Plan
from cutover.model.stage import Stage
from drill.checkers import Evidence, verdict_of
from drill.history import Event, Kind
from drill.planted.plant import Plant
from drill.sample_plan import sample_plan
from drill.schedule import Load, Schedule
from drill.simulator.loop import run
from drill.simulator.network import DELAY_SECONDS_MAX
from drill.simulator.world import World
from drill.verdict import Finding, Verdict
from drill.workload.clients import Amount

if TYPE_CHECKING:
    from drill.simulator.rehearsing import Rehearsing

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
    loss: float = 0.0  #: share of what is lost between places
    astray: bool = True  #: now and then a call arrives at the wrong site
    lasts_seconds: float = 0.0  #: the drill goes on at least so long


BURST = Conditions(
    amount=Amount(uploads=150, others=500, clients=32, most=650), pace_seconds=0.02, delay_seconds=0.008
)
"""Many clients while tables are copied, and hardly any later: what goes wrong with a copy stays wrong."""


def conditions_of(load: Load) -> Conditions:
    """What a schedule's load means."""
    amount = Amount(uploads=load.uploads, others=load.others, clients=load.clients, most=load.most)
    plan = sample_plan()
    return Conditions(
        plan=replace(plan, lease=replace(plan.lease, lending=load.lending)),
        amount=amount,
        pace_seconds=load.pace_seconds,
        delay_seconds=load.delay_seconds,
        loss=load.loss,
        astray=load.astray,
        lasts_seconds=load.lasts_seconds,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What came out of one run."""

    seed: int
    schedule: Schedule
    history: bytes
    entries: tuple[Entry, ...]  #: of the journal, as coordinators told of them
    evidence: Evidence
    findings: tuple[Finding, ...]
    stage: Stage
    seconds: float  #: virtual
    asked_at: float  #: when the operator asked for an early roll back (virtual seconds); 0: never
    steps: int  #: callbacks
    terms: int  #: coordinators that took office
    away: bool  #: a site stayed away for good
    complaints: tuple[str, ...]

    @property
    def verdict(self) -> Verdict:
        """Over all findings."""
        return verdict_of(self.findings)

    @property
    def blunt(self) -> bool:
        """Nothing is wrong, and nothing is in doubt but whether its faults hit anything.

        Nor what became of a site that stayed away for good.
        """
        doubtful = {found.checker for found in self.findings if found.verdict is not Verdict.HELD}
        unjudged = {"bite", "converged"} if self.away else {"bite"}
        return self.verdict is Verdict.INCONCLUSIVE and doubtful <= unjudged

    @property
    def stranded(self) -> bool:
        """Nothing is in doubt but what was announced, with a bound, as stranded by a site lost for good.

        Or by its peer, if the site that is lost is the survivor. All of it was found on the disk of the
        site that was left, and is no more than what that had not sent, or it would be lost.
        """
        announced = self.evidence.stranded
        if not self.away or announced is None or announced.seconds is None or announced.transactions is None:
            return False
        doubtful = [found for found in self.findings if found.verdict is not Verdict.HELD]
        tails = [found for found in doubtful if found.stranded]
        others = {found.checker for found in doubtful if not found.stranded}
        return self.verdict is Verdict.INCONCLUSIVE and bool(tails) and others <= {"bite", "converged"}

    @property
    def sort(self) -> str:
        """What a count of many drills calls it: its verdict, or `blunt`, or `stranded`."""
        if self.blunt:
            return "blunt"
        return "stranded" if self.stranded else self.verdict.value

    def finding(self, checker: str) -> Finding:
        """What one checker concludes; KeyError when it was not asked."""
        return {finding.checker: finding for finding in self.findings}[checker]

    def explained(self) -> str:
        """The verdicts that are not clean, with their first witnesses, for a failing test."""
        lines = [f"seed {self.seed}: ended in {self.stage.value} after {self.seconds:.2f} virtual seconds"]
        lines.append(f"schedule: {self.schedule.name}")
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
    schedule = Schedule(seed=seed, ending=ending)
    return _run(schedule, plant, conditions or Conditions(), disturb)


def play(schedule: Schedule, *, plant: Plant | None = None, plan: Plan | None = None) -> Rehearsal:
    """Run one drill as its schedule says; the same schedule gives the same bytes."""
    conditions = conditions_of(schedule.load)
    if plan is not None:
        conditions = replace(conditions, plan=plan)
    return _run(schedule, plant, conditions, None)


def _run(
    schedule: Schedule, plant: Plant | None, conditions: Conditions, disturb: Disturb | None
) -> Rehearsal:
    from drill.simulator.rehearsing import Rehearsing

    return to_its_end(Rehearsing(schedule, plant, conditions, disturb))


def to_its_end(told: "Rehearsing") -> Rehearsal:
    """Run one that is prepared, in a loop of its own."""
    with _no_collections():
        return run(told.schedule.seed, told.run)


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


def events_of(lines: bytes) -> list[Event]:
    """The lines of a history that is held in memory."""
    said = (json.loads(line) for line in lines.splitlines())
    return [Event(**{**line, "type": Kind(line["type"])}) for line in said]
