"""The page of planted bugs lists what is in the registry, and every rule and symptom has its variant."""

from pathlib import Path

import pytest

from drill.planted import ON_DISKS, PLANTS
from drill.planted.table import lasting, page

PAGE = Path(__file__).parents[2] / "docs/reference/planted.md"
RULES = (
    *("S1a", "S1b", "S1c", "S2", "S3", "S4", "S5", "S6a", "S6b"),
    *("S7", "S8", "S9", "S10", "S11", "S12", "S13"),
)
SYMPTOMS = (
    "upload stored, never registered",
    "metadata parted from its file",
    "ghost posts",
    "0 views, 0 likes, 0 earnings on time-outs",
    "comments missing",
    "earnings lost",
    "feed generic, the same few videos again",
    "cannot log in",
    "one failure becomes many",
)


def test_the_page_is_what_the_command_makes() -> None:
    made = lasting(page(PLANTS.values(), {}, ON_DISKS.values()))
    told = "run: cutover-drill planted --table docs/reference/planted.md"
    assert lasting(PAGE.read_text()) == made, told


def test_a_variant_that_is_not_on_the_page_makes_it_stale() -> None:
    first, *rest = PLANTS.values()
    assert lasting(page(rest, {})) != lasting(page([first, *rest], {}))


def test_a_variant_of_real_disks_that_is_not_on_the_page_makes_it_stale() -> None:
    plants = PLANTS.values()
    assert lasting(page(plants, {})) != lasting(page(plants, {}, ON_DISKS.values()))


def test_how_long_a_variant_took_does_not_make_it_stale() -> None:
    slow = dict.fromkeys(PLANTS, 4)
    assert lasting(page(PLANTS.values(), slow)) == lasting(page(PLANTS.values(), {}))


def test_there_are_at_least_thirty() -> None:
    assert len(PLANTS) >= 30


@pytest.mark.parametrize("rule", RULES)
def test_every_safety_rule_is_broken_by_a_variant(rule: str) -> None:
    assert any(plant.rule == rule for plant in PLANTS.values())


@pytest.mark.parametrize("symptom", SYMPTOMS)
def test_every_reported_symptom_is_reproduced_by_a_variant(symptom: str) -> None:
    assert any(plant.symptom == symptom for plant in PLANTS.values())
