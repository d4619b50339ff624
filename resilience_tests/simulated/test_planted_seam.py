"""Each known-bad variant is caught by the checker that is meant for it; without it the same seeds hold."""

import pytest

from drill.planted import PLANTS
from drill.simulator.rehearsal import BURST, Conditions, Rehearsal, rehearse
from drill.verdict import Verdict

SEEDS = range(8)
"""Migrations that a variant may take until it is caught."""
OF_COPYING = ("two-marks", "chunk-over-stream")
"""Variants whose harm a later write of the same row mends."""


def _conditions(name: str) -> Conditions:
    return BURST if name in OF_COPYING else Conditions()


def _caught(rehearsal: Rehearsal, checker: str) -> bool:
    return rehearsal.finding(checker).verdict is Verdict.VIOLATED


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught_by_its_checker(name: str) -> None:
    plant, conditions = PLANTS[name], _conditions(name)
    for seed in SEEDS:
        if _caught(rehearse(seed, ending="soak", plant=plant, conditions=conditions), plant.checker):
            return
    pytest.fail(f"{name} was planted in {len(SEEDS)} migrations, and {plant.checker} saw nothing wrong")


@pytest.mark.parametrize("seed", SEEDS)
def test_without_a_planted_bug_a_burst_does_no_harm(seed: int) -> None:
    ended = rehearse(seed, ending="soak", conditions=BURST)
    assert ended.verdict is Verdict.HELD, ended.explained()
