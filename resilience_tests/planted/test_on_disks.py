"""The variants that need a real disk: told apart from those that a simulated migration can carry."""

import pytest

from drill.checkers import REGISTRY
from drill.cli.application import run
from drill.live.services import extras_of
from drill.planted import LIVE, ON_DISKS, PLANTS


def test_no_name_stands_for_two_variants() -> None:
    assert not set(PLANTS) & set(ON_DISKS)
    assert set(LIVE) == set(PLANTS) | set(ON_DISKS)


@pytest.mark.parametrize("name", ON_DISKS)
def test_a_variant_of_real_disks_is_a_setting_of_the_servers_with_a_checker_of_its_own(name: str) -> None:
    plant = ON_DISKS[name]
    assert plant.checker in REGISTRY
    assert plant.database
    assert extras_of(name) == {"postgres": plant.database}
    assert not plant.about.endswith(".")


@pytest.mark.parametrize("name", ON_DISKS)
def test_it_is_not_put_into_a_simulated_migration(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--fidelity", "simulated", "--plant", name]) == 64
    assert "needs a real server" in " ".join(capsys.readouterr().err.split())
