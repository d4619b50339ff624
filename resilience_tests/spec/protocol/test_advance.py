"""The coordinator's decisions, over every state and every observation."""

from dataclasses import replace

import pytest

from cutover.model.action import CloseSite, Disqualify, GiveUpDrain, GrantEpoch, MarkEligible, OpenSite
from cutover.model.journal import Intent
from cutover.model.observation import Observation
from cutover.model.stage import Direction, Stage
from cutover.protocol.advance import advance
from cutover.protocol.moves import CarryOn, Move, Wait
from cutover.protocol.preview import preview
from cutover.protocol.replay import State
from resilience_tests.spec.protocol.worlds import (
    AT,
    CALM,
    CLOSED,
    GRANT,
    OPEN,
    PLAN,
    drain_of,
    every_case,
    every_look,
)


def test_there_is_always_an_answer_and_no_epoch_but_behind_a_closed_and_drained_site() -> None:
    reasons, granted = set(), set()
    for state, seen in every_case():
        decision = advance(PLAN, state, seen)
        if isinstance(decision, Wait):
            reasons.add(decision.until)
            continue
        assert isinstance(decision, Move)
        assert decision.because
        if any(isinstance(one, GrantEpoch) for one in decision.actions):
            granted.add((state.stage, seen.drained))
    assert granted == {(Stage.DRAIN, True)}
    assert not {reason for reason in reasons if not reason or reason.endswith(".")}


def test_a_drain_is_followed_at_once_by_closing_the_leaving_site() -> None:
    move = advance(PLAN, replace(AT, stage=Stage.VERIFY, clean=True), CALM)
    assert isinstance(move, Move)
    assert move.stage is Stage.DRAIN
    assert [action.name for action in move.actions] == ["declare-drain", "close-site"]


@pytest.mark.parametrize(
    ("seen", "until"),
    [
        (replace(CALM, lag_seconds=30.0), "lag is 2.00 s or less (now 30.00 s)"),
        (replace(CALM, lag_seconds=float("inf")), "lag is 2.00 s or less (not known)"),
        (replace(CALM, target=None), "'west' answers again"),
        (replace(CALM, source=None), "'east' answers again"),
        (replace(CALM, source=CLOSED), "'east' accepts writes again"),
        (replace(CALM, target=replace(CLOSED, set_aside=2)), "2 row(s) that were set aside are resolved"),
        (replace(CALM, target=replace(CLOSED, brake="too many deletes")), "too many deletes"),
        (replace(CALM, target=replace(CLOSED, slot=False)), "'west' keeps its log for 'east' again"),
    ],
)
def test_writes_are_not_stopped_while_a_gate_is_shut(seen: Observation, until: str) -> None:
    decision = advance(PLAN, replace(AT, stage=Stage.VERIFY, clean=True), seen)
    assert isinstance(decision, Wait)
    assert until in decision.until


def test_a_target_that_differs_is_never_drained_to() -> None:
    for seen in every_look():
        decision = advance(PLAN, replace(AT, stage=Stage.VERIFY, clean=False), seen)
        met = isinstance(decision, Move) and decision.stage is Stage.PARTED
        follower = PLAN.peer(seen.grant.serving)
        unearned = Move(Stage.VERIFY, (Disqualify(follower),), f"a compare found that {follower!r} differs")
        assert isinstance(decision, Wait) or met or decision == unearned


@pytest.mark.parametrize(("stage", "serving"), [(Stage.VERIFY, "east"), (Stage.SOAK, "west")])
def test_a_follower_that_differs_may_not_be_promoted_until_it_is_found_equal(
    stage: Stage, serving: str
) -> None:
    follower = PLAN.peer(serving)
    grant = replace(CALM.grant, serving=serving, eligible=(follower,))
    for looked in (CALM, replace(CALM, source=None), replace(CALM, target=None)):
        seen = replace(looked, grant=grant)
        decision = advance(PLAN, replace(AT, stage=stage, clean=False), seen)
        assert isinstance(decision, Move)
        assert decision.actions == (Disqualify(follower),)
    again = replace(CALM, grant=replace(grant, eligible=()))
    decision = advance(PLAN, replace(AT, stage=stage, clean=True), again)
    assert isinstance(decision, Move)
    assert decision.actions == (MarkEligible(follower),)


