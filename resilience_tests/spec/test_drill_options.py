"""Which drills `pytest --drills` stands for."""

import pytest

from drill.drills import SUITES
from drill.pytest_plugin import drills_called, short_slice


def test_a_plain_run_affords_a_calm_migration_and_a_kill_of_either_site() -> None:
    assert drills_called("slice", 4) == short_slice(4)
    assert [one.victim for one in short_slice(4)] == [None, "source", "target"]


@pytest.mark.parametrize("name", sorted(SUITES))
def test_a_suite_is_the_one_that_the_gate_runs(name: str) -> None:
    assert list(drills_called(name, 9)) == SUITES[name](9)


def test_random_takes_a_number_and_moves_on_with_the_seed() -> None:
    five = drills_called("random:5", 100)
    assert [one.seed for one in five] == [100, 101, 102, 103, 104]
    assert drills_called("none", 1) == ()


@pytest.mark.parametrize("name", ["smoked", "random", "random:", "random:0", "random:x", ""])
def test_a_suite_that_does_not_exist_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(pytest.UsageError, match=r"smoke.*random:N"):
        drills_called(name, 1)
