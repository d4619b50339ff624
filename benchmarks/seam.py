"""What a whole migration costs in virtual time: five runs of one seed, and their spread.

    python benchmarks/seam.py [--seed N] [--runs N]

Each run is a migration with its users, from preflight to complete, over memory
adapters, with all checkers at its end. The ratio is virtual seconds for each
second of this machine. All runs must give the same bytes, or this fails.
"""

import argparse
import time
from statistics import median

from drill.simulator.rehearsal import Rehearsal, rehearse

RUNS = 5


def main() -> None:
    """Print a line for each run, then median and spread."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--runs", type=int, default=RUNS)
    told = parser.parse_args()
    names = f"{'seconds':>8} {'virtual s':>10} {'ratio':>6} {'callbacks':>10} {'a second':>9} {'lines':>6}"
    print(f"{'run':>6} {names}")  # noqa: T201
    runs = [_timed(told.seed) for _ in range(told.runs)]
    for number, (seconds, run) in enumerate(runs, start=1):
        print(f"{number:>6} {_figures(seconds, run)}")  # noqa: T201
    taken = sorted(seconds for seconds, _ in runs)
    print(f"median {_figures(median(taken), runs[0][1])}")  # noqa: T201
    print(f"spread {taken[0]:8.3f} to {taken[-1]:.3f} s")  # noqa: T201
    if len({run.history for _, run in runs}) != 1:
        raise SystemExit("the runs of one seed differ: the simulation is not repeatable")


def _timed(seed: int) -> tuple[float, Rehearsal]:
    began = time.perf_counter()
    run = rehearse(seed, ending="complete")
    return time.perf_counter() - began, run


def _figures(seconds: float, run: Rehearsal) -> str:
    return (
        f"{seconds:8.3f} {run.seconds:10.3f} {run.seconds / seconds:6.2f} {run.steps:10} "
        f"{run.steps / seconds:9.0f} {len(run.history.splitlines()):6}"
    )


if __name__ == "__main__":
    main()