def test_a_target_without_a_clean_compare_in_the_register_is_never_drained_to() -> None:
    seen = replace(CALM, grant=replace(GRANT, eligible=()))
    move = advance(PLAN, replace(AT, stage=Stage.VERIFY, clean=True), seen)
    assert isinstance(move, Move)
    assert [action.name for action in move.actions] == ["mark-eligible"]


@pytest.mark.parametrize("stage", [Stage.DRAIN, Stage.CUT_OVER])
def test_a_drain_that_outlives_its_deadline_gives_the_source_its_writes_back(stage: Stage) -> None:
    seen = replace(CALM, grant=replace(GRANT, drain=drain_of("east")), drain_overdue=True, source=CLOSED)
    pending = (CloseSite("east"),) if stage is Stage.DRAIN else (GrantEpoch("west"),)
    move = advance(PLAN, replace(AT, stage=stage, pending=pending), seen)
    assert isinstance(move, Move)
    assert move.stage is Stage.VERIFY
    assert move.actions == (GiveUpDrain("east"), OpenSite("east"))


def test_a_drain_that_its_agent_gave_up_is_never_cut_over() -> None:
    """The register alone decides: what the journal still wants done is dropped."""
    state = replace(AT, stage=Stage.CUT_OVER, pending=(GrantEpoch("west"), OpenSite("west")))
    move = advance(PLAN, state, CALM)
    assert isinstance(move, Move)
    assert move.stage is Stage.VERIFY
    assert OpenSite("east") in move.actions


def test_past_the_point_of_no_return_a_roll_back_waits_for_the_target_to_serve() -> None:
    granted = replace(GRANT, serving="west", epoch=2)
    state = replace(AT, stage=Stage.CUT_OVER, pending=(OpenSite("west"),), wanted=Intent.ROLL_BACK)
    assert advance(PLAN, state, replace(CALM, grant=granted)) == CarryOn(OpenSite("west"))


def test_a_roll_back_from_soak_drains_the_target_first() -> None:
    soak = replace(AT, stage=Stage.SOAK, clean=True, wanted=Intent.ROLL_BACK)
    grant = replace(GRANT, serving="west", epoch=2, eligible=("east",))
    move = advance(PLAN, soak, replace(CALM, grant=grant, source=CLOSED, target=OPEN))
    assert isinstance(move, Move)
    assert (move.stage, move.direction) == (Stage.DRAIN, Direction.BACK)
    assert CloseSite("west") in move.actions


def test_an_early_roll_back_frees_the_source_before_it_needs_the_target() -> None:
    for stage in (Stage.BACKFILL, Stage.CATCH_UP, Stage.VERIFY):
        state = replace(AT, stage=stage, wanted=Intent.ROLL_BACK)
        move = advance(PLAN, state, replace(CALM, target=None))
        assert isinstance(move, Move)
        at_sites = [action for action in move.actions if not isinstance(action, Disqualify)]
        sites = [getattr(action, "site", "") for action in at_sites]
        assert sites == sorted(sites), f"{stage}: the source comes first, {sites}"


def test_drains_that_were_given_up_too_often_wait_for_an_operator() -> None:
    decision = advance(PLAN, replace(AT, stage=Stage.VERIFY, clean=True, drains=3), CALM)
    assert decision == Wait("an operator runs `cutover resume` (3 drains in a row were given up)")


def test_many_touched_rows_are_compared_before_writes_are_stopped() -> None:
    seen = replace(CALM, target=replace(CLOSED, touched=9_999))
    move = advance(PLAN, replace(AT, stage=Stage.VERIFY, clean=True), seen)
    assert isinstance(move, Move)
    assert [action.name for action in move.actions] == ["verify-delta"]


def test_the_dry_run_tells_the_whole_way_to_soak() -> None:
    stages = [move.stage.value for move in preview(PLAN, State(), None)]
    assert list(dict.fromkeys(stages)) == ["backfill", "catch_up", "verify", "drain", "cut_over", "soak"]


def test_the_dry_run_tells_the_whole_way_back() -> None:
    soak = State(stage=Stage.SOAK, clean=True, wanted=Intent.ROLL_BACK)
    grant = replace(GRANT, serving="west", epoch=2, eligible=("east",))
    stages = [move.stage.value for move in preview(PLAN, soak, grant)]
    assert stages == ["drain", "cut_over", "rolled_back"]
