"""The end of the log is read, the target is let reach it, and only then is the source closed.

What is written in between is in the log behind the end. The engine follows the
source until long after the switch, which would save that tail: so the target's
worker is stopped at the end. And it compares once more; that is taken out.
"""

from dataclasses import replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.position import Position
from cutover.ports.clock import Clock
from cutover.ports.database import SiteDatabase
from drill.planted.plant import Plant
from drill.planted.unseen import without_compare

LOOK_SECONDS = 0.003


class EndFirst:
    """A site whose log's end is taken while its writers are still at work."""

    def __init__(self, inner: SiteDatabase, peer: SiteDatabase, clock: Clock) -> None:
        self._inner, self._peer, self._clock = inner, peer, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def close(self, *, guard: Guard) -> Position:
        """Drain to an end that is none, stop the stream there, and close."""
        end = (await self._inner.look()).end
        while not _reached((await self._peer.look()).applied, end):
            await self._clock.sleep(LOOK_SECONDS)
        await self._peer.unfollow(guard=guard)
        await self._inner.close(guard=guard)
        return end


def _reached(applied: Position | None, end: Position) -> bool:
    return applied is not None and applied.reaches(end)


def _in_parts(parts: Parts) -> Parts:
    source, target = parts.sites[parts.plan.source], parts.sites[parts.plan.target]
    sites: dict[str, Any] = {**parts.sites, parts.plan.source: EndFirst(source, target, parts.clock)}
    return without_compare(replace(parts, sites=sites))


END_BEFORE_CLOSE = Plant(
    name="end-before-close",
    rule="S5",
    checker="acknowledged",
    about="the end of the source's log is read before the source is closed",
    processes=frozenset({"coordinator"}),
    in_parts=_in_parts,
)
