"""One look at the register and both sites."""

import asyncio
from dataclasses import dataclass, field
from math import inf

from cutover.engine.lag import Lag
from cutover.engine.parts import Parts
from cutover.engine.register import read_register
from cutover.errors import CutoverError
from cutover.model.observation import FenceState, Observation, SiteFacts
from cutover.model.register import Drain, Grant
from cutover.model.stage import Stage
from cutover.protocol.replay import State


@dataclass(slots=True)
class Observer:
    """Looks, and remembers between looks only what is measured in time."""

    parts: Parts
    _lag: Lag = field(default_factory=Lag)
    _lag_of: str = ""
    _drain: Drain | None = None
    _drain_since: float = 0.0
    _lease: tuple[int, int] = (0, -1)  #: epoch and number of the newest renewal that was seen
    _lease_since: float = 0.0

    async def look(self, state: State) -> Observation:
        """See the register and both sites at once: each look may be part of the write pause."""
        parts, plan = self.parts, self.parts.plan
        now = parts.clock.monotonic()
        if state.pending:  # what the last move ordered depends on the register alone
            return self._of_register(now, (await read_register(parts)).grant)
        registered, source, target, takes_writes = await asyncio.gather(
            read_register(parts), self._site(plan.source), self._site(plan.target), self._probe(state)
        )
        grant, facts = registered.grant, {plan.source: source, plan.target: target}
        leaving, arriving = facts[plan.leaving(state.direction)], facts[plan.arriving(state.direction)]
        return Observation(
            grant=grant,
            source=source,
            target=target,
            lag_seconds=self._lag_behind(grant.serving, now, facts),
            drained=_drained(state, leaving, arriving) and await self._on_disk(state),
            drain_overdue=self._overdue(now, grant.drain),
            takes_writes=takes_writes,
            silent_seconds=self._silent(now, grant),
        )

    def _of_register(self, now: float, grant: Grant) -> Observation:
        return Observation(
            grant=grant,
            source=None,
            target=None,
            lag_seconds=inf,
            drained=False,
            drain_overdue=self._overdue(now, grant.drain),
            takes_writes=False,
            silent_seconds=self._silent(now, grant),
        )

    async def _site(self, site: str) -> SiteFacts | None:
        try:
            return await self.parts.sites[site].look()
        except CutoverError:
            return None

    def _lag_behind(self, serving: str, now: float, facts: dict[str, SiteFacts | None]) -> float:
        ahead, behind = facts[serving], facts[self.parts.plan.peer(serving)]
        if serving != self._lag_of:
            self._lag, self._lag_of = Lag(), serving
        end = ahead.end if ahead else None
        return self._lag.seconds(now, end, behind.applied if behind else None)

    def _overdue(self, now: float, drain: Drain | None) -> bool:
        if drain != self._drain:
            self._drain, self._drain_since = drain, now
        return drain is not None and now - self._drain_since > drain.seconds

    def _silent(self, now: float, grant: Grant) -> float:
        lease = (grant.epoch, grant.lease_count)
        if lease != self._lease:
            self._lease, self._lease_since = lease, now
        return now - self._lease_since

    async def _on_disk(self, state: State) -> bool:
        """The applier's commits wait for no disk, and what is drained must outlive the arriving site (S5)."""
        try:
            durable = await self.parts.sites[self.parts.plan.arriving(state.direction)].durable()
        except CutoverError:
            return False
        return durable is not None and state.end is not None and durable.reaches(state.end)

    async def _probe(self, state: State) -> bool:
        if state.stage is not Stage.CUT_OVER or state.pending:
            return False
        try:
            return await self.parts.sites[self.parts.plan.arriving(state.direction)].probe_write()
        except CutoverError:
            return False


def _drained(state: State, leaving: SiteFacts | None, arriving: SiteFacts | None) -> bool:
    """Only a look that shows the fence closed counts: a site that was reopened is not drained."""
    if state.stage is not Stage.DRAIN or state.end is None:
        return False
    if leaving is None or arriving is None or arriving.applied is None:
        return False
    return leaving.fence.state is FenceState.CLOSED and arriving.applied.reaches(state.end)


async def look_at_both(parts: Parts) -> dict[str, SiteFacts | None]:
    """Both sites' own facts, for `cutover status`: None for one that does not answer."""
    observer = Observer(parts)
    names = (parts.plan.source, parts.plan.target)
    looks = await asyncio.gather(*(observer._site(name) for name in names))
    return dict(zip(names, looks, strict=True))
