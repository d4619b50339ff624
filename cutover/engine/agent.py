"""The site agent: keeps the lease, ends drains that outlive their deadline, fences a site that was left."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from cutover.engine.parts import Parts
from cutover.engine.register import change_register, renewed
from cutover.errors import CutoverError, Refused
from cutover.model.observation import Fence, FenceState
from cutover.model.register import Drain, Grant
from cutover.ports.database import SiteDatabase
from cutover.protocol.attend import Duty, EndDrain, RenewLease, Reopen, Shut


@dataclass(slots=True)
class Agent:
    """Attends to one site, in a process of that site."""

    parts: Parts
    site: str
    report: Callable[[str], None] = lambda _: None
    _drain: Drain | None = None
    _drain_since: float = 0.0

    async def run(self) -> None:
        """Attend for ever, several times in each lease; what fails is tried again at the next turn."""
        pause = self.parts.plan.lease.seconds / 6
        while True:
            try:
                await self.attend_once()
            except CutoverError as error:  # witness or database away: the lease runs out by itself
                self.report(f"{error}")
            await self.parts.clock.sleep(pause)

    async def attend_once(self) -> None:
        """One look, one decision, its duties. The fence is read before the register (see `attend`)."""
        fence = await self._database.fence()
        seen = await self.parts.register.read()
        if seen is None:
            return
        grant = seen.grant
        if not await self._database.remember_register(epoch=grant.epoch, revision=grant.revision):
            raise Refused(
                f"the witness shows epoch {grant.epoch}, revision {grant.revision}, and site {self.site!r} "
                f"has seen a newer one: the witness has lost its memory. This site does not serve on it. "
                f"Restore the witness to its newest state, or ask who made another register."
            )
        age = self._age_of(seen.grant.drain)
        for duty in self.parts.attend(self.site, fence, seen.grant, age):
            await self._do(duty, fence)

    @property
    def _database(self) -> SiteDatabase:
        return self.parts.sites[self.site]

    def _age_of(self, drain: Drain | None) -> float:
        now = self.parts.clock.monotonic()
        if drain != self._drain:
            self._drain, self._drain_since = drain, now
        return now - self._drain_since

    async def _do(self, duty: Duty, fence: Fence) -> None:
        match duty:
            case RenewLease():
                await self._renew(fence)
            case EndDrain():
                await change_register(self.parts, self._without_the_drain)
            case Reopen(epoch, guard):
                started = await self._database.instant()
                seconds = self.parts.plan.lease.seconds
                grant = await change_register(self.parts, lambda grant: renewed(grant, self.site, seconds))
                if grant.serving == self.site and grant.drain is None:
                    await self._database.open(epoch=epoch, started=started, seconds=seconds, guard=guard)
            case Shut(guard):
                await self._database.close(guard=guard)

    def _without_the_drain(self, grant: Grant) -> Grant | None:
        """The same drain only: another one has a deadline of its own."""
        return replace(grant, drain=None) if grant.drain == self._drain else None

    async def _renew(self, fence: Fence) -> None:
        """Only a site whose database takes a write may stay in office: the probe raises otherwise."""
        if fence.state is FenceState.OPEN and fence.lease_live:
            await self._database.probe_write()
        started = await self._database.instant()
        seconds = self.parts.plan.lease.seconds
        grant = await change_register(self.parts, lambda grant: renewed(grant, self.site, seconds))
        if grant.serving != self.site:
            raise Refused(f"{self.site!r} does not serve any more")
        if fence.state is FenceState.OPEN and fence.epoch > 0:
            await self._database.renew_lease(epoch=grant.epoch, started=started, seconds=seconds)
