"""Goes on while only the witness is gone: the peer lends a lease, and promotes nobody before that is over."""

from dataclasses import dataclass

from cutover.engine.parts import Parts
from cutover.model.observation import Fence, FenceState, Lead
from cutover.model.register import Grant, Unsent


@dataclass(frozen=True, slots=True)
class Borrower:
    """The serving site's side. `grant` is the register as it was last seen."""

    parts: Parts
    site: str
    grant: Grant

    async def borrow(self, fence: Fence, lead: Lead, unsent: Unsent) -> bool:
        """Ask the peer, and let this site write for another lease; False when that may not be.

        The register cannot be told that the peer is behind, nor be given a
        higher ceiling: so neither may be needed.
        """
        if not self._may(fence) or not self._stays_inside(lead, unsent):
            return False
        sites, lease = self.parts.sites, self.parts.plan.lease
        if not await sites[self.site].probe_write():
            return False  # restarted since the look, perhaps on less than it had
        started = await sites[self.site].instant()
        lent = await sites[self.parts.plan.peer(self.site)].lend(
            epoch=self.grant.epoch,
            lease_count=self.grant.lease_count,
            seconds=lease.seconds + lease.margin,
        )
        if lent:
            await sites[self.site].renew_lease(epoch=self.grant.epoch, started=started, seconds=lease.seconds)
        return lent

    def _may(self, fence: Fence) -> bool:
        serves = self.grant.serving == self.site and self.grant.drain is None
        standing = fence.state is FenceState.OPEN and fence.lease_live and fence.epoch == self.grant.epoch
        return self.parts.plan.lease.lending and serves and standing

    def _stays_inside(self, lead: Lead, unsent: Unsent) -> bool:
        ceilings = dict(self.grant.ceilings)
        close = unsent.seconds is not None and unsent.seconds <= self.parts.plan.gates.lag_seconds
        return close and all(value < ceilings.get(name, 0) for name, value in lead.sequences)


async def lent_is_over(parts: Parts, site: str, grant: Grant) -> bool:
    """Whether `site` may be promoted as far as its own lending goes; from now on it lends nothing more."""
    if not parts.plan.lease.lending:
        return True
    return await parts.sites[site].withhold(epoch=grant.epoch, lease_count=grant.lease_count)
