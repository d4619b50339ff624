"""One look at the register and both sites."""

import asyncio
from collections import deque
from dataclasses import dataclass, field
from math import inf

from cutover.engine.parts import Parts
from cutover.engine.register import read_register
from cutover.errors import CutoverError
from cutover.model.observation import FenceState, Observation, SiteFacts
from cutover.model.position import Position
from cutover.model.register import Drain, Grant
from cutover.model.stage import Stage
from cutover.protocol.replay import State

SAMPLES = 4096
"""Looks remembered for the lag: at two a second, half an hour."""


@dataclass(slots=True)
class Lag:
    """How long ago the arriving site is known to have had everything.

    One clock only: when the leaving site's log was seen to end at a position,
    and the other site is later seen to have applied it, then it had everything
    at the moment of the first look.
    """

    _ends: deque[tuple[float, Position]] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    _known: float = -inf

    def seconds(self, now: float, end: Position | None, applied: Position | None) -> float:
        """Take in one look, begun at `now`; return the age of that moment (inf: never known)."""
        if end is not None:
            self._ends.append((now, end))
        while applied is not None and self._ends and applied.reaches(self._ends[0][1]):
            self._known = self._ends.popleft()[0]
        return now - self._known


@dataclass(slots=True)
class Observer:
    """Looks, and remembers between looks only what is measured in time."""

    parts: Parts
    _lag: Lag = field(default_factory=Lag)
    _lag_of: str = ""
    _drain: Drain | None = None
    _drain_since: float = 0.0

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
            drained=_drained(state, leaving, arriving),
            drain_overdue=self._overdue(now, grant.drain),
            takes_writes=takes_writes,
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

    async def _probe(self, state: State) -> bool:
        if state.stage is not Stage.CUT_OVER or state.pending:
            return False
        try:
            return await self.parts.sites[self.parts.plan.arriving(state.direction)].probe_write()
        except CutoverError:
            return False


def _drained(state: State, leaving: SiteFacts | None, arriving: SiteFacts | None) -> bool:
    """Only a look that shows the fence closed counts: a site that was reopened is not drained."""
    if state.end is None or leaving is None or arriving is None or arriving.applied is None:
        return False
    return leaving.fence.state is FenceState.CLOSED and arriving.applied.reaches(state.end)


async def look_at_both(parts: Parts) -> dict[str, SiteFacts | None]:
    """Both sites' own facts, for `cutover status`: None for one that does not answer."""
    observer = Observer(parts)
    names = (parts.plan.source, parts.plan.target)
    looks = await asyncio.gather(*(observer._site(name) for name in names))
    return dict(zip(names, looks, strict=True))
