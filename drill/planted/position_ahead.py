"""The position is written first, and the rows it stands for in a commit of their own.

A worker that dies in between goes on behind rows that it never wrote. The
compare would find them missing, so it is taken out.
"""

from collections.abc import Collection, Sequence
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.change import Transaction
from cutover.ports.clock import Clock
from cutover.ports.database import Aside
from drill.planted.around import Around, around_appliers
from drill.planted.plant import Plant
from drill.planted.troubles import WORKER_DIES
from drill.planted.unseen import without_compare

BETWEEN_SECONDS = 0.01


class PositionFirst(Around):
    """An applier with two commits for each batch."""

    def __init__(self, inner: Any, clock: Clock) -> None:
        super().__init__(inner)
        self._clock = clock

    async def apply(self, batch: Sequence[Transaction], **told: Any) -> Collection[Aside]:
        """As the port says, but in two steps."""
        await self._inner.passed(batch[-1].position, guard=told["guard"])
        await self._clock.sleep(BETWEEN_SECONDS)
        answer: Collection[Aside] = await self._inner.apply(batch, **told)
        return answer


def _in_parts(parts: Parts) -> Parts:
    return without_compare(around_appliers(parts, lambda _, inner: PositionFirst(inner, parts.clock)))


POSITION_AHEAD = Plant(
    name="position-ahead-of-rows",
    rule="S5",
    checker="acknowledged",
    about="how far the log is in is committed before the rows are, and a worker that dies between skips them",
    processes=frozenset({"worker", "coordinator"}),
    under=WORKER_DIES,
    in_parts=_in_parts,
)
