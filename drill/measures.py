"""Figures of one drill, taken from its history alone, as its clients saw it."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from drill.history import WRITES, History, Operation, Outcome
from drill.verdict import Finding

JOURNEYS = ("log_in", "upload", "comment", "feed")
"""What a user comes for; the recovery time is measured for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """A time in which clients tried and nobody was acknowledged."""

    begins: float  #: seconds since the drill began
    ends: float  #: seconds; infinite when it lasted to the end of the history

    @property
    def seconds(self) -> float:
        """How long it lasted."""
        return self.ends - self.begins


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What is printed of a drill beside its verdict; None where nothing was measured."""

    operations: Mapping[str, int]  #: how many ended ok, failed, unknown
    write_pause_ms: float | None  #: longest time between two acknowledged writes while clients tried
    rpo: Mapping[str, int] = field(default_factory=dict)  #: posts, comments and cents lost; rows hidden
    rto_s: Mapping[str, float | None] = field(default_factory=dict)
    """For each journey, the longest time after a fault until it worked again (seconds).

    Empty when there was no fault; None for a journey that did not come back,
    or that nobody tried.
    """
    lag_s: float | None = None  #: longest lag that the engine reported before cut over
    amplification: float | None = None  #: attempts for each operation
    stranded: int = 0  #: rows that a site took with it when it died, as it was announced


def measure(history: History, findings: Iterable[Finding] = (), *, lag_s: float | None = None) -> Measures:
    """Measure `history`; the losses come from what the checkers found."""
    pause, found = longest_write_pause(history), _counts(findings)
    return Measures(
        operations=_outcomes(history.operations),
        write_pause_ms=None if pause is None else round(pause.seconds * 1000, 1),
        rpo=_losses(found),
        rto_s=_recovery(history),
        lag_s=lag_s,
        amplification=_amplification(history.operations),
        stranded=_sum(found, "stranded_"),
    )


def losses(measures: Measures) -> str:
    """Return what was lost or hidden, in words."""
    told = [f"{count:,} {kind}" for kind, count in measures.rpo.items() if count]
    return ", ".join(told) or "nothing"


def longest_write_pause(history: History) -> Pause | None:
    """Return the longest pause between two acknowledged writes; None with fewer than two."""
    writes = [operation for operation in history.operations if operation.invoke.f in WRITES]
    ended = [pause for pause in pauses(writes) if pause.ends != float("inf")]
    return max(ended, key=lambda pause: pause.seconds, default=None)


def pauses(operations: Sequence[Operation], since: float | None = None) -> list[Pause]:
    """Return the pauses between acknowledgements of `operations`, or those after `since` (seconds).

    A pause begins with the acknowledgement before it or, if nobody was trying
    then, with the first call that followed. One that nothing ended is infinite.
    Before the first acknowledgement there is none, unless `since` says when to
    begin. A call that the platform answered with a refusal of its own (status
    4xx) is no attempt that failed: the platform was there.
    """
    found: list[Pause] = []
    begins = since
    waiting = False
    trying = 0
    for t, step, acknowledged in _steps(operations):
        past = since is None or t > since
        if not past:
            waiting = trying + step > 0
        elif acknowledged:
            if begins is not None:
                found.append(Pause(begins=begins, ends=t))
            begins, waiting = t, trying > 1
        elif step > 0 and not waiting and begins is not None:
            begins, waiting = t, True
        trying += step
    if waiting and begins is not None:
        found.append(Pause(begins=begins, ends=float("inf")))
    return found


def _steps(operations: Sequence[Operation]) -> list[tuple[float, int, bool]]:
    """Return when the number of calls on their way changes, and whether by an acknowledgement."""
    steps = []
    for operation in operations:
        if operation.completion is not None and not _turned_down(operation):
            steps.append((operation.invoke.n, operation.invoke.t, 1, False))
            steps.append((operation.completion.n, operation.completion.t, -1, operation.ok))
    return [(t, step, acknowledged) for _, t, step, acknowledged in sorted(steps)]


def _turned_down(operation: Operation) -> bool:
    status = operation.answered.get("status")
    return operation.outcome is Outcome.FAILED and isinstance(status, int) and 400 <= status < 500


def _outcomes(operations: Iterable[Operation]) -> dict[str, int]:
    counted = Counter(operation.outcome for operation in operations)
    return {outcome.value: counted[outcome] for outcome in Outcome}


def _counts(findings: Iterable[Finding]) -> Counter[str]:
    """Return what `acknowledged` counted: the other checkers count parts of the same."""
    counts: Counter[str] = Counter()
    for found in findings:
        if found.checker == "acknowledged":
            counts.update(found.counts)
    return counts


def _sum(counts: Counter[str], beginning: str) -> int:
    return sum(rows for count, rows in counts.items() if count.startswith(beginning))


def _losses(counts: Counter[str]) -> dict[str, int]:
    return {
        "posts": counts["lost_posts"],
        "comments": counts["lost_comments"],
        "cents": counts["lost_cents"],
        "hidden": _sum(counts, "hidden_"),
    }


def _recovery(history: History) -> dict[str, float | None]:
    if not history.faults:
        return {}
    times = [fault.t for fault in history.faults]
    return {journey: _longest_recovery(history.of(journey), times) for journey in JOURNEYS}


def _longest_recovery(operations: Sequence[Operation], faults: Sequence[float]) -> float | None:
    longest = 0.0
    for struck in faults:
        after = pauses(operations, since=struck)
        if not after:
            return None
        longest = max(longest, *(pause.seconds for pause in after))
    return None if longest == float("inf") else round(longest, 3)


def _amplification(operations: Iterable[Operation]) -> float | None:
    counted = 0
    attempts = 0
    for operation in operations:
        made = operation.answered.get("attempts")
        if isinstance(made, int):
            counted += 1
            attempts += made
    return round(attempts / counted, 3) if counted else None
