"""No two sites accept writes in the same time, whether or not their writes are merged later.

A site that another one has succeeded may still answer what was under way. So
it counts from the first acknowledgement of an epoch that is not older, at
another site: whatever *begins* after that has arrived, and is acknowledged
here all the same, was accepted at two sites at once.
"""

from collections import defaultdict
from collections.abc import Iterator

from drill.checkers.evidence import Evidence
from drill.checkers.record import post_of, witness
from drill.history import WRITES, Event, History, Operation
from drill.verdict import Finding, Witness, finding

NAME = "split_brain"

BEFORE_ALL = -1
"""Stands for the epoch of an answer that names none: a site without a fence, or one that lost it."""

Given = tuple[Operation, Event, str, int]
"""An acknowledged write, its answer, the site that gave it, and under which epoch."""


def split_brain(history: History, evidence: Evidence) -> Finding:
    """Judge every acknowledged write that names its site; count the keys that two sites accepted."""
    given = list(_given(history))
    late = list(_late(given))
    accepted: dict[str, set[str]] = defaultdict(set)
    if late:
        for operation, _, site, _ in given:
            accepted[_key(operation)].add(site)
    violations = [_witness(found, newer, accepted) for found, newer in late]
    keys = {_key(found[0]) for found, _ in late if len(accepted[_key(found[0])]) > 1}
    counts = {"accepted_elsewhere": len(late), "keys_at_two_sites": len(keys)}
    return finding(NAME, violations=violations, counts=counts)


def _given(history: History) -> Iterator[Given]:
    for operation in history.operations:
        answer = operation.completion
        if operation.ok and answer is not None and answer.site is not None and operation.invoke.f in WRITES:
            yield operation, answer, answer.site, BEFORE_ALL if answer.epoch is None else answer.epoch


def _late(given: list[Given]) -> Iterator[tuple[Given, Given]]:
    """Yield each write that began after another site had acknowledged in an epoch not older, with that."""
    arriving = sorted(given, key=lambda found: found[1].n)
    newest: dict[str, Given] = {}
    arrived = 0
    for found in given:
        begins, site, epoch = found[0].begins, found[2], found[3]
        while arrived < len(arriving) and arriving[arrived][1].n < begins:
            known = newest.get(arriving[arrived][2])
            if known is None or arriving[arrived][3] > known[3]:
                newest[arriving[arrived][2]] = arriving[arrived]
            arrived += 1
        for other, newer in newest.items():
            if other != site and newer[3] >= epoch and not _in_office(newest, site, newer, epoch):
                yield found, newer
                break


def _in_office(newest: dict[str, Given], site: str, newer: Given, epoch: int) -> bool:
    """Whether the answer only leaves out an epoch that its site has, and that is the newest."""
    own = newest.get(site)
    return epoch == BEFORE_ALL and own is not None and own[3] > newer[3]


def _key(operation: Operation) -> str:
    return post_of(operation) if operation.invoke.f == "upload" else operation.key


def _witness(found: Given, newer: Given, accepted: dict[str, set[str]]) -> Witness:
    operation, _, site, epoch = found
    _, answer, other, newer_epoch = newer
    both = f"; both accepted writes of {_key(operation)}" if len(accepted[_key(operation)]) > 1 else ""
    what = (
        f"{site} accepted this {operation.invoke.f} {_named(epoch)}, begun at {operation.invoke.t:.3f} s, "
        f"while {other} accepted writes {_named(newer_epoch)} since {answer.t:.3f} s{both}"
    )
    return witness(operation, what, key=_key(operation))


def _named(epoch: int) -> str:
    return "without an epoch" if epoch == BEFORE_ALL else f"in epoch {epoch}"
