"""Each known-bad variant is caught by the checker meant for it; without it the same migrations hold."""

from functools import cache

import pytest

from drill.checkers import REGISTRY
from drill.planted import PLANTS
from drill.planted.plant import Circumstances
from drill.simulator.rehearsal import Rehearsal
from drill.simulator.trial import trial, under
from drill.verdict import Verdict

CONTROLS = range(2)
KINDS = frozenset({"worker", "agent", "coordinator", "platform"})


@cache
def without_a_bug(circumstances: Circumstances) -> tuple[Rehearsal, ...]:
    return tuple(under(circumstances, seed) for seed in CONTROLS)


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught_by_its_checker(name: str) -> None:
    plant = PLANTS[name]
    for clean in without_a_bug(plant.under):
        assert clean.verdict is Verdict.HELD, f"even without {name}: {clean.explained()}"
    found = trial(plant)
    assert found.caught, f"{name}: {plant.checker} saw nothing wrong in {found.seeds} migrations"


@pytest.mark.parametrize("name", PLANTS)
def test_a_plant_says_who_carries_it_and_who_must_catch_it(name: str) -> None:
    plant = PLANTS[name]
    assert plant.checker in REGISTRY
    assert plant.processes
    assert plant.processes <= KINDS
    assert not plant.about.endswith(".")
