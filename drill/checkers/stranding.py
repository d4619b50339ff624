"""Which acknowledgements need not show: a dead site took them with it, or they came after the look."""

from drill.checkers.evidence import Announced
from drill.history import WRITES, Event, History, Operation

PROMISES = WRITES | {"queue"}
"""What a site may take with it: its writes, and what it showed of a queue that it alone had moved."""


def strandable(history: History, announced: Announced | None) -> frozenset[int]:
    """Return the promises (by the line of their invoke) that the announced bound covers.

    They were acknowledged by the site that died, under no epoch newer than its
    last one, and within the announced seconds before its last acknowledgement.
    How many of them may really be missing is for the caller to count. Of partings
    that came before it is the same.
    """
    if announced is None:
        return frozenset()
    given = [
        (operation, operation.completion)
        for operation in history.operations
        if operation.ok and operation.invoke.f in PROMISES and _by(announced, operation)
    ]
    last = max((answer.t for _, answer in given if answer), default=0.0)
    covered = frozenset(
        operation.begins for operation, answer in given if answer and _covered(announced, answer, last)
    )
    return covered | strandable(history, announced.before)


def _by(announced: Announced, operation: Operation) -> bool:
    return operation.completion is not None and operation.completion.site == announced.site


def _covered(announced: Announced, answer: Event, last: float) -> bool:
    if announced.epoch is not None and answer.epoch is not None and answer.epoch > announced.epoch:
        return False
    return announced.seconds is None or last - answer.t <= announced.seconds


def acknowledged_later(history: History, announced: Announced | None) -> frozenset[int]:
    """Return the writes (by the line of their invoke) that only the survivor of a parting acknowledged."""
    if announced is None or announced.epoch is None:
        return frozenset()
    return frozenset(
        operation.begins
        for operation in history.operations
        if operation.ok
        and operation.completion is not None
        and (operation.completion.epoch or 0) > announced.epoch
    )


def acknowledged_after(history: History, read_at: float | None) -> frozenset[int]:
    """Return the writes (by the line of their invoke) that were acknowledged after the stores were read."""
    if read_at is None:
        return frozenset()
    return frozenset(
        operation.begins
        for operation in history.operations
        if operation.ok and operation.completion is not None and operation.completion.t > read_at
    )
