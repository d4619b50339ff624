"""Each known-bad variant is caught by the checker meant for it; without it the same migrations hold."""

from dataclasses import replace
from functools import cache

import pytest

from cutover.model.change import Delete
from cutover.model.merge import Settled
from cutover.model.stage import Stage
from cutover.protocol.merging import Scene, keep_all, settle
from drill.checkers import REGISTRY
from drill.planted import PLANTS
from drill.planted.plant import Circumstances, Plant
from drill.planted.troubles import POSTS, SOURCE_CUT_OFF, until
from drill.simulator.rehearsal import Rehearsal
from drill.simulator.trial import trial, under
from drill.simulator.world import World
from drill.verdict import Verdict

CONTROLS = range(2)
KINDS = frozenset({"worker", "agent", "coordinator", "platform"})


@cache
def without_a_bug(circumstances: Circumstances, seed: int) -> Rehearsal:
    return under(circumstances, seed)


def check_that_it_is_caught(plant: Plant) -> None:
    """What is caught is the bug: the very same migration holds without it, and so do the first ones."""
    found = trial(plant)
    assert found.caught, f"{plant.name}: {plant.checker} saw nothing wrong in {found.seeds} migrations"
    for seed in sorted({*CONTROLS, found.seed}):
        clean = without_a_bug(plant.under, seed)
        assert clean.verdict is Verdict.HELD, f"even without {plant.name}: {clean.explained()}"


@pytest.mark.parametrize("name", PLANTS)
def test_a_planted_bug_is_caught_by_its_checker(name: str) -> None:
    check_that_it_is_caught(PLANTS[name])


async def posts_go_in_the_fourth(world: World) -> None:
    """In one migration somebody takes all posts out of the site that serves."""
    await until(world, Stage.SOAK)
    server = world.servers[world.plan.target]
    if world.seed == 3:
        server.show(server.commit([Delete(POSTS, key) for key in server.tables[POSTS]], request=None))


def test_what_does_not_hold_by_itself_is_not_taken_for_a_caught_bug() -> None:
    nothing = Plant(
        name="nothing",
        rule="S3",
        checker="acknowledged",
        about="nothing is wrong",
        processes=frozenset({"worker"}),
        under=Circumstances(disturb=posts_go_in_the_fourth),
    )
    assert trial(nothing).seed == 3
    with pytest.raises(AssertionError, match="even without nothing: seed 3"):
        check_that_it_is_caught(nothing)


def money_kept(scene: Scene) -> list[Settled]:
    """Payments that were made at the site that was left are kept for a person: none is lost, or contested."""
    kept = {(one.table, one.key): one for one in keep_all(scene)}
    return [kept[one.table, one.key] if one.table.endswith(".ledger") else one for one in settle(scene)]


def test_a_merge_that_leaves_to_people_what_nobody_contests_is_not_green() -> None:
    plant = Plant(
        name="money-kept",
        rule="S7",
        checker="acknowledged",
        about="payments are not brought home",
        processes=frozenset({"coordinator"}),
        in_parts=lambda parts: replace(parts, settle=money_kept),
    )
    found = under(SOURCE_CUT_OFF, 0, plant).finding("acknowledged")
    assert (found.verdict, set(found.counts)) == (Verdict.INCONCLUSIVE, {"hidden_ledger"}), found


@pytest.mark.parametrize("name", PLANTS)
def test_a_plant_says_who_carries_it_and_who_must_catch_it(name: str) -> None:
    plant = PLANTS[name]
    assert plant.checker in REGISTRY
    assert plant.processes
    assert plant.processes <= KINDS
    assert not plant.about.endswith(".")
