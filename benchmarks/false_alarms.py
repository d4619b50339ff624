"""How often a clean migration is called violated: it must be never.

    python -m benchmarks.false_alarms [--drills N] [--first-seed N]

Each drill is simulated without any fault, and ends in another way in turn. The
seeds and the counts are printed; a false alarm is printed with its witnesses
and makes the exit status 1. Inconclusive drills are counted apart.
"""

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Sequence

from drill.simulator.rehearsal import Rehearsal, rehearse
from drill.verdict import Verdict

ENDINGS = ("soak", "complete", "roll-back")


def judged(seeds: Sequence[int]) -> Iterator[Rehearsal]:
    """Yield one clean migration for each seed."""
    for seed in seeds:
        yield rehearse(seed, ending=ENDINGS[seed % len(ENDINGS)])


def main() -> int:
    """Run them, print what was concluded, and return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--drills", type=int, default=1_000)
    parser.add_argument("--first-seed", type=int, default=0)
    asked = parser.parse_args()
    seeds = range(asked.first_seed, asked.first_seed + asked.drills)
    begins, verdicts, alarms = time.perf_counter(), Counter[Verdict](), Counter[str]()
    for ended in judged(seeds):
        verdicts[ended.verdict] += 1
        alarms.update(found.checker for found in ended.findings if found.verdict is Verdict.VIOLATED)
        if ended.verdict is not Verdict.HELD:
            print(ended.explained(), flush=True)  # noqa: T201
    seconds = time.perf_counter() - begins
    counted = ", ".join(f"{verdicts[verdict]} {verdict.value}" for verdict in Verdict)
    print(f"seeds {seeds.start} to {seeds.stop - 1}: {counted}, in {seconds:.0f} s")  # noqa: T201
    print(f"false alarms: {sum(alarms.values())} {dict(alarms) or ''}".rstrip())  # noqa: T201
    return 1 if alarms else 0


if __name__ == "__main__":
    raise SystemExit(main())
