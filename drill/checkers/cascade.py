"""One failure does not become many: retries are bounded, and the same load is carried again after it."""

from collections.abc import Sequence

from drill.checkers.evidence import Evidence, Paced
from drill.checkers.record import integer, witness
from drill.history import WRITES, History, Operation
from drill.verdict import Finding, Witness, finding

NAME = "cascade"

ATTEMPTS_MAX = 4.0
"""Most attempts for each operation, over a whole drill.

Our clients send an operation again at most about five times a second, so a
drill stays below 2 while its users are kept waiting for less than a tenth of
its time. A client without a budget sends hundreds of times a second.
"""

OPERATIONS_MIN = 500
"""Fewest operations from which attempts are judged: of few, one outage is most of the drill."""

GOODPUT_MIN = 0.5
"""Least share of the acknowledgements a second before the fault that must come again at the same load."""

RECOVERY_SECONDS = 5.0
"""How long a platform may take, after the last healing or switch, until it carries its load again (s)."""

SWITCHING = ("drain", "cut_over", "soak", "parted", "rolled_back")
"""Stages on whose entry writes pause, or another site begins to take them: that is no load either."""

WINDOW_SECONDS = 3.0
"""Shortest time from which a rate is taken (seconds): longer than a lost answer holds its client up."""

ACKNOWLEDGED_MIN = 30
"""Fewest acknowledgements from which a rate is taken."""


GIVEN_UP = ("unknown", "not_serving", "unavailable")
"""Reasons of a client that had no answer in the time that it takes: all others are the platform's own."""


def cascade(history: History, evidence: Evidence) -> Finding:
    """Judge attempts for each operation and, where clients kept one pace, what was acknowledged a second.

    With too little load before the first fault or too little time after the
    last healing nothing can be said about recovery. Nor of a platform at which
    clients tried to write after all was over, and none was acknowledged.
    """
    violations = _storm(history)
    doubts = _outage(history) if evidence.serving_is_up else []
    if history.faults and evidence.paced is not None:
        wrong, unclear = _goodput(history, evidence.paced)
        violations += wrong
        doubts += unclear
    return finding(NAME, violations=violations, doubts=doubts, counts={"wrong": len(violations)})


def comparable(history: History, paced: Paced) -> Paced | None:
    """Return `paced`, or None where it is too short for a rate on both sides of the faults.

    For a drill that keeps its pace anyway, and was not made to last until the
    platform had its time to recover: it did not put recovery to the test.
    """
    return paced if history.faults and not _goodput(history, paced)[1] else None


def _outage(history: History) -> list[Witness]:
    """Doubt a drill whose users could write no more once all was healed, and the last site had its turn."""
    switched = (move.n for move in history.moves if move.stage in SWITCHING)
    over = max((*switched, *(heal.n for heal in history.heals)), default=None)
    if over is None:
        return []
    tried = [op for op in history.operations if op.begins > over and op.invoke.f in WRITES]
    given_up = [op for op in tried if _given_up(op)]
    if not given_up or any(op.ok for op in tried):
        return []
    what = (
        f"none of {len(given_up)} writes was acknowledged that were sent after the last switch or healing, "
        f"this {given_up[0].invoke.f} at {given_up[0].invoke.t:.3f} s among them"
    )
    return [witness(given_up[0], what)]


def _given_up(operation: Operation) -> bool:
    """Whether its client waited in vain; one that was turned down had an answer of the platform's."""
    answer = operation.answered
    return not operation.ok and answer.get("status") is None and answer.get("reason", "unknown") in GIVEN_UP


def _storm(history: History) -> list[Witness]:
    made = [integer(operation.answered.get("attempts")) for operation in history.operations]
    attempts = [count for count in made if count is not None]
    if len(attempts) < OPERATIONS_MIN:
        return []
    each = sum(attempts) / len(attempts)
    if each <= ATTEMPTS_MAX:
        return []
    what = (
        f"clients made {each:.1f} attempts for each of {len(attempts)} operations, more than {ATTEMPTS_MAX}"
    )
    return [Witness(what=what)]


def _goodput(history: History, paced: Paced) -> tuple[list[Witness], list[Witness]]:
    """Return what is wrong with the rates before and after the faults, and why nothing can be said."""
    struck = min(fault.t for fault in history.faults)
    switched = (move.t for move in history.moves if move.stage in SWITCHING)
    healed = max((struck, *(heal.t for heal in history.heals), *switched)) + RECOVERY_SECONDS
    times = [op.completion.t for op in history.operations if op.ok and op.completion]
    before, after = _rate(times, paced.begins, struck), _rate(times, healed, paced.ends)
    if before is None or before * (struck - paced.begins) < ACKNOWLEDGED_MIN:
        return [], [Witness(what=f"too little was acknowledged before the first fault, at {struck:.3f} s")]
    if after is None:
        what = f"clients stopped less than {WINDOW_SECONDS} s after the platform had its time to recover"
        return [], [Witness(what=what)]
    if after >= GOODPUT_MIN * before:
        return [], []
    what = (
        f"{after:.1f} operations a second were acknowledged from {healed:.3f} s on, "
        f"and {before:.1f} before the fault, at the same load"
    )
    return [Witness(what=what)], []


def _rate(times: Sequence[float], begins: float, ends: float) -> float | None:
    if ends - begins < WINDOW_SECONDS:
        return None
    return sum(begins <= t < ends for t in times) / (ends - begins)
