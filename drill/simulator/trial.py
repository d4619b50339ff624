"""How many simulated migrations it takes until a planted bug is caught."""

from dataclasses import dataclass

from drill.planted.plant import Plant
from drill.simulator.rehearsal import BURST, Conditions, rehearse
from drill.verdict import Verdict

SEEDS_MAX = 30
"""Migrations that a variant may take until the checker meant for it has caught it.

Races need the right moment: those of copying took up to three when this was
written, and a change of the engine shifts every moment.
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one planted bug."""

    plant: Plant
    caught: bool
    seeds: int  #: migrations that it took, or all that were tried


def trial(plant: Plant, first_seed: int = 0) -> Trial:
    """Put the bug into one migration after the other until it is caught."""
    conditions = BURST if plant.of_copying else Conditions()
    for tried in range(1, SEEDS_MAX + 1):
        ended = rehearse(first_seed + tried - 1, ending="soak", plant=plant, conditions=conditions)
        if ended.finding(plant.checker).verdict is Verdict.VIOLATED:
            return Trial(plant, caught=True, seeds=tried)
    return Trial(plant, caught=False, seeds=SEEDS_MAX)
