"""What a site's agent does, given the register and its own fence."""

from dataclasses import dataclass

from cutover.model.action import Guard
from cutover.model.observation import Fence, FenceState
from cutover.model.plan import Plan
from cutover.model.register import Grant
from cutover.protocol.promote import guard_of


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
class Promote:
    """Name this site in the register: the peer's lease has run out, and no renewal came since."""

    lease_count: int


@dataclass(frozen=True, slots=True)
class TakeOffice:
    """Stop following, start above every id that was ever recorded, and open: this site was promoted."""

    epoch: int
    guard: Guard


@dataclass(frozen=True, slots=True)
class Shut:
    """Close the fence: the register names another site."""

    guard: Guard


@dataclass(frozen=True, slots=True)
class StandDown:
    """Stop following and close the fence: the peer was promoted while this site was away.

    What was written here and not sent must stay as it is until it is listed.
    """

    guard: Guard


Duty = RenewLease | EndDrain | Reopen | Promote | TakeOffice | Shut | StandDown


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """What an agent has measured on its own clock, since it was started (seconds)."""

    drain_age: float = 0.0  #: how long the present drain has stood
    silent: float = 0.0  #: since it first saw the newest lease


def attend(plan: Plan, site: str, fence: Fence, grant: Grant, watch: Watch) -> tuple[Duty, ...]:
    """What the agent of `site` must do now.

    `fence` must have been read *before* `grant`. Then a closed fence and a
    register without a drain mean that the drain which closed it is over; and
    because a duty carries the guard that the fence showed, a drain that begins
    in between has a newer one, and the site refuses the duty.
    """
    if grant.serving != site:
        return _aside(plan, site, fence, grant, watch)
    if grant.drain is not None:
        overdue = grant.drain.leaving == site and watch.drain_age > grant.drain.seconds
        return (EndDrain(), RenewLease()) if overdue else (RenewLease(),)
    if fence.state is FenceState.CLOSED:
        return (_open(fence, grant),)
    return (RenewLease(),)


def _aside(plan: Plan, site: str, fence: Fence, grant: Grant, watch: Watch) -> tuple[Duty, ...]:
    """The register names the peer."""
    if fence.state is FenceState.OPEN and 0 < fence.epoch < grant.epoch:
        left = grant.parted is not None and grant.parted.left == site
        return (StandDown(fence.guard),) if left else (Shut(fence.guard),)
    if fence.state is FenceState.CLOSED and may_be_promoted(plan, site, grant, watch.silent):
        return (Promote(grant.lease_count),)
    return ()


def may_be_promoted(plan: Plan, site: str, grant: Grant, silent: float) -> bool:
    """Whether `site` takes over by itself: it has earned that, is not behind, and the lease is over (S12)."""
    earned = site in grant.eligible and site not in grant.behind and grant.parted is None
    return earned and grant.lease_count > 0 and lease_is_over(plan, grant, silent)


def lease_is_over(plan: Plan, grant: Grant, silent: float) -> bool:
    """Whether a watcher that has seen no renewal for `silent` seconds of its own knows that none holds."""
    return silent > grant.lease_seconds + plan.lease.margin


def _open(fence: Fence, grant: Grant) -> Duty:
    """A site that was promoted must stop following before it opens: nothing of its peer's may come after."""
    parted = grant.parted
    if parted is None or parted.left == grant.serving or fence.epoch >= grant.epoch:
        return Reopen(grant.epoch, fence.guard)
    newest = guard_of(parted)
    return TakeOffice(grant.epoch, fence.guard if newest.older_than(fence.guard) else newest)
