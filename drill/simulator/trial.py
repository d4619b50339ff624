"""How many simulated migrations it takes until a planted bug is caught."""

from dataclasses import dataclass, replace

from drill.planted.plant import Circumstances, Plant
from drill.schedule import Load, Schedule
from drill.simulator.rehearsal import Conditions, Rehearsal, conditions_of, play, rehearse
from drill.verdict import Verdict
from drill.workload.clients import Amount

BRISK = Conditions(amount=Amount(uploads=30, others=200, clients=8, most=450), pace_seconds=0.03)
"""Enough users for every kind of write at both sites; about a tenth of a second of real time."""
CROWDED = Conditions(
    amount=Amount(uploads=150, others=500, clients=48, most=650), pace_seconds=0.02, delay_seconds=0.03
)
"""Many users far away while tables are copied, and hardly any later: nothing mends what went wrong then."""
LASTING = Load(clients=8, uploads=30, others=200, most=1_000, pace_seconds=0.08)
"""Users who are still at work when a site has been away for longer than a lease."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of one planted bug."""

    plant: Plant
    caught: bool
    seeds: int  #: migrations that it took, or all that were tried
    seed: int  #: the last of them


def trial(plant: Plant, first_seed: int = 0) -> Trial:
    """Put the bug into one migration after the other until it is caught, or has had its number."""
    for tried, seed in enumerate(range(first_seed, first_seed + plant.seeds), start=1):
        ended = under(plant.under, seed, plant)
        if ended.finding(plant.checker).verdict is Verdict.VIOLATED:
            return Trial(plant, caught=True, seeds=tried, seed=seed)
    return Trial(plant, caught=False, seeds=plant.seeds, seed=first_seed + plant.seeds - 1)


def under(circumstances: Circumstances, seed: int, plant: Plant | None = None) -> Rehearsal:
    """One migration under these circumstances; without a plant it must hold."""
    load = replace(LASTING, lending=circumstances.lending)
    if circumstances.strikes:
        schedule = Schedule(seed=seed, ending=circumstances.ending, strikes=circumstances.strikes, load=load)
        return play(schedule, plant=plant)
    conditions = CROWDED if circumstances.copying else BRISK
    if circumstances.lending:
        conditions = conditions_of(load)
    if circumstances.operations is not None:
        amount = replace(conditions.amount, others=circumstances.operations)
        conditions = replace(conditions, amount=amount)
    return rehearse(
        seed,
        ending=circumstances.ending,
        plant=plant,
        conditions=conditions,
        disturb=circumstances.disturb,
    )
