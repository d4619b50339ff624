"""How many simulated drills a second one core runs, and how much faster than real time that is.

    python -m benchmarks.simulator [--drills N] [--rounds N]

Each drill is what `cutover-drill sweep` runs: some 50 operations of clients,
about 20 s of virtual time, up to three faults of any kind. The rounds run the
same seeds, so that their spread is the machine's.
"""

import argparse
from collections.abc import Callable
from statistics import median
from time import process_time

from drill.simulator.rehearsal import Rehearsal
from drill.simulator.results import played, seeded, settle_memory

TARGET = 20.0
"""Drills a second a core that a sweep of 100,000 seeds needs to end within an hour and a half."""


def main() -> None:
    """Print a line for each round, and the median."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--drills", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    told = parser.parse_args()
    schedules = [seeded(seed) for seed in range(told.drills)]
    for schedule in schedules[:10]:
        played(schedule)  # imports, caches
    settle_memory()
    rounds = [_round(lambda: [played(schedule) for schedule in schedules]) for _ in range(told.rounds)]
    rates = [rate for rate, _ in rounds]
    print(  # noqa: T201
        f"median {median(rates):.1f} drills a second a core (from {min(rates):.1f} to {max(rates):.1f}; "
        f"wanted {TARGET:.0f}), {median(ratio for _, ratio in rounds):.0f} times as fast as real time"
    )


def _round(run: Callable[[], list[Rehearsal]]) -> tuple[float, float]:
    began = process_time()
    drills = run()
    seconds = process_time() - began
    virtual = sum(drill.seconds for drill in drills)
    operations = sum(drill.history.count(b'"type":"invoke"') for drill in drills)
    print(  # noqa: T201
        f"{len(drills)} drills in {seconds:.1f} s of processor time: {len(drills) / seconds:.1f} a second; "
        f"each {operations / len(drills):.0f} operations, {virtual / len(drills):.1f} virtual seconds, "
        f"{sum(drill.steps for drill in drills) / len(drills):.0f} steps"
    )
    return len(drills) / seconds, virtual / seconds


if __name__ == "__main__":
    main()
