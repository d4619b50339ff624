"""Changes of the register that name a survivor, and what a renewal says of its peer."""

from collections.abc import Mapping
from dataclasses import replace

from cutover.errors import Refused, Superseded
from cutover.model.action import Guard
from cutover.model.observation import Lead
from cutover.model.plan import Plan
from cutover.model.position import Position
from cutover.model.register import Grant, Parting, Unsent

CEILING_STEP = 1_000_000
"""How far above a sequence its ceiling is put: no site gives out as many ids within a lease."""

CEILING_SHARE = 4
"""A ceiling takes at most this part of what a sequence has left, for a promotion skips all of it. A site
that gives out half of such a part between two renewals has used the sequence up within seconds anyway."""


def promoted(grant: Grant, site: str, *, lease_count: int, by: str) -> Grant:
    """The grant under which `site` serves after its peer was left without a drain.

    Its lease is the one that the caller saw run out: any renewal since forbids
    it. The new term makes both sites refuse what a coordinator decided before.
    """
    if grant.lease_count != lease_count:
        raise Superseded(f"the lease of {grant.serving!r} was renewed: the register")
    if grant.serving == site or site not in grant.eligible:
        raise Refused(
            f"{site!r} may not be promoted: eligible are {', '.join(grant.eligible) or 'none'}. "
            f"Nothing was changed. A site earns it by a full compare (`cutover verify`)."
        )
    epoch, term = grant.epoch + 1, grant.term + 1
    return replace(
        grant,
        epoch=epoch,
        term=term,
        serving=site,
        lease_holder=site,
        lease_count=grant.lease_count + 1,
        eligible=(),
        behind=(),
        drain=None,
        unsent=Unsent(),
        parted=Parting(left=grant.serving, epoch=epoch, term=term, unsent=grant.unsent, by=by),
    )


def guard_of(parted: Parting) -> Guard:
    """What the effects of a promotion carry: newer than anything that a coordinator decided before."""
    return Guard(parted.term, 0)


def with_lead(grant: Grant, plan: Plan, lead: Lead, unsent: Unsent) -> Grant:
    """What a renewal says beside the lease (S10, S12).

    A peer past the bound is named before this lease lets the site acknowledge
    alone, also one that has not earned its eligibility yet: it may get that
    before the next renewal. The ceiling of a sequence is raised before half of it is used up, and
    stays within what the sequence can give out.
    """
    late = unsent.seconds is None or unsent.seconds > plan.gates.lag_seconds
    behind = (plan.peer(grant.serving),) if late else ()
    return with_ceilings(replace(grant, unsent=unsent, behind=behind), dict(lead.sequences), lead)


def with_ceilings(grant: Grant, values: Mapping[str, int], lead: Lead) -> Grant:
    """The grant that lets a site give out ids from `values` on: whoever comes after it begins above them."""
    ceilings, bounds = dict(grant.ceilings), dict(lead.bounds)
    for name, value in values.items():
        step = _ceiling_step(value, bounds.get(name))
        if value + _share(step, 2) > ceilings.get(name, 0):
            ceilings[name] = value + step
    return replace(grant, ceilings=tuple(sorted(ceilings.items())))


def _ceiling_step(value: int, bound: int | None) -> int:
    """At least 1, until the sequence is used up."""
    return CEILING_STEP if bound is None else min(CEILING_STEP, _share(max(bound - value, 0), CEILING_SHARE))


def _share(whole: int, parts: int) -> int:
    """One of so many parts, rounded up."""
    return -(-whole // parts)


def check_memory(site: str, grant: Grant, lead: Lead) -> None:
    """A log that ends before what it held at the last renewal has forgotten: this is a new writer (S11)."""
    if grant.lease_holder != site or not grant.unsent.end:
        return
    check_end(site, lead, Position.parse(grant.unsent.end))


def check_end(site: str, lead: Lead, known: Position) -> None:
    """Raise unless the log of `site` still holds what somebody else knows that it held."""
    if not lead.end.reaches(known):
        raise Refused(
            f"the log of {site!r} ends at {lead.end}, and it is known to have held {known}: its database has "
            f"forgotten acknowledged writes, or was restored. It does not serve on. "
            f"Let its peer be promoted (`cutover status`); then this site is compared and follows."
        )


def check_applied(site: str, grant: Grant, applied: Position | None) -> None:
    """A survivor must still have what it had confirmed to its peer, or it has forgotten that (S11).

    Before it has applied anything the slot stands where it was made.
    """
    if applied is None or not grant.unsent.confirmed:
        return
    known = Position.parse(grant.unsent.confirmed)
    if not applied.reaches(known):
        raise Refused(
            f"{site!r} says that it has applied its peer's log up to {applied}, and had confirmed {known}: "
            f"its database has forgotten, or was restored. It is not promoted. Wait for its peer."
        )


def check_drained(site: str, end: Position, applied: Position | None) -> None:
    """The arriving site must still have what it had when the drain ended, or it has forgotten that (S11)."""
    if applied is None or not applied.reaches(end):
        raise Refused(
            f"site {site!r} had applied its peer's log to its end at {end}, and says now that it is in up to "
            f"{applied}: its database has forgotten, or was restored. It is not opened. Its peer has "
            f"everything, and serves again once the drain, or the lease of {site!r}, is over."
        )


def check_kept(site: str, applied: Position | None, confirmed: Position) -> None:
    """The same, as far as the peer can tell: which of its log this site once had on disk."""
    if applied is None or applied.reaches(confirmed):
        return
    if (applied.system, applied.timeline) == (confirmed.system, confirmed.timeline):
        raise Refused(
            f"site {site!r} says that it has applied its peer's log up to {applied}, and had confirmed "
            f"{confirmed} to it: its database has forgotten, or was restored. It is not opened. Its peer "
            f"serves once the lease of {site!r} is over."
        )
