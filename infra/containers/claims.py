"""Whose everything is that a container stack makes, and until when.

Containers, networks and volumes carry a claim as labels, packet rules carry it as
their comment, so that whoever starts next knows what a killed run left behind.
"""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from infra.embedded.processes import Identity, identify, is_unused

STACK = "cutover.stack"
EXPIRES = "cutover.expires"
OWNER = "cutover.owner"

NEVER = math.inf
KEPT = "kept"
"""Owner of a stack that outlives whoever brought it up: only its expiry ends it."""

PULUMI = "pulumi"
"""Owner of a stack that Pulumi made, and that Pulumi alone takes down: its state would not know."""

_PREFIX = "cutover"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One stack, who holds it, and when it ends in any case."""

    stack: str
    owner: str = KEPT  #: as `this_process` gives it, or KEPT
    expires: float = NEVER  #: unix seconds

    def labels(self) -> dict[str, str]:
        """Return the labels of whatever the stack makes."""
        return {STACK: self.stack, EXPIRES: _written(self.expires), OWNER: self.owner}

    def comment(self, link: str = "-", mode: str = "-") -> str:
        """Return the comment of a packet rule: the claim, and what the rule does to which link."""
        return "/".join((_PREFIX, self.stack, link, mode, self.owner, _written(self.expires)))

    def is_left_over(self, now: float) -> bool:
        """Say whether nobody holds it any more: it has expired, or its owner is known to be dead.

        An owner on another machine, or in another pid namespace, cannot be judged
        from here: its claim ends by expiry only.
        """
        return now >= self.expires or is_dead(self.owner)


@dataclass(frozen=True, slots=True)
class Comment:
    """What the comment of a packet rule says."""

    claim: Claim
    link: str  #: "-" in a rule that belongs to no link
    mode: str


def from_labels(labels: Mapping[str, str]) -> Claim | None:
    """Return the claim that these labels make, or None if there is none.

    A claim that cannot be read is held by nobody and never expires.
    """
    stack = labels.get(STACK)
    if not stack:
        return None
    return Claim(stack=stack, owner=labels.get(OWNER, KEPT), expires=_read(labels.get(EXPIRES, "")))


def from_comment(text: str) -> Comment | None:
    """Return what the comment of a rule says, or None if it is not one of ours."""
    parts = text.split("/")
    if len(parts) != 6 or parts[0] != _PREFIX:
        return None
    _, stack, link, mode, owner, expires = parts
    return Comment(Claim(stack=stack, owner=owner, expires=_read(expires)), link, mode)


@cache
def _place() -> str:
    """Return where a pid means the same process: this boot of this machine, this pid namespace."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", "")
    return f"{boot[:12]}.{os.stat('/proc/self/ns/pid').st_ino}"


def this_process() -> str:
    """Return the calling process as an owner: PID:START TIME@BOOT.NAMESPACE."""
    who = identify(os.getpid())
    if who is None:
        raise RuntimeError("/proc does not show the calling process: is /proc mounted?")
    return f"{who.pid}:{who.start}@{_place()}"


def is_dead(owner: str) -> bool:
    """Say whether this owner is known to be dead; of one whose process is hidden from us nothing is known."""
    who, _, place = owner.partition("@")
    pid, _, start = who.partition(":")
    if place != _place() or not (pid.isdigit() and start.isdigit()):
        return False
    told = Identity(int(pid), int(start))
    return not told.alive and (identify(told.pid) is not None or is_unused(told.pid))


def _written(expires: float) -> str:
    return "never" if expires == NEVER else str(math.ceil(expires))


def _read(expires: str) -> float:
    return float(expires) if expires.isdigit() else NEVER


def of_the_dead(now: float) -> Callable[[Claim], bool]:
    """Choose what has expired by `now` (unix seconds), or whose owner is dead."""
    return lambda claim: claim.is_left_over(now)


def of_stack(name: str) -> Callable[[Claim], bool]:
    """Choose all of one stack, whoever holds it."""
    return lambda claim: claim.stack == name


def of_all(claim: Claim) -> bool:
    """Choose everything that any stack of ours made, but for what Pulumi looks after."""
    return claim.owner != PULUMI
