"""A batch is applied as if order did not matter: its newest transaction first.

The compare would find rows that are older than they should be, so it is taken out.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.change import Transaction
from cutover.ports.database import Aside
from drill.planted.around import Around, around_appliers
from drill.planted.plant import Plant
from drill.planted.troubles import WORKER_STANDS_STILL
from drill.planted.unseen import without_compare


class Backwards(Around):
    """An applier in which the oldest of a batch has the last word."""

    async def apply(self, batch: Sequence[Transaction], **told: Any) -> Collection[Aside]:
        """As the port says, in another order."""
        changes = tuple(change for one in reversed(batch) for change in one.changes)
        answer: Collection[Aside] = await self._inner.apply([replace(batch[-1], changes=changes)], **told)
        return answer


def _in_parts(parts: Parts) -> Parts:
    return without_compare(around_appliers(parts, lambda _, inner: Backwards(inner)))


APPLIED_OUT_OF_ORDER = Plant(
    name="applied-out-of-order",
    rule="S5",
    checker="acknowledged",
    about="transactions of a batch are applied in another order than they were committed in",
    processes=frozenset({"worker", "coordinator"}),
    under=WORKER_STANDS_STILL,
    in_parts=_in_parts,
)
