"""What the arriving site has applied counts as drained, whether its disk has it or not.

The look before the epoch is granted would find that it has forgotten: so it is
believed to have what it once had.
"""

from dataclasses import replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.observation import SiteFacts
from cutover.model.position import Position
from drill.planted.around import Around, around_sites
from drill.planted.plant import Plant
from drill.planted.troubles import TARGET_DIES_DRAINED


class AppliedIsEnough(Around):
    """A site's database that waits for no disk."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self._once: Position | None = None

    async def look(self) -> SiteFacts:
        """As it was at its best."""
        facts: SiteFacts = await self._inner.look()
        if self._once is None or (facts.applied is not None and facts.applied.reaches(self._once)):
            self._once = facts.applied
        return replace(facts, applied=self._once)

    async def durable(self) -> Position | None:
        """How far it has applied."""
        applied: Position | None = (await self._inner.look()).applied
        return applied


def _in_parts(parts: Parts) -> Parts:
    return around_sites(parts, lambda _, inner: AppliedIsEnough(inner))


DRAINED_IN_MEMORY = Plant(
    name="drained-in-memory",
    rule="S5",
    checker="acknowledged",
    about="the drain ends with changes that the target has applied and its disk does not hold",
    processes=frozenset({"coordinator"}),
    under=TARGET_DIES_DRAINED,
    in_parts=_in_parts,
)
