"""How long writes stand still at a planned cutover, as clients see it, at about 200 writes a second.

Each round is a calm drill of its own on the embedded stack, with the production
coordinator; the pause is read from the history: the longest time between two
acknowledged writes while clients tried. Run: `python -m benchmarks.write_pause`.
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
from drill.verdict import Verdict
from drill.workload.clients import Amount

GOAL_MS = 300.0


def main() -> None:
    """Run the rounds and print each pause, its write rate, and the spread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        drills = [Drill(seed=seed) for seed in range(1, rounds + 1)]
        amount = Amount(uploads=60, others=900)
        suite = Suite(drills=drills, folder=Path(folder), tell=_tell, amount=amount)
        report = asyncio.run(suite.run())
        for drill in report.drills:
            print(_line(drill))  # noqa: T201 - a benchmark prints
        pauses = [drill.measures.write_pause_ms or float("inf") for drill in report.drills]
    held = all(drill.verdict is Verdict.HELD for drill in report.drills)
    print(  # noqa: T201
        f"write pause: median {median(pauses):.0f} ms, {min(pauses):.0f}-{max(pauses):.0f} ms "
        f"over {rounds} cutovers (goal {GOAL_MS:.0f} ms); verdicts {'all held' if held else 'NOT all held'}"
    )


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _line(drill: DrillResult) -> str:
    if drill.history is None:
        return f"seed {drill.seed}: no history"
    rate = _rate(history_of(read_history(drill.history)))
    return (
        f"seed {drill.seed}: {drill.verdict.value}, {drill.measures.write_pause_ms} ms at {rate:.0f} writes/s"
    )


def _rate(history: History) -> float:
    """Acknowledged writes a second in the three seconds before the drain."""
    drains = [move.t for move in history.moves if move.stage == "drain"]
    ends = drains[0] if drains else 0.0
    times = [
        one.completion.t for one in history.operations if one.ok and one.completion and one.invoke.f in WRITES
    ]
    return sum(ends - 3.0 <= t < ends for t in times) / 3.0


if __name__ == "__main__":
    main()
