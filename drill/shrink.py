"""Makes a failing schedule smaller for as long as it still fails in the same way."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from drill.schedule import Load, Schedule, Strike

TRIES = 120
"""Most schedules that are tried: some five seconds."""
SIMPLER = {
    "power-cut": "kill",
    "cut-then-kill": "kill",
    "one-way": "partition",
    "one-way-in": "partition",
    "lossy": "partition",
    "slow": "partition",
}
"""By fault, one that is easier to think about."""

Fails = Callable[[Schedule], bool]
"""Whether a schedule still fails as the first one did."""


def shrink(schedule: Schedule, fails: Fails, tries: int = TRIES) -> Schedule:
    """Return the smallest schedule that was found to fail; `schedule` itself must fail."""
    left = tries
    while True:
        for smaller in _smaller(schedule):
            if left == 0:
                return schedule
            left -= 1
            if fails(smaller):
                schedule = smaller
                break
        else:
            return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    """What is a step simpler, the boldest steps first."""
    strikes, load = schedule.strikes, schedule.load
    for n in range(len(strikes)):
        yield replace(schedule, strikes=strikes[:n] + strikes[n + 1 :])
    for simpler in _simpler_loads(load):
        yield replace(schedule, load=simpler)
    for n, strike in enumerate(strikes):
        for other in _simpler_strikes(strike):
            yield replace(schedule, strikes=(*strikes[:n], other, *strikes[n + 1 :]))
    if schedule.ending != "soak":
        yield replace(schedule, ending="soak")


def _simpler_loads(load: Load) -> Iterator[Load]:
    usual = Load()
    for name, value in (("loss", 0.0), ("astray", False), ("lasts_seconds", 0.0)):
        if getattr(load, name) != value:
            yield replace(load, **{name: value})  # type: ignore[arg-type]
    for name, least in (("most", 0), ("uploads", 1), ("others", 0), ("clients", 1)):
        value = getattr(load, name)
        for smaller in (least, value // 2, value - 1):
            if least <= smaller < value:
                yield replace(load, **{name: smaller})  # type: ignore[arg-type]
    if load.delay_seconds != usual.delay_seconds:
        yield replace(load, delay_seconds=usual.delay_seconds)


def _simpler_strikes(strike: Strike) -> Iterator[Strike]:
    if strike.nth > 1:
        yield replace(strike, nth=1)
    if strike.fault in SIMPLER and strike.victim in ("source", "target"):
        yield replace(strike, fault=SIMPLER[strike.fault])
    if strike.seconds is not None and strike.seconds > round(strike.seconds):
        yield replace(strike, seconds=float(round(strike.seconds)))
    if strike.time is not None and strike.point != (rounder := f"t={strike.time:.1f}"):
        yield replace(strike, point=rounder)
