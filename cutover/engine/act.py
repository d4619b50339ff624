"""Carries out one action. Each may be repeated after any crash."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace

from cutover.engine.compare import Comparer, Report, Verified, compare_touched
from cutover.engine.homecoming import list_stranded, merge_stranded
from cutover.engine.lending import lent_is_over
from cutover.engine.parts import Parts
from cutover.engine.register import change_register, read_register, renewed
from cutover.errors import CutoverError, DrainLost, Inconclusive, StaleTerm, Superseded
from cutover.model.action import (
    Action,
    CloseSite,
    CompareSites,
    DeclareDrain,
    Disqualify,
    EndParting,
    Follow,
    GiveUpDrain,
    GrantEpoch,
    Guard,
    KeepLog,
    ListStranded,
    MarkEligible,
    MergeStranded,
    MoveSequences,
    OpenSite,
    PrepareSite,
    PromoteSite,
    ReleaseBrake,
    ReleaseLog,
    RemoveFence,
    Throttle,
    Unfollow,
    VerifyDelta,
)
from cutover.model.observation import Lead
from cutover.model.position import Position
from cutover.model.register import Drain, Grant, Unsent
from cutover.protocol.promote import check_applied, check_drained, check_memory, promoted

Facts = dict[str, object]

TELL_SECONDS = 0.5
"""Longest that the site which was left may take to hear of the new epoch: its own agent will tell it, too."""


@dataclass(slots=True)
class Executor:
    """The one place from which a coordinator changes anything."""

    parts: Parts
    report: Report = lambda _: None
    verified: Verified = field(default_factory=set)
    _follower: str = ""  #: where those were read
    _whole: bool = False  #: a full compare has come to its end
    end: Position | None = None  #: of the log of the site that a switch leaves; None: none is under way
    _moved: dict[str, int] = field(default_factory=dict)  #: sequences, as they were moved last

    async def carry_out(self, action: Action, guard: Guard) -> Facts:
        """Do it; return what the journal should keep of it."""
        sites = self.parts.sites
        match action:
            case PrepareSite(site):
                await sites[site].prepare(guard=guard)
            case KeepLog(site):
                return {"position": str(await sites[site].keep_log(guard=guard))}
            case Follow(site, backfill, rejoin):
                await sites[site].follow(backfill=backfill, rejoin=rejoin, guard=guard)
            case CompareSites():
                return await self._compare(guard)
            case MarkEligible(site):
                await change_register(self.parts, lambda grant: _eligible(grant, guard, site))
            case DeclareDrain(site):
                await change_register(self.parts, lambda grant: self._declared(grant, guard, site))
            case CloseSite(site):
                await self._show_register(site)
                return {"end": str(await sites[site].close(guard=guard))}
            case MoveSequences(site):
                return await self._move_sequences(site, guard)
            case VerifyDelta(site):
                found = await compare_touched(
                    self.parts, self.parts.plan.peer(site), site, self._verified(site)
                )
                return found.facts()
            case GrantEpoch(site):
                await self._check_drained(site)
                grant = await change_register(self.parts, lambda grant: self._granted(grant, guard, site))
                return {"epoch": grant.epoch}
            case OpenSite(site):
                return await self._open(site, guard)
            case GiveUpDrain(site):
                await change_register(self.parts, lambda grant: _given_up(grant, guard, site))
            case Disqualify(site):
                await change_register(self.parts, lambda grant: _disqualified(grant, guard, site))
            case PromoteSite(site, lease_count):
                return await self._promote(site, lease_count, guard)
            case ListStranded(site):
                return await list_stranded(self.parts, site)
            case MergeStranded(site):
                return await merge_stranded(self.parts, site, guard)
            case EndParting(site):
                await self._end_parting(site, guard)
            case Throttle(site, pace):
                await sites[site].throttle(pace=pace, guard=guard)
            case ReleaseBrake(site, reason):
                await sites[site].release_brake(reason=reason, guard=guard)
            case Unfollow(site):
                await sites[site].unfollow(guard=guard)
            case ReleaseLog(site):
                await sites[site].release_log(guard=guard)
            case RemoveFence(site):
                await sites[site].remove(guard=guard)
        return {}

    async def _compare(self, guard: Guard) -> Facts:
        """Keys touched from now on are compared again before the switch: so watch first."""
        plan = self.parts.plan
        for site in (plan.source, plan.target):
            await self.parts.sites[site].watch_touched(guard=guard)
        reference = (await read_register(self.parts)).grant.serving
        follower = plan.peer(reference)
        if self._whole:  # it is to be a full one; but one that broke off is gone on with
            self.verified.clear()
        self._whole = False
        comparer = Comparer(self.parts, reference, follower, self.report, self._verified(follower))
        found = (await comparer.everything()).facts()
        self._whole = True
        return found

    def _verified(self, follower: str) -> Verified:
        """Objects that were read at this site, and not at the other one."""
        if follower != self._follower:
            self.verified.clear()
        self._follower = follower
        return self.verified

    async def _move_sequences(self, arriving: str, guard: Guard) -> Facts:
        values = await self.parts.sites[self.parts.plan.peer(arriving)].sequences()
        await self.parts.sites[arriving].raise_sequences(values, guard=guard)
        self._moved = values
        return {"sequences": dict(values)}

    def _declared(self, grant: Grant, guard: Guard, leaving: str) -> Grant | None:
        _check(grant, guard)
        if grant.serving != leaving:
            raise DrainLost(leaving=leaving)
        drain = Drain(
            leaving=leaving, seconds=self.parts.plan.gates.drain_seconds, term=guard.term, entry=guard.entry
        )
        return None if grant.drain == drain else replace(grant, drain=drain)

    def _granted(self, grant: Grant, guard: Guard, arriving: str) -> Grant | None:
        """The point of no return, on the same revision that giving up the drain would replace.

        The term first: a promotion names the arriving site, too, and took a newer one.
        """
        _check(grant, guard)
        if grant.serving == arriving:
            return None
        if grant.drain is None:
            raise DrainLost(leaving=grant.serving)
        return replace(
            grant,
            epoch=grant.epoch + 1,
            serving=arriving,
            eligible=(grant.serving,),  # it had everything when it was closed, and was compared
            behind=(),
            unsent=Unsent(),
            drain=None,
            lease_holder=arriving,
            lease_count=grant.lease_count + 1,
        )

    async def _promote(self, site: str, lease_count: int, guard: Guard) -> Facts:
        seen = (await read_register(self.parts)).grant
        check_applied(site, seen, (await self.parts.sites[site].look()).applied)
        if not await lent_is_over(self.parts, site, seen):
            raise Inconclusive(f"{site!r} has lent a lease that is not over yet")
        grant = await change_register(self.parts, lambda grant: _promoted(grant, guard, site, lease_count))
        return {"epoch": grant.epoch}

    async def _end_parting(self, left: str, guard: Guard) -> None:
        await change_register(self.parts, lambda grant: _reunited(grant, guard, left))
        await self.parts.sites[self.parts.plan.peer(left)].forget_merged(guard=guard)

    async def _open(self, site: str, guard: Guard) -> Facts:
        """A lease is counted from before it was written to the witness (S1c).

        What the site is known to have held is read before what it holds: its agent
        may open it at the same time, and record what it has written since.
        """
        seconds, here = self.parts.plan.lease.seconds, self.parts.sites[site]
        known, _ = await asyncio.gather(read_register(self.parts), self._check_drained(site))
        started, lead = await asyncio.gather(here.instant(), here.lead())
        check_memory(site, known.grant, lead)
        if self.end is not None and not _reach(lead, self._moved):
            await here.raise_sequences(self._moved, guard=guard)
        grant = await change_register(self.parts, lambda grant: renewed(grant, site, seconds))
        if grant.serving != site:
            raise Superseded(f"the register names {grant.serving!r}, not {site!r}: it")
        if grant.drain is not None and grant.drain.leaving == site:
            raise Superseded(f"a drain of {site!r} stands: the register")
        await here.open(epoch=grant.epoch, started=started, seconds=seconds, guard=guard)
        with suppress(CutoverError, TimeoutError):
            async with asyncio.timeout(TELL_SECONDS):
                await self._show_register(self.parts.plan.peer(site))
        return {"epoch": grant.epoch}

    async def _check_drained(self, site: str) -> None:
        if self.end is not None:
            check_drained(site, self.end, (await self.parts.sites[site].look()).applied)

    async def _show_register(self, site: str) -> None:
        """Who is closed remembers the newest register: no older one can open it again (S11)."""
        grant = (await read_register(self.parts)).grant
        await self.parts.sites[site].remember_register(epoch=grant.epoch, revision=grant.revision)


def _reach(lead: Lead, moved: Mapping[str, int]) -> bool:
    """Whether a site still has its sequences where they were moved to, or where they end."""
    values, bounds = dict(lead.sequences), dict(lead.bounds)
    return all(values.get(name, 0) >= min(last, bounds.get(name, last)) for name, last in moved.items())


def _check(grant: Grant, guard: Guard) -> None:
    if grant.term > guard.term:
        raise StaleTerm(site="witness", carried=(guard.term, guard.entry), seen=(grant.term, 0))


def _eligible(grant: Grant, guard: Guard, site: str) -> Grant | None:
    _check(grant, guard)
    if site in grant.eligible:
        return None
    return replace(grant, eligible=tuple(sorted({*grant.eligible, site})))


def _disqualified(grant: Grant, guard: Guard, site: str) -> Grant | None:
    """A promotion that came first has taken a newer term, so that this is refused."""
    _check(grant, guard)
    if site not in grant.eligible:
        return None
    return replace(grant, eligible=tuple(name for name in grant.eligible if name != site))


def _promoted(grant: Grant, guard: Guard, site: str, lease_count: int) -> Grant | None:
    if grant.serving == site and grant.parted is not None:
        return None
    _check(grant, guard)
    return promoted(grant, site, lease_count=lease_count, by="operator")


def _reunited(grant: Grant, guard: Guard, left: str) -> Grant | None:
    _check(grant, guard)
    if grant.parted is None or grant.parted.left != left:
        return None
    return replace(grant, parted=None, eligible=(left,))


def _given_up(grant: Grant, guard: Guard, leaving: str) -> Grant | None:
    """Nothing to do once it is gone; after the cutover there is nothing to give up."""
    _check(grant, guard)
    if grant.serving != leaving:
        raise Superseded(f"{grant.serving!r} serves already, so no drain can be given up: the register")
    return replace(grant, drain=None) if grant.drain is not None else None
