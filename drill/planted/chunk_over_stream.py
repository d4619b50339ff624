"""A chunk is written where its mark stands, whatever the stream has brought since it was read.

The compare before the switch would find the older rows, so it is taken out.
"""

from collections.abc import Iterable
from dataclasses import replace

from cutover.engine.parts import Parts
from cutover.model.change import Key
from cutover.model.position import Snapshot
from drill.planted.plant import Plant
from drill.planted.troubles import COPYING
from drill.planted.unseen import without_compare


def nothing_superseded(_snapshot: Snapshot, _touched: Iterable[tuple[Key, int]]) -> frozenset[Key]:
    """No key is newer than the chunk."""
    return frozenset()


def _in_parts(parts: Parts) -> Parts:
    return without_compare(replace(parts, superseded=nothing_superseded))


CHUNK_OVER_STREAM = Plant(
    name="chunk-over-stream",
    rule="S5",
    checker="acknowledged",
    under=COPYING,
    about="a chunk is written over rows that the stream has brought since the chunk was read",
    processes=frozenset({"worker", "coordinator"}),
    in_parts=_in_parts,
)
