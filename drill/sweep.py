"""Many simulated drills, a seed each: a map over ranges of seeds, resumable, on one machine or on many."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context, parent_process
from multiprocessing.process import BaseProcess
from pathlib import Path
from threading import Thread
from time import perf_counter
from typing import Any

from drill.verdict import Verdict

SHARD_SEEDS = 250
"""Seeds of one shard: some fifteen seconds, so that little is lost when a sweep is interrupted."""
FAILURES_KEPT = 25
"""Failing seeds that a shard names, first ones first."""
STATE = "sweep.json"
SCHEMA = 2
SORTS = ("held", "blunt", "stranded", "inconclusive", "violated")
"""What a drill of a sweep counts as."""
FAILED = ("inconclusive", "violated")


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A seed that did not hold."""

    seed: int
    verdict: str
    checkers: tuple[str, ...]
    what: str  #: the first witness


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """What came of the seeds from `first` up to, and without, `end`. The same seeds give the same shard."""

    first: int
    end: int
    held: int
    blunt: int  #: nothing is wrong, and a fault hit nothing in flight
    stranded: int = 0  #: nothing is in doubt but the announced tail of a site that was lost for good
    inconclusive: int
    violated: int
    operations: int
    virtual_seconds: float
    seconds: float  #: of real time
    failures: tuple[Failure, ...] = ()
    tails: tuple[int, ...] = ()  #: seeds that are counted as stranded


def run_shard(first: int, end: int) -> Shard:
    """Run these seeds. Depends on nothing else, so that any process anywhere may run it, also again."""
    from drill.simulator.rehearsal import Rehearsal
    from drill.simulator.results import played, seeded, settle_memory

    settle_memory()

    def one(seed: int) -> Rehearsal:
        return played(seeded(seed))

    counted: Counter[str] = Counter()
    failures: list[Failure] = []
    tails: list[int] = []
    operations, virtual, began = 0, 0.0, perf_counter()
    for seed in range(first, end):
        told = one(seed)
        counted[told.sort] += 1
        operations += told.history.count(b'"type":"invoke"')
        virtual += told.seconds
        if told.sort == "stranded":
            tails.append(seed)
        if told.sort in FAILED and len(failures) < FAILURES_KEPT:
            wrong = [found for found in told.findings if found.verdict is told.verdict]
            first_witness = next((w.what for found in wrong for w in found.witnesses), "")
            names = tuple(found.checker for found in wrong)
            verdict = told.verdict.value
            failures.append(Failure(seed=seed, verdict=verdict, checkers=names, what=first_witness))
    return Shard(
        first=first,
        end=end,
        held=counted["held"],
        blunt=counted["blunt"],
        stranded=counted["stranded"],
        inconclusive=counted["inconclusive"],
        violated=counted["violated"],
        operations=operations,
        virtual_seconds=round(virtual, 3),
        seconds=round(perf_counter() - began, 3),
        failures=tuple(failures),
        tails=tuple(tails),
    )


@dataclass(slots=True)
class Sweep:
    """A range of seeds, and what is known of it. `folder` keeps finished shards, for a later go."""

    first: int
    end: int
    folder: Path | None = None
    commit: str | None = None
    shards: list[Shard] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.folder is not None and (self.folder / STATE).exists():
            self.shards = _read(self.folder / STATE, self.commit)

    @property
    def left(self) -> list[tuple[int, int]]:
        """Ranges that no finished shard covers, each at most a shard long."""
        done = {seed for shard in self.shards for seed in range(shard.first, shard.end)}
        ranges: list[tuple[int, int]] = []
        start: int | None = None
        for seed in range(self.first, self.end + 1):
            open_here = seed < self.end and seed not in done
            if start is not None and (not open_here or seed - start == SHARD_SEEDS):
                ranges.append((start, seed))
                start = None
            if open_here and start is None:
                start = seed
        return ranges

    def take_in(self, shard: Shard) -> None:
        """A shard is finished."""
        self.shards.append(shard)
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            told = {"schema": SCHEMA, "commit": self.commit, "shards": [asdict(one) for one in self.shards]}
            new = self.folder / f"{STATE}.new"
            new.write_text(json.dumps(told) + "\n", encoding="utf-8")
            new.replace(self.folder / STATE)

    @property
    def counted(self) -> dict[str, int]:
        """Drills by what is to be said of them, within the range."""
        return {name: sum(getattr(shard, name) for shard in self._within) for name in SORTS}

    @property
    def tails(self) -> list[int]:
        """Seeds that are counted as stranded, in their order."""
        return sorted(seed for shard in self._within for seed in shard.tails)

    @property
    def failures(self) -> list[Failure]:
        """Failing seeds, the violated ones first."""
        found = [failure for shard in self._within for failure in shard.failures]
        return sorted(found, key=lambda one: (one.verdict != Verdict.VIOLATED.value, one.seed))

    @property
    def verdict(self) -> Verdict:
        """Violated if any drill was; a blunt one is a drill less, and no doubt.

        Nor is a stranded one: what it does not have was announced, and is where the promise ends.
        """
        counted = self.counted
        if counted["violated"]:
            return Verdict.VIOLATED
        return Verdict.INCONCLUSIVE if counted["inconclusive"] or not counted["held"] else Verdict.HELD

    @property
    def _within(self) -> list[Shard]:
        return [shard for shard in self.shards if shard.first < self.end and shard.end > self.first]


def _read(file: Path, commit: str | None) -> list[Shard]:
    """The finished shards; of another commit they say nothing of this one's code."""
    told = json.loads(file.read_text(encoding="utf-8"))
    if told.get("schema") != SCHEMA:
        raise ValueError(f"{file} is of another version: give the sweep a new --report folder")
    if told.get("commit") != commit:
        raise ValueError(
            f"{file} holds drills of commit {told.get('commit')}, and this is {commit}: what they showed "
            f"says nothing of this code. Nothing was run. Give the sweep a new --report folder."
        )
    return [_shard(one) for one in told["shards"]]


def _shard(told: dict[str, Any]) -> Shard:
    failures = tuple(_failure(failure) for failure in told["failures"])
    return Shard(**{**told, "failures": failures, "tails": tuple(told["tails"])})


def _failure(told: dict[str, object]) -> Failure:
    return Failure(**{**told, "checkers": tuple(told["checkers"])})  # type: ignore[arg-type]


def finished(sweep: Sweep, executor: Executor) -> Iterator[Shard]:
    """Run what is left on any executor, and yield each shard as it is finished."""
    futures = [executor.submit(run_shard, first, end) for first, end in sweep.left]
    try:
        for future in as_completed(futures):
            shard = future.result()
            sweep.take_in(shard)
            yield shard
    finally:
        for future in futures:
            future.cancel()


def processes(jobs: int) -> ProcessPoolExecutor:
    """An executor of this machine; each process starts afresh, so that no state is carried over."""
    return ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=end_with_parent)


def end_with_parent() -> None:
    """See to it that this process ends when the one that started it is killed, in whatever it is doing."""
    parent = parent_process()
    if parent is not None:
        Thread(target=_end_after, args=(parent,), daemon=True).start()


def _end_after(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


Tell = Callable[[str], None]


def told_of(sweep: Sweep, shards: Sequence[Shard]) -> str:
    """One line of progress."""
    counted, total = sweep.counted, sweep.end - sweep.first
    done = sum(counted.values())
    real = sum(shard.seconds for shard in shards) or 1.0
    return (
        f"{done}/{total} drills: {', '.join(f'{counted[name]} {name}' for name in SORTS)}; "
        f"{sum(shard.end - shard.first for shard in shards) / real:.1f} a second a core"
    )
