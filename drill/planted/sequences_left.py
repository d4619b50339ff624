"""Numbers are not carried over at the switch, as logical replication does not carry them.

The target counts from the beginning, and new rows take the place of old ones.
"""

from collections.abc import Mapping

from cutover.engine.parts import Parts
from cutover.model.action import Guard
from drill.planted.around import Around, around_sites
from drill.planted.plant import Plant


class CountsAnew(Around):
    """A site that leaves its sequences where they are."""

    async def raise_sequences(self, values: Mapping[str, int], *, guard: Guard) -> None:
        """Answer, and do nothing."""


def _in_parts(parts: Parts) -> Parts:
    return around_sites(parts, lambda _, inner: CountsAnew(inner))


SEQUENCES_LEFT = Plant(
    name="sequences-left-behind",
    rule="S10",
    checker="acknowledged",
    about="sequences do not move with the data, so that ids are used a second time",
    symptom="comments missing",
    processes=frozenset({"coordinator"}),
    in_parts=_in_parts,
)
