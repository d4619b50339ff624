"""A schedule from a seed: any ending, any load, and up to three faults of any kind at any moment."""

from dataclasses import replace
from functools import cache
from random import Random

from cutover.model.stage import Stage
from drill.detours import ways_to
from drill.drills import EARLY
from drill.points import Point, victims_by_point
from drill.sample_plan import sample_plan
from drill.schedule import TIME, Load, Schedule, Strike
from drill.simulator.faults import SIMULATED_FAULTS, SITES

ENDINGS = (
    "soak",
    "complete",
    "complete",
    "roll-back",
    "roll-back",
    "roll-back-from:backfill",
    "roll-back-from:catch-up",
    "roll-back-from:verify",
)
"""How often each ending comes."""
STRIKES = (0, 1, 1, 1, 2, 2, 3)
"""How often that many faults come."""
TIMED = 0.3
"""Share of faults that strike at a time, and not at a crash point."""
TIMES = (0.2, 9.0)
"""Between which times they do (seconds): a calm migration takes about four."""
LONG = 0.4
"""Share of faults that last longer than is usual, which may be longer than a lease."""
LENDING = 0.25
"""Share of plans that let the peer lend leases."""
FOR_GOOD = 0.04
"""Share of dead sites that stay away."""
TOGETHER = 0.4
"""How often the last two of several faults strike at one point: left to chance they hardly ever do."""
LOSING = ("cut-then-kill", "kill", "power-cut", "pause", "partition")
"""How a site is lost before what follows a parting can be struck."""
OUTSIDE = frozenset(("restore", victim) for victim in (*SITES, "witness"))
"""Faults that no promise covers without an operator: what was restored is not what it was."""


def random_schedule(seed: int, *, plant: str | None = None) -> Schedule:
    """What drill number `seed` is told; the same seed gives the same schedule."""
    chance = Random(f"schedule {seed}")
    ending = chance.choice(ENDINGS)
    strikes = [one for _ in range(chance.choice(STRIKES)) for one in _strikes(chance, ending)]
    if Random(f"together {seed}").random() < TOGETHER:
        strikes = _together(strikes)
    return Schedule(seed=seed, ending=ending, strikes=tuple(strikes), load=_load(chance), plant=plant)


def _load(chance: Random) -> Load:
    return Load(
        clients=chance.randint(2, 6),
        uploads=chance.randint(4, 10),
        others=16,
        most=26,
        pace_seconds=chance.choice((0.05, 0.3, 0.6, 1.0, 1.6)),
        delay_seconds=chance.choice((0.001, 0.004, 0.004, 0.02)),
        loss=chance.choice((0.0, 0.0, 0.0, 0.005)),
        lasts_seconds=round(chance.uniform(8.0, 24.0), 3),
        lending=chance.random() < LENDING,
    )


def _strikes(chance: Random, ending: str) -> list[Strike]:
    """One strike, and before it what must have gone wrong, or no migration comes by its point."""
    strike = _strike(chance, ending)
    if not _needs_another(strike):
        return [strike]
    (first,) = chance.choice(ways_to(Point.parse(strike.point)))
    if first.victim in SITES:
        first = replace(first, fault=chance.choice(LOSING))
    return [first, strike]


def _together(strikes: list[Strike]) -> list[Strike]:
    """The last two, where they hit different victims, at the point of the last."""
    if len(strikes) < 2 or strikes[-1].victim == strikes[-2].victim or _needs_another(strikes[-1]):
        return strikes
    return [*strikes[:-2], replace(strikes[-2], point=strikes[-1].point), strikes[-1]]


def _needs_another(strike: Strike) -> bool:
    return strike.time is None and ways_to(Point.parse(strike.point)) != [()]


def _strike(chance: Random, ending: str) -> Strike:
    fault = SIMULATED_FAULTS[chance.choice(list(_covered()))]
    victim = chance.choice(_covered()[fault.name])
    usual, longest = fault.seconds
    seconds: float | None = round(chance.uniform(usual, longest), 3) if chance.random() < LONG else usual
    if victim in SITES and fault.name in ("kill", "power-cut") and chance.random() < FOR_GOOD:
        seconds = None
    if chance.random() < TIMED:
        point = f"{TIME}{chance.uniform(*TIMES):.3f}"
    else:
        point = str(chance.choice(_points(ending, victim)))
    return Strike(fault=fault.name, victim=victim, point=point, seconds=seconds)


@cache
def _covered() -> dict[str, list[str]]:
    """The victims of each fault that a promise covers."""
    covered = {
        fault.name: [victim for victim in fault.victims if (fault.name, victim) not in OUTSIDE]
        for fault in SIMULATED_FAULTS.values()
    }
    return {fault: victims for fault, victims in covered.items() if victims}


@cache
def _points(ending: str, victim: str) -> tuple[Point, ...]:
    """The points that a migration with this ending comes by, with something in flight on the victim."""
    every = victims_by_point(sample_plan())
    reached = {
        point: victims
        for point, victims in every.items()
        if point.stage != Stage.PREFLIGHT.value and _is_on_the_way(point, ending)
    }
    fitting = [point for point, victims in reached.items() if victim in victims]
    return tuple(fitting or reached)


def _is_on_the_way(point: Point, ending: str) -> bool:
    """Whether a migration with this ending comes by the point; an early end leaves the later stages out."""
    if not ending.startswith(EARLY):
        return point.ending in (None, ending)
    if point.back or point.parted:
        return False
    if point.stage == "rolled-back":
        return point.action is None or not point.gives_up or point.ending == ending
    order = [stage.value.replace("_", "-") for stage in Stage]
    left = order.index(ending.removeprefix(EARLY)) - order.index(point.stage)
    return left > 0 or (left == 0 and point.action is None)
