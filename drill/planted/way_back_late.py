"""The slot for the way back is made once the target serves, and not before.

What the target acknowledges until then never reaches the source. The compare
would find it, and no switch begins without the slot: both are taken out.
"""

from dataclasses import replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.observation import SiteFacts
from cutover.model.position import Position
from cutover.ports.clock import Clock
from drill.planted.around import Around, around_sites
from drill.planted.plant import Plant
from drill.planted.troubles import ROLLED_BACK
from drill.planted.unseen import without_compare

LATE_SECONDS = 0.3


class KeptLate(Around):
    """The target's database, whose log is kept from the first moment that somebody asks for it."""

    def __init__(self, inner: Any, clock: Clock) -> None:
        super().__init__(inner)
        self._clock = clock

    async def keep_log(self, *, guard: Guard) -> Position:
        """Promise it."""
        end: Position = (await self._inner.look()).end
        return end

    async def look(self) -> SiteFacts:
        """It is kept, whoever asks."""
        facts: SiteFacts = await self._inner.look()
        return replace(facts, slot=True)

    async def open(self, *, guard: Guard, **told: Any) -> None:
        """Serve, and then keep the promise."""
        await self._inner.open(guard=guard, **told)
        await self._clock.sleep(LATE_SECONDS)
        await self._inner.keep_log(guard=guard)


def _in_parts(parts: Parts) -> Parts:
    def late(site: str, inner: Any) -> Any:
        return KeptLate(inner, parts.clock) if site == parts.plan.target else inner

    return without_compare(around_sites(parts, late))


WAY_BACK_LATE = Plant(
    name="way-back-late",
    rule="S5",
    checker="acknowledged",
    about="the log for the way back is kept only after the target's first writes, which a roll back loses",
    origin="vitess#16794: the way back was never checked before the switch",
    processes=frozenset({"coordinator"}),
    under=ROLLED_BACK,
    in_parts=_in_parts,
)
