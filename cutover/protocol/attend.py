"""What a site's agent does, given the register and its own fence."""

from dataclasses import dataclass

from cutover.model.action import Guard
from cutover.model.observation import Fence, FenceState
from cutover.model.register import Grant


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Tell the witness that this site is alive, then let its database write for longer."""


@dataclass(frozen=True, slots=True)
class EndDrain:
    """Take a drain that outlived its deadline out of the register."""


@dataclass(frozen=True, slots=True)
class Reopen:
    """Open the fence again: the register names this site and no drain stands."""

    epoch: int
    guard: Guard


@dataclass(frozen=True, slots=True)
class Shut:
    """Close the fence: the register names another site."""

    guard: Guard


Duty = RenewLease | EndDrain | Reopen | Shut


def attend(site: str, fence: Fence, grant: Grant, drain_age: float) -> tuple[Duty, ...]:
    """What the agent of `site` must do now.

    `fence` must have been read *before* `grant`. Then a closed fence and a
    register without a drain mean that the drain which closed it is over; and
    because a duty carries the guard that the fence showed, a drain that begins
    in between has a newer one, and the site refuses the duty.

    `drain_age` is how long this agent has seen the present drain stand
    (seconds on its own clock).
    """
    if grant.serving != site:
        writable = fence.state is FenceState.OPEN and 0 < fence.epoch < grant.epoch
        return (Shut(fence.guard),) if writable else ()
    if grant.drain is not None:
        overdue = grant.drain.leaving == site and drain_age > grant.drain.seconds
        return (EndDrain(), RenewLease()) if overdue else (RenewLease(),)
    if fence.state is FenceState.CLOSED:
        return (Reopen(grant.epoch, fence.guard),)
    return (RenewLease(),)
