"""Each known-bad variant is caught by the checker that is meant for it; without it the same seeds hold."""

import pytest

from drill.planted import PLANTS
from drill.simulator.rehearsal import BURST, rehearse
from drill.simulator.trial import trial
from drill.verdict import Verdict


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught_by_its_checker(name: str) -> None:
    found = trial(PLANTS[name])
    assert found.caught, f"{name}: {found.plant.checker} saw nothing wrong in {found.seeds} migrations"


@pytest.mark.parametrize("seed", range(8))
def test_without_a_planted_bug_a_burst_does_no_harm(seed: int) -> None:
    ended = rehearse(seed, ending="soak", conditions=BURST)
    assert ended.verdict is Verdict.HELD, ended.explained()
