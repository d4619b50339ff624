"""A site is closed over the heads of writers that have passed its fence.

What they commit is in the log behind the end that the close answered. Three
defences would save it, so all are taken out: the engine follows on behind the
end, it compares once more, and a platform asks again before it acknowledges.
"""

from typing import Any

from cutover.adapters.memory.site import MemorySite
from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.position import Position
from cutover.ports.clock import Clock
from drill.planted.around import Around, Posing, around_sites
from drill.planted.plant import Plant
from drill.planted.troubles import WRITER_HELD_UP
from drill.planted.unseen import without_compare
from sample_platform.platform import Platform

LOOK_SECONDS = 0.003


class SeeminglyIdle(Posing):
    """A memory server in which nobody ever holds the fence."""

    writers = 0


class ClosedOverWriters(Around):
    """A site that is closed at once, and followed to the end that this answers."""

    def __init__(self, inner: Any, peer: Any, clock: Clock) -> None:
        super().__init__(inner)
        self._peer, self._clock = peer, clock

    async def close(self, *, guard: Guard) -> Position:
        """Refuse further writes, drain, and stop the stream there."""
        server: Any = SeeminglyIdle(self._inner.server)
        end = await MemorySite(server).close(guard=guard)
        while (applied := (await self._peer.look()).applied) is None or not applied.reaches(end):
            await self._clock.sleep(LOOK_SECONDS)
        await self._peer.unfollow(guard=guard)
        return end


class CommittedIsEnough(Platform):
    """The platform, acknowledging whatever has been committed."""

    async def _confirm(self, epoch: int | None) -> None:
        """Nobody is asked."""


def _in_parts(parts: Parts) -> Parts:
    def closed_over_writers(site: str, inner: Any) -> ClosedOverWriters:
        return ClosedOverWriters(inner, parts.sites[parts.plan.peer(site)], parts.clock)

    return without_compare(around_sites(parts, closed_over_writers))


WRITERS_NOT_AWAITED = Plant(
    name="writers-not-awaited",
    rule="S1a",
    checker="acknowledged",
    about="a site is closed while writers that have passed its fence have not committed yet",
    processes=frozenset({"coordinator", "platform"}),
    under=WRITER_HELD_UP,
    simulated_only=True,
    in_parts=_in_parts,
    platform=CommittedIsEnough,
)
