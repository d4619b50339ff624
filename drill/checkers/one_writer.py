"""In an epoch one site acknowledges, and after a newer epoch's acknowledgement no older one does.

Judged on acknowledgements, not on what the register says: a promise to a user
is what must not be given twice. An answer that was on its way while the epoch
changed is no violation, so only calls that *began* after a newer
acknowledgement had arrived count against the older epoch.
"""

from collections.abc import Iterator

from drill.checkers.evidence import Evidence
from drill.checkers.record import witness
from drill.history import WRITES, Event, History, Operation
from drill.verdict import Finding, Witness, finding

NAME = "one_writer"


def one_writer(history: History, evidence: Evidence) -> Finding:
    """Judge every acknowledged write by the site and the epoch that its answer names."""
    acknowledged = [op for op in history.operations if op.ok and op.invoke.f in WRITES]
    named = [op for op in acknowledged if _epoch(op) is not None and _site(op) is not None]
    violations = [*_shared_epochs(named), *_late_writers(named)]
    doubts = []
    if len(named) < len(acknowledged):
        silent = next(op for op in acknowledged if _epoch(op) is None or _site(op) is None)
        what = (
            f"{len(acknowledged) - len(named)} of {len(acknowledged)} acknowledgements do not say "
            f"which site gave them under which epoch, this {silent.invoke.f} among them"
        )
        doubts.append(witness(silent, what))
    return finding(NAME, violations=violations, doubts=doubts, counts={"writers": len(violations)})


def _answer(operation: Operation) -> Event:
    assert operation.completion is not None  # only acknowledged operations come here
    return operation.completion


def _epoch(operation: Operation) -> int | None:
    return _answer(operation).epoch


def _site(operation: Operation) -> str | None:
    return _answer(operation).site


def _shared_epochs(acknowledged: list[Operation]) -> Iterator[Witness]:
    """Find epochs in which two sites acknowledged; one witness for each foreign site of an epoch."""
    first: dict[int | None, Operation] = {}
    told: set[tuple[int | None, str | None]] = set()
    for operation in sorted(acknowledged, key=lambda op: op.ends):
        epoch, site = _epoch(operation), _site(operation)
        owner = first.setdefault(epoch, operation)
        if site != _site(owner) and (epoch, site) not in told:
            told.add((epoch, site))
            yield witness(
                operation,
                f"{site} acknowledged this {operation.invoke.f} in epoch {epoch}, in which {_site(owner)} "
                f"had acknowledged {owner.invoke.f} {owner.key} at {_answer(owner).t:.3f} s",
            )


def _late_writers(acknowledged: list[Operation]) -> Iterator[Witness]:
    answers = sorted(acknowledged, key=lambda op: op.ends)
    newest: Operation | None = None
    arrived = 0
    for operation in acknowledged:
        while arrived < len(answers) and answers[arrived].ends < operation.begins:
            newest = _newer(newest, answers[arrived])
            arrived += 1
        if newest is not None and (_epoch(operation) or 0) < (_epoch(newest) or 0):
            yield witness(
                operation,
                f"{_site(operation)} acknowledged this {operation.invoke.f} in epoch {_epoch(operation)}; it "
                f"began at {operation.invoke.t:.3f} s, and {_site(newest)} had acknowledged in epoch "
                f"{_epoch(newest)} at {_answer(newest).t:.3f} s",
            )


def _newer(newest: Operation | None, arrived: Operation) -> Operation:
    if newest is None or (_epoch(arrived) or 0) > (_epoch(newest) or 0):
        return arrived
    return newest
