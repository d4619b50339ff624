"""What is done wrongly with the writes of a site that comes home."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from cutover.engine.parts import Parts
from cutover.model.merge import Settled
from cutover.protocol.merging import Scene
from drill.planted.plant import Plant
from drill.planted.troubles import SOURCE_CUT_OFF

Settle = Callable[[Scene], list[Settled]]
CARRIERS = frozenset({"coordinator"})


def _settling(settle: Callable[[Scene, Sequence[Settled]], list[Settled]]) -> Callable[[Parts], Parts]:
    """Parts in which something else is made of what the merge decides."""

    def in_parts(parts: Parts) -> Parts:
        decide = parts.settle
        return replace(parts, settle=lambda scene: settle(scene, decide(scene)))

    return in_parts


def _discarded(_: Scene, settled: Sequence[Settled]) -> list[Settled]:
    return [replace(one, row=one.expected, kept=()) for one in settled]


def _forgetting(_: Scene, settled: Sequence[Settled]) -> list[Settled]:
    return [replace(one, kept=()) for one in settled]


def _theirs(scene: Scene, settled: Sequence[Settled]) -> list[Settled]:
    return [replace(one, row=scene.theirs[one.table, one.key].row, kept=()) for one in settled]


def _without_strangers(scene: Scene, settled: Sequence[Settled]) -> list[Settled]:
    strangers = [
        Settled(table=place[0], key=place[1], expected=ours.row, row=None, because="not at the other site")
        for place, ours in scene.ours.items()
        if ours.made and ours.row is not None and place not in scene.theirs
    ]
    return [*settled, *strangers]


TAIL_DISCARDED = Plant(
    name="tail-discarded",
    rule="S7",
    checker="acknowledged",
    about="what a site acknowledged and had not sent is thrown away when it comes home",
    symptom="comments missing",
    origin="pg_rewind drops the tail",
    processes=CARRIERS,
    under=SOURCE_CUT_OFF,
    in_parts=_settling(_discarded),
)

LOSER_DROPPED = Plant(
    name="loser-dropped",
    rule="S4",
    checker="acknowledged",
    about="of two versions of a row the one that loses is not kept",
    seeds=20,
    processes=CARRIERS,
    under=SOURCE_CUT_OFF,
    in_parts=_settling(_forgetting),
)

COUNTERS_OVERWRITTEN = Plant(
    name="counters-overwritten",
    rule="S7",
    checker="counters",
    about="a row that changed at both sites is overwritten by the one that comes home, counters and all",
    symptom="earnings lost",
    processes=CARRIERS,
    under=SOURCE_CUT_OFF,
    in_parts=_settling(_theirs),
)

STRANGERS_DELETED = Plant(
    name="strangers-deleted",
    rule="S7",
    checker="no_ghosts",
    about="rows of the survivor that the site which comes home does not know are deleted",
    symptom="ghost posts",
    processes=CARRIERS,
    under=SOURCE_CUT_OFF,
    in_parts=_settling(_without_strangers),
)
