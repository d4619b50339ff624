"""In an epoch one site acknowledges, and after a newer epoch's acknowledgement no older one does.

Judged on acknowledgements, not on what the register says: a promise to a user
is what must not be given twice. An answer that was on its way while the epoch
changed is no violation, so only calls that *began* after a newer
acknowledgement had arrived count against the older epoch.

A site whose database has no fence yet names no epoch. Such answers count as
given before all epochs, until the first numbered one; from there on only the
site that has the newest epoch may leave it out.

At the end the databases are asked, too: a site that takes writes beside the one
that serves would have broken the promise with the next user who came by it.
"""

from collections.abc import Iterator

from cutover.model.observation import FenceState
from drill.checkers.evidence import Evidence
from drill.checkers.record import witness
from drill.history import WRITES, Event, History, Operation
from drill.verdict import Finding, Witness, finding

NAME = "one_writer"

UNNUMBERED = -1
"""Stands for the time before there was an epoch."""


def one_writer(history: History, evidence: Evidence) -> Finding:
    """Judge every acknowledged write by the site and the epoch that its answer names."""
    acknowledged = [op for op in history.operations if op.ok and op.invoke.f in WRITES]
    named = [op for op in acknowledged if _answer(op).site is not None]
    violations = [*_shared_epochs(named), *_late_writers(named), *_open_beside(evidence)]
    doubts = []
    if len(named) < len(acknowledged):
        silent = next(op for op in acknowledged if _answer(op).site is None)
        what = (
            f"{len(acknowledged) - len(named)} of {len(acknowledged)} acknowledgements do not say "
            f"which site gave them, this {silent.invoke.f} among them"
        )
        doubts.append(witness(silent, what))
    return finding(NAME, violations=violations, doubts=doubts, counts={"writers": len(violations)})


def _open_beside(evidence: Evidence) -> Iterator[Witness]:
    """Without fences anywhere nothing was begun, or all of it is gone: then no database keeps anybody out."""
    serving = evidence.serving.site if evidence.serving else ""
    if serving not in evidence.fences:
        return
    fenced = evidence.fences[serving].state is not FenceState.ABSENT
    for site, fence in sorted(evidence.fences.items()):
        is_open = fence.state is FenceState.OPEN and fence.lease_live
        bare = fence.state is FenceState.ABSENT and fenced
        if site != serving and (is_open or bare):
            what = f"takes writes when all is over (its fence is {fence.state.value}), and {serving} serves"
            yield Witness(what=f"{site} {what}", site=site)


def _answer(operation: Operation) -> Event:
    assert operation.completion is not None  # only acknowledged operations come here
    return operation.completion


def _epoch(operation: Operation) -> int:
    epoch = _answer(operation).epoch
    return UNNUMBERED if epoch is None else epoch


def _named(epoch: int) -> str:
    return "before there was an epoch" if epoch == UNNUMBERED else f"in epoch {epoch}"


def _shared_epochs(acknowledged: list[Operation]) -> Iterator[Witness]:
    """Find epochs in which two sites acknowledged; one witness for each foreign site of an epoch."""
    first: dict[int, Operation] = {}
    told: set[tuple[int, str | None]] = set()
    for operation in sorted(acknowledged, key=lambda op: op.ends):
        epoch, site = _epoch(operation), _answer(operation).site
        if epoch == UNNUMBERED and any(known > UNNUMBERED for known in first):
            continue
        owner = first.setdefault(epoch, operation)
        if site != _answer(owner).site and (epoch, site) not in told:
            told.add((epoch, site))
            yield witness(
                operation,
                f"{site} acknowledged this {operation.invoke.f} {_named(epoch)}, as {_answer(owner).site} "
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
        if newest is not None and _relieved(operation, newest):
            yield witness(
                operation,
                f"{_answer(operation).site} acknowledged this {operation.invoke.f} "
                f"{_named(_epoch(operation))}; it began at {operation.invoke.t:.3f} s, and "
                f"{_answer(newest).site} had acknowledged {_named(_epoch(newest))} "
                f"at {_answer(newest).t:.3f} s",
            )


def _relieved(operation: Operation, newest: Operation) -> bool:
    if _epoch(operation) >= _epoch(newest):
        return False
    return _epoch(operation) != UNNUMBERED or _answer(operation).site != _answer(newest).site


def _newer(newest: Operation | None, arrived: Operation) -> Operation:
    return arrived if newest is None or _epoch(arrived) > _epoch(newest) else newest
