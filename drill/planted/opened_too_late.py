"""A coordinator that is refused for its old term sends its order again under the newest one.

So one that has slept is obeyed when it wakes: it opens the target under the
epoch of then, while its lease of then is still alive.
"""

from typing import Any

from cutover.engine.parts import Parts
from cutover.errors import StaleTerm
from cutover.model.action import Guard
from drill.planted.around import Around, around_sites
from drill.planted.plant import Plant
from drill.planted.troubles import COORDINATOR_SLEEPS


class Insisting(Around):
    """A site that opens for whoever asks twice."""

    async def open(self, *, guard: Guard, **told: Any) -> None:
        """As the port says, under whichever term it takes."""
        try:
            await self._inner.open(guard=guard, **told)
        except StaleTerm:
            newest = (await self._inner.fence()).guard
            await self._inner.open(guard=newest, **told)


def _in_parts(parts: Parts) -> Parts:
    return around_sites(parts, lambda _, inner: Insisting(inner))


OPENED_TOO_LATE = Plant(
    name="opened-too-late",
    rule="S6a",
    checker="one_writer",
    about="a coordinator that slept through a roll back opens the target, and no site refuses its old order",
    seeds=20,
    processes=frozenset({"coordinator"}),
    under=COORDINATOR_SLEEPS,
    in_parts=_in_parts,
)
