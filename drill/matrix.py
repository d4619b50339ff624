"""The crash matrix: every crash point, every victim, every fault, where the pair makes sense.

The points come from the protocol, the faults and victims from the simulator;
so a new action, or a new fault, is in the matrix without anybody remembering it.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, as_completed
from dataclasses import dataclass, replace

from cutover.model.stage import Stage
from drill.detours import ways_to
from drill.drills import EARLY
from drill.points import Point, victims_by_point
from drill.sample_plan import sample_plan
from drill.schedule import Load, Schedule, Strike
from drill.simulator.faults import SIMULATED_FAULTS, check_victim
from drill.verdict import Verdict

ANYWHERE = frozenset({"witness", "agent", "sites", "backend"})
"""Victims on whom something is in flight at every point."""
LOAD = Load(clients=4, uploads=6, others=20, most=26, pace_seconds=0.3)
LONG_LOAD = replace(LOAD, others=90, most=100)
"""For victims that have something to do only once the target serves: users must still be at work then."""
APART_LOAD = replace(LONG_LOAD, lasts_seconds=14.0)
"""The same, and long enough for a site to be lost late and to come home."""
LATE = frozenset({"worker-source", "agent-target"})
BESIDE_SECONDS = 3.0
"""How long what is beside goes on: longer than the victim of a cell is away."""
BATCH = 40
"""Cells that one process runs before it tells of them: some two seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Beside:
    """What goes wrong at each cell's point as well: many losses need two things at once."""

    fault: str
    victim: str

    @classmethod
    def parse(cls, text: str) -> "Beside":
        """`partition:sites`; raises ValueError naming what there is."""
        name, _, victim = text.partition(":")
        check_victim(name, victim)
        return cls(fault=name, victim=victim)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One fault of one victim at one point, and what came of it."""

    point: str
    fault: str
    victim: str
    first: tuple[Strike, ...] = ()  #: what must go wrong before, or no migration comes by the point
    beside: Beside | None = None
    verdict: str = ""  #: `blunt` when nothing is in doubt but whether it hit anything
    what: str = ""  #: the first witness against it

    def schedule(self, seed: int) -> Schedule:
        """What the drill of this cell is told."""
        point = Point.parse(self.point)
        seconds = SIMULATED_FAULTS[self.fault].seconds[0]
        strike = Strike(fault=self.fault, victim=self.victim, point=self.point, seconds=seconds)
        strikes = (*self.first, *self._beside(), strike)
        return Schedule(seed=seed, ending=point.ending or "soak", strikes=strikes, load=self._load(point))

    def _load(self, point: Point) -> Load:
        if point.parted:
            return APART_LOAD
        return LONG_LOAD if self.victim in LATE or self.first else LOAD

    @property
    def where(self) -> str:
        """The point, and how one comes by it."""
        return f"{self.point}{''.join(f', after {one}' for one in self.first)}"

    def _beside(self) -> tuple[Strike, ...]:
        if self.beside is None:
            return ()
        fault, victim = self.beside.fault, self.beside.victim
        return (Strike(fault=fault, victim=victim, point=self.point, seconds=BESIDE_SECONDS),)


def cells(beside: Beside | None = None) -> list[Cell]:
    """The whole matrix, not yet run."""
    return [
        Cell(point=str(point), fault=fault.name, victim=victim, first=first, beside=beside)
        for point, victims in victims_by_point(sample_plan()).items()
        for first in ways_to(point)
        for fault in SIMULATED_FAULTS.values()
        for victim in fault.victims
        if (victim in ANYWHERE or victim in victims) and (beside is None or victim != beside.victim)
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """What comes of a roll back that is asked for at one point."""

    point: str
    verdict: str
    serves: str  #: `source` or `target`
    seconds: float  #: from the question to the source's serving again, or to the end
    what: str = ""


def ways_back() -> list[str]:
    """Every point of a migration's way forward: there the operator changes his mind."""
    forward = [
        point
        for point in victims_by_point(sample_plan())
        if not (point.back or point.ending or point.parted or point.gives_up)
    ]
    return [str(point) for point in forward if point.stage != "preflight" and point.when != "during"]


def run_cells(batch: Sequence[Cell], seed: int) -> list[Cell]:
    """Run these cells; any process may, also again."""
    from drill.simulator.results import played, settle_memory

    settle_memory()
    done = []
    for cell in batch:
        told = played(cell.schedule(seed))
        verdict = "blunt" if told.blunt else told.verdict.value
        done.append(replace(cell, verdict=verdict, what=_first_witness(told.findings, told.verdict)))
    return done


def run_return(point: str, seed: int) -> Return:
    """Roll back from a point, and see who serves, with what."""
    from drill.simulator.rehearsal import events_of
    from drill.simulator.results import played

    told = played(Schedule(seed=seed, ending=f"{EARLY}{point}", load=LOAD))
    serving = told.evidence.serving
    ended = [event.t for event in events_of(told.history) if event.f == Stage.ROLLED_BACK.value]
    return Return(
        point=point,
        verdict=told.verdict.value,
        serves="source" if serving is not None and serving.site == sample_plan().source else "target",
        seconds=round(ended[-1] - told.asked_at, 3) if ended else round(told.seconds, 3),
        what=_first_witness(told.findings, told.verdict),
    )


def _first_witness(findings: Sequence[object], verdict: Verdict) -> str:
    from drill.verdict import Finding

    if verdict is Verdict.HELD:
        return ""
    wrong = [one for one in findings if isinstance(one, Finding) and one.verdict is verdict]
    return next((f"{one.checker}: {w.what}" for one in wrong for w in one.witnesses), "")


def run_all(todo: Sequence[Cell], seed: int, executor: Executor) -> Iterator[list[Cell]]:
    """Run the matrix on any executor, and yield each batch as it is finished."""
    batches = [todo[start : start + BATCH] for start in range(0, len(todo), BATCH)]
    futures = [executor.submit(run_cells, batch, seed) for batch in batches]
    try:
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
