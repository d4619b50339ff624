"""Chunk and stream ordered as two marks around the read would: by what began after it.

A transaction that was in progress when the chunk was read may stand in the log
before the chunk's mark, and is not in the chunk: its row is written over with
the older one. The compare before the switch would find that, so it is taken out.
"""

from collections.abc import Iterable
from dataclasses import replace

from cutover.engine.parts import Parts
from cutover.model.change import Key
from cutover.model.position import Snapshot
from drill.planted.plant import Plant
from drill.planted.troubles import COPYING
from drill.planted.unseen import without_compare


def superseded(snapshot: Snapshot, touched: Iterable[tuple[Key, int]]) -> frozenset[Key]:
    """Keys whose transaction began after the read; those in progress are taken for seen."""
    return frozenset(key for key, xid in touched if snapshot.widen(xid) >= snapshot.xmax)


def _in_parts(parts: Parts) -> Parts:
    return without_compare(replace(parts, superseded=superseded))


TWO_MARKS = Plant(
    name="two-marks",
    rule="S5",
    checker="acknowledged",
    seeds=20,
    under=COPYING,
    about="a transaction in progress when a chunk was read is taken for seen by it",
    processes=frozenset({"worker", "coordinator"}),
    in_parts=_in_parts,
)
