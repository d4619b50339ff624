"""How long it takes from the death of the site that serves to the first write that its survivor acknowledges.

Each round is a drill of its own on the embedded stack: the target dies while it
serves, nobody tells the source, and its agent promotes it once the lease has run
out. Read from the history, so watching, promotion, routing and the clients' own
retries are in it. Run: `python -m benchmarks.failover`.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from statistics import median

from drill.drills import Drill
from drill.history import WRITES, History, history_of, read_history
from drill.live.suite import Suite
from drill.report import DrillResult
from drill.sample_plan import sample_plan
from drill.verdict import Verdict
from drill.workload.clients import Amount


def main() -> None:
    """Run the rounds and print each time, and the spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    lease = sample_plan().lease
    with tempfile.TemporaryDirectory() as folder:
        drills = [
            Drill(seed=seed, fault="lose", victim="target", point="soak") for seed in range(1, rounds + 1)
        ]
        amount = Amount(uploads=60, others=900)
        suite = Suite(drills=drills, folder=Path(folder), tell=_tell, amount=amount)
        report = asyncio.run(suite.run())
        times = [_seconds(drill) for drill in report.drills]
    for drill, seconds in zip(report.drills, times, strict=True):
        print(f"seed {drill.seed}: {drill.verdict.value}, {seconds:.2f} s")  # noqa: T201 - a benchmark prints
    held = all(drill.verdict is Verdict.HELD for drill in report.drills)
    print(  # noqa: T201
        f"kill to first acknowledged write: median {median(times):.2f} s, "
        f"{min(times):.2f}-{max(times):.2f} s over {rounds} deaths, "
        f"lease {lease.seconds:.1f} s + margin {lease.margin:.1f} s (goal {lease.seconds + 1:.1f} s); "
        f"verdicts {'all held' if held else 'NOT all held'}"
    )


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _seconds(drill: DrillResult) -> float:
    return float("inf") if drill.history is None else _until_served(history_of(read_history(drill.history)))


def _until_served(history: History) -> float:
    """From the fault to the first write that the survivor acknowledges; inf when none came."""
    died = history.faults[0].t if history.faults else float("inf")
    survivor = sample_plan().source
    answers = [one.completion for one in history.operations if one.ok and one.invoke.f in WRITES]
    after = [answer.t for answer in answers if answer and answer.t > died and answer.site == survivor]
    return min(after, default=float("inf")) - died


if __name__ == "__main__":
    main()
