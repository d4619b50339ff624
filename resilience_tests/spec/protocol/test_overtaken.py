"""What the review of the engine found: orders that were overtaken, and gates that stood open."""

from dataclasses import replace

from cutover.model.action import (
    CompareSites,
    GiveUpDrain,
    Guard,
    OpenSite,
    ReleaseBrake,
)
from cutover.model.journal import Intent
from cutover.model.observation import Fence, FenceState, Observation, SiteFacts
from cutover.model.stage import Direction, Stage
from cutover.protocol.advance import advance
from cutover.protocol.attend import Reopen, Watch, attend
from cutover.protocol.moves import CarryOn, Move, Wait
from resilience_tests.spec.protocol.worlds import AT, CALM, CLOSED, GRANT, OPEN, PLAN

TARGET_SERVES = replace(GRANT, serving="west", epoch=2, eligible=("east",))


def test_a_drain_that_was_to_be_given_up_after_the_epoch_was_granted_goes_forward() -> None:
    """An older coordinator wrote the move before it saw that another had granted the epoch."""
    state = replace(AT, stage=Stage.VERIFY, pending=(GiveUpDrain("east"), OpenSite("east")))
    move = advance(PLAN, state, replace(CALM, grant=TARGET_SERVES))
    assert isinstance(move, Move)
    assert (move.stage, move.direction) == (Stage.CUT_OVER, Direction.FORWARD)
    assert move.actions == (OpenSite("west"),)


def test_an_early_roll_back_does_not_bare_the_source_once_the_target_was_granted() -> None:
    """The coordinator's own compare-and-set, held up on its way, while nobody renewed a lease."""
    given_up = replace(AT, stage=Stage.VERIFY, pending=(GiveUpDrain("east"), OpenSite("east")))
    state = replace(given_up, wanted=Intent.ROLL_BACK)
    move = advance(PLAN, state, replace(CALM, grant=TARGET_SERVES))
    assert isinstance(move, Move)
    assert (move.stage, move.actions) == (Stage.CUT_OVER, (OpenSite("west"),))


def test_a_target_that_was_granted_is_opened_by_its_agent_though_it_never_served() -> None:
    """Its coordinator died between the grant and the opening: nobody would serve until it came back."""
    fence = Fence(state=FenceState.CLOSED, epoch=0, guard=Guard(1, 2))
    assert attend(PLAN, "west", fence, TARGET_SERVES, Watch(drain_age=0.0)) == (Reopen(2, Guard(1, 2)),)
    assert attend(PLAN, "west", fence, GRANT, Watch(drain_age=0.0)) == ()


def soak(**changes: SiteFacts | float | None) -> Observation:
    seen = replace(CALM, grant=TARGET_SERVES, source=CLOSED, target=OPEN)
    return replace(seen, **changes)  # type: ignore[arg-type]


def test_a_roll_back_does_not_stop_writes_that_it_cannot_give_back_soon() -> None:
    back = replace(AT, stage=Stage.SOAK, clean=True, wanted=Intent.ROLL_BACK)
    braked = replace(CLOSED, brake="a table was emptied")
    for seen in (
        soak(source=None),
        soak(source=braked),
        soak(source=replace(CLOSED, set_aside=5)),
        soak(lag_seconds=float("inf")),
    ):
        assert isinstance(advance(PLAN, back, seen), Wait)
    ready = advance(PLAN, back, soak())
    assert isinstance(ready, Move)
    assert ready.stage is Stage.DRAIN


def test_a_paused_compare_waits_and_does_not_begin_again_each_second() -> None:
    state = replace(AT, stage=Stage.VERIFY, pending=(CompareSites(),), paused=True)
    assert advance(PLAN, state, CALM) == Wait("an operator runs `cutover resume`")
    assert advance(PLAN, replace(state, paused=False), CALM) == CarryOn(CompareSites())


def test_only_the_brake_that_an_operator_saw_is_released() -> None:
    state = replace(AT, stage=Stage.CATCH_UP, release="3 rows were deleted")
    another = replace(CALM, target=replace(CLOSED, brake="a table was emptied"))
    assert isinstance(advance(PLAN, state, another), Wait)
    same = replace(CALM, target=replace(CLOSED, brake="3 rows were deleted"))
    move = advance(PLAN, state, same)
    assert isinstance(move, Move)
    assert move.actions == (ReleaseBrake("west", "3 rows were deleted"),)


def test_a_compare_long_ago_does_not_let_a_long_one_into_the_write_pause() -> None:
    state = replace(AT, stage=Stage.VERIFY, clean=True, delta_compared=True)
    move = advance(PLAN, state, replace(CALM, target=replace(CLOSED, touched=10_001)))
    assert isinstance(move, Move)
    assert [action.name for action in move.actions] == ["verify-delta"]
    busy = advance(PLAN, state, replace(CALM, target=replace(CLOSED, touched=900)))
    assert isinstance(busy, Move)
    assert busy.stage is Stage.DRAIN
