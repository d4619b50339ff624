"""The site agent: keeps the lease, ends drains that outlive their deadline, fences a site that was left,
and promotes its own when the peer's lease has run out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from typing import TypeVar

from cutover.engine.lag import Lag, Sent
from cutover.engine.lending import Borrower, lent_is_over
from cutover.engine.parts import Parts
from cutover.engine.register import change_register, renewed
from cutover.errors import CutoverError, Inconclusive, Refused, SiteUnreachable
from cutover.model.action import Guard
from cutover.model.observation import Fence, FenceState, Instant, Lead
from cutover.model.register import Drain, Grant, Unsent
from cutover.ports.database import SiteDatabase
from cutover.protocol.attend import (
    Duty,
    EndDrain,
    Promote,
    RenewLease,
    Reopen,
    Shut,
    StandDown,
    TakeOffice,
    Watch,
)
from cutover.protocol.promote import (
    check_applied,
    check_end,
    check_kept,
    check_memory,
    promoted,
    with_ceilings,
    with_lead,
)

TURNS = 6
"""Looks in the time of a lease."""
TURNS_OF_HEIR = 10
"""The same of an agent that may have to promote its site: a renewal that it sees late counts from then."""
ASK_SECONDS = 1.0
"""Longest that the peer may take to say how far it has applied this site's log."""
MOMENT = 0.02
"""Pause (s) before a look at a lease that is just over, behind a promotion, and at a peer that catches up."""
PATIENCE = 4
"""Part of a lease for which the witness is waited for where the peer can be asked instead."""
LOOKING = 6
"""The same for which it is looked at whether the peer catches up, before it is asked to lend."""

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Agent:
    """Attends to one site, in a process of that site."""

    parts: Parts
    site: str
    report: Callable[[str], None] = lambda _: None
    _drain: Drain | None = None
    _drain_since: float = 0.0
    _lease: tuple[int, int] = (0, -1)  #: epoch and number of the newest renewal that was seen
    _lease_since: float = 0.0
    _seen: Grant | None = None  #: the register as it was last seen
    _epoch: int = -1  #: of the register as it was last seen
    _office: int = 0  #: epoch under which `_sent` counts
    _sent: Sent = field(default_factory=Sent)
    _ids: tuple[int, dict[str, int]] | None = None  #: epoch, and where its sequences were raised to

    async def run(self) -> None:
        """Attend for ever, several times in each lease; what fails is tried again at the next turn."""
        while True:
            grant = None
            try:
                grant = await self.attend_once()
            except CutoverError as error:  # witness or database away: the lease runs out by itself
                self.report(f"{error}")
            await self.parts.clock.sleep(self._pause(grant))

    def _pause(self, grant: Grant | None) -> float:
        """Who may have to take over looks more often, and just when the peer's lease is over."""
        lease = self.parts.plan.lease
        if grant is None or self.site not in grant.eligible or grant.serving == self.site:
            return lease.seconds / TURNS
        left = self._lease_since + grant.lease_seconds + lease.margin - self.parts.clock.monotonic()
        return min(lease.seconds / TURNS_OF_HEIR, max(left, MOMENT))

    async def attend_once(self) -> Grant | None:
        """One look, one decision, its duties; return the register as it was seen.

        The fence is read before the register (see `attend`).
        """
        fence = await self._database.fence()
        seen = await self._soon(self.parts.register.read(), fence)
        if seen is None:
            return None
        grant = self._seen = seen.grant
        if not await self._database.remember_register(epoch=grant.epoch, revision=grant.revision):
            raise Refused(
                f"the witness shows epoch {grant.epoch}, revision {grant.revision}, and site {self.site!r} "
                f"has seen a newer one: the witness has lost its memory. This site does not serve on it. "
                f"Restore the witness to its newest state, or ask who made another register."
            )
        self._count_from(grant)
        for duty in self.parts.attend(self.parts.plan, self.site, fence, grant, self._watch(grant)):
            await self._do(duty, fence)
        return grant

    @property
    def _database(self) -> SiteDatabase:
        return self.parts.sites[self.site]

    def _count_from(self, grant: Grant) -> None:
        """At a cutover the peer had everything; of what an earlier process counted nothing is known.

        Nor how long ago the cutover was, by one that has not seen the epoch before it.
        """
        there, self._epoch = self._epoch == grant.epoch - 1, grant.epoch
        if grant.serving == self.site and grant.epoch != self._office:
            fresh = there and not grant.unsent.end and grant.parted is None
            self._office = grant.epoch
            self._sent = Sent(Lag(known=self.parts.clock.monotonic() if fresh else -inf))

    def _watch(self, grant: Grant) -> Watch:
        """Both ages are counted from when this agent first saw what they are of (S1c)."""
        now = self.parts.clock.monotonic()
        if grant.drain != self._drain:
            self._drain, self._drain_since = grant.drain, now
        lease = (grant.epoch, grant.lease_count)
        if lease != self._lease:
            self._lease, self._lease_since = lease, now
        return Watch(drain_age=now - self._drain_since, silent=now - self._lease_since)

    async def _soon(self, answer: Awaitable[Answer], fence: Fence) -> Answer:
        """Await the witness, or borrow; who may borrow waits no longer than leaves time to ask the peer."""
        lease = self.parts.plan.lease
        patience = lease.seconds / PATIENCE if lease.lending else None
        try:
            async with asyncio.timeout(patience):
                return await answer
        except (SiteUnreachable, Inconclusive):
            await self._without_witness(fence)
            raise
        except TimeoutError:
            await self._without_witness(fence)
            raise Inconclusive(f"the witness did not answer within {patience} s") from None

    async def _do(self, duty: Duty, fence: Fence) -> None:
        match duty:
            case RenewLease():
                await self._renew(fence)
            case EndDrain():
                await change_register(self.parts, self._without_the_drain)
            case Reopen(epoch, guard):
                await self._ask_peer(opening=True)
                if fence.epoch < epoch:  # whoever forgot that it was opened forgot where its ids stood, too
                    await self._raise_ids(epoch, guard)
                await self._open(epoch, guard, fence)
            case Promote(lease_count):
                await self._promote(lease_count)
            case TakeOffice(epoch, guard):
                await self._take_office(epoch, guard, fence)
            case Shut(guard):
                await self._database.close(guard=guard)
            case StandDown(guard):
                await self._database.unfollow(guard=guard)
                await self._database.close(guard=guard)

    def _without_the_drain(self, grant: Grant) -> Grant | None:
        """The same drain only: another one has a deadline of its own."""
        return replace(grant, drain=None) if grant.drain == self._drain else None

    async def _without_witness(self, fence: Fence) -> None:
        """The lease runs out by itself, unless the peer lends one."""
        if self._seen is None or not self.parts.plan.lease.lending or self._seen.serving != self.site:
            return
        lead, unsent = await self._how_far()
        if await Borrower(self.parts, self.site, self._seen).borrow(fence, lead, unsent):
            self.report(f"{self.site!r} serves on a lease that its peer lent: the witness does not answer")

    async def _how_far(self) -> tuple[Lead, Unsent]:
        """What the peer has as of now: while the witness was waited for, nobody looked.

        A look tells how long ago the peer had everything once it has what the look before saw.
        """
        clock, gate = self.parts.clock, self.parts.plan.gates.lag_seconds
        begun = now = clock.monotonic()
        while True:
            lead = await self._database.lead()
            unsent = self._sent.unsent(now, lead)
            if unsent.seconds is not None and unsent.seconds <= gate:
                return lead, unsent
            if clock.monotonic() - begun > self.parts.plan.lease.seconds / LOOKING:
                return lead, unsent
            await clock.sleep(MOMENT)
            now = clock.monotonic()

    async def _promote(self, lease_count: int) -> None:
        """The register first: from here on nobody else is named under this epoch."""
        seen = await self._read()
        check_applied(self.site, seen, (await self._database.look()).applied)
        if seen.lease_count != lease_count or not await lent_is_over(self.parts, self.site, seen):
            return
        grant = await change_register(
            self.parts, lambda grant: promoted(grant, self.site, lease_count=lease_count, by="agent")
        )
        self.report(
            f"{self.site!r} was promoted under epoch {grant.epoch}: the lease of its peer had run out"
        )

    async def _take_office(self, epoch: int, guard: Guard, fence: Fence) -> None:
        """Once it follows no more, nothing of the peer's can come after its own first write."""
        await self._database.unfollow(guard=guard)
        await self._raise_ids(epoch, guard)
        await self._open(epoch, guard, fence)

    async def _raise_ids(self, epoch: int, guard: Guard) -> None:
        """Above the highest that was recorded before this epoch (S10).

        The register first: once the sequences are there, a coordinator may open the site, and the peer be
        promoted, before another renewal goes through. The same place for all attempts of an epoch: each
        would take a further step.
        """
        if self._ids is None or self._ids[0] != epoch:
            self._ids = (epoch, dict((await self._read()).ceilings))
        _, values = self._ids
        lead = await self._database.lead()

        def change(grant: Grant) -> Grant | None:
            if grant.serving != self.site or grant.epoch != epoch:
                raise Refused(f"{self.site!r} does not serve under epoch {epoch} any more")
            new = with_ceilings(grant, values, lead)
            return new if new != grant else None

        await change_register(self.parts, change)
        await self._database.raise_sequences(values, guard=guard)

    async def _read(self) -> Grant:
        return await change_register(self.parts, lambda _: None)

    async def _open(self, epoch: int, guard: Guard, fence: Fence) -> None:
        started, grant = await self._renewed(fence)
        if grant.serving == self.site and grant.drain is None:
            seconds = self.parts.plan.lease.seconds
            await self._database.open(epoch=epoch, started=started, seconds=seconds, guard=guard)

    async def _renew(self, fence: Fence) -> None:
        """Only a site whose database takes a write may stay in office; one that was restarted is asked about.

        The fence may have been looked at before a restart, and the probe after it.
        """
        live = fence.state is FenceState.OPEN and fence.lease_live
        if not live or not await self._database.probe_write():
            await self._ask_peer()
        started, grant = await self._renewed(fence)
        if grant.serving != self.site:
            raise Refused(f"{self.site!r} does not serve any more")
        if fence.state is FenceState.OPEN and fence.epoch > 0:
            seconds = self.parts.plan.lease.seconds
            await self._database.renew_lease(epoch=grant.epoch, started=started, seconds=seconds)

    async def _ask_peer(self, *, opening: bool = False) -> None:
        """Whose lease had lapsed may have been restarted on less than it had: its peer knows how far it was.

        And who is opened may have less of its peer's log than it once had. A peer that
        does not answer cannot be asked; then what the register says must do.
        """
        peer, applied, confirmed = self.parts.sites[self.parts.plan.peer(self.site)], None, None
        with suppress(SiteUnreachable, Inconclusive, TimeoutError):
            async with asyncio.timeout(ASK_SECONDS):
                applied = (await peer.look()).applied
                confirmed = (await peer.lead()).confirmed if opening else None
        if confirmed is not None:
            check_kept(self.site, (await self._database.look()).applied, confirmed)
        if applied is not None:
            check_end(self.site, await self._database.lead(), applied)

    async def _renewed(self, fence: Fence) -> tuple[Instant, Grant]:
        """A lease counts from before it was written to the witness; with it goes what the peer may lack."""
        started = await self._database.instant()
        now = self.parts.clock.monotonic()
        lead = await self._database.lead()
        unsent, seconds = self._sent.unsent(now, lead), self.parts.plan.lease.seconds

        def change(grant: Grant) -> Grant | None:
            new = renewed(grant, self.site, seconds)
            if new is None:
                return None
            check_memory(self.site, grant, lead)
            return with_lead(new, self.parts.plan, lead, unsent)

        return started, await self._soon(change_register(self.parts, change), fence)
