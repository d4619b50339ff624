"""Whatever comes between its turns, a coordinator finds a way to the end, and does nothing out of order."""

from dataclasses import replace

import pytest

from cutover.model.action import (
    Action,
    DeclareDrain,
    EndParting,
    Follow,
    GrantEpoch,
    MergeStranded,
    PromoteSite,
    RemoveFence,
)
from cutover.model.journal import Entry, Intent, Kind
from cutover.model.register import Grant
from cutover.model.stage import Stage
from cutover.protocol.advance import ENDED, advance
from cutover.protocol.moves import CarryOn, Move, Wait
from cutover.protocol.preview import MOVES_MAX, preview
from cutover.protocol.promote import promoted
from cutover.protocol.replay import State, replay
from resilience_tests.spec.protocol.healthy import BEGUN, Life, lives_after, to_its_end, turn
from resilience_tests.spec.protocol.worlds import GRANT, LONG, PLAN


@pytest.fixture(scope="module")
def lives() -> dict[Life, str]:
    return lives_after(3)


@pytest.mark.parametrize("prefer", ["complete", "roll-back"])
def test_from_everywhere_there_is_a_way_to_the_end(lives: dict[Life, str], prefer: str) -> None:
    """In health, with an operator who does what each wait asks for: no circle, and no wait for nobody."""
    good: set[Life] = set()
    wrong: dict[str, str] = {}
    for life, story in lives.items():
        ended = to_its_end(life, prefer=prefer, good=good)
        if ended.why:
            wrong.setdefault(ended.why, f"{story} -> {ended.life.state}")
    assert not wrong, "\n\n".join(f"{why}: {story}" for why, story in wrong.items())
    assert len(lives) > 5_000


def test_nothing_is_ordered_before_what_it_rests_on(lives: dict[Life, str]) -> None:
    for life, story in lives.items():
        for silent in (0.0, LONG):
            seen = life.seen(silent=silent)
            decision = advance(PLAN, life.state, seen)
            for action in decision.actions if isinstance(decision, Move) else ():
                objection = _against(action, life.state, seen.grant, silent)
                fresh = action not in life.state.pending
                assert not (fresh and objection), f"{story}: {decision}: {objection}"


def _against(action: Action, state: State, grant: Grant, silent: float) -> str | None:
    """Why this may not be ordered now; None: it may."""
    wrong = {
        DeclareDrain: ("a drain while they are parted", grant.parted is not None),
        GrantEpoch: ("an epoch without a drain", grant.drain is None or state.end is None),
        MergeStranded: ("a merge of what was not listed", not state.listed),
        Follow: ("to follow before it was merged", grant.parted is not None and not state.listed),
        EndParting: ("an end before it was compared", not (state.merged and state.clean)),
        PromoteSite: ("a promotion while the lease may live", silent == 0.0),
        RemoveFence: ("a quarantine taken away", state.parted > 0),
    }
    reason, holds = wrong.get(type(action), ("", False))
    return reason if holds else None


def test_a_promotion_makes_everything_void_that_was_still_to_be_done(lives: dict[Life, str]) -> None:
    for life, story in lives.items():
        parted = life.grant.parted
        if parted is None or parted.epoch == life.state.parted:
            continue
        decision = advance(PLAN, life.state, life.seen())
        under_way = life.state.stage not in ENDED or life.state.pending
        assert not under_way or (isinstance(decision, Move) and decision.stage is Stage.PARTED), story
        assert not isinstance(decision, CarryOn), story


def test_a_dry_run_ends_wherever_it_begins(lives: dict[Life, str]) -> None:
    for life, story in lives.items():
        moves = preview(PLAN, life.state, life.grant)
        assert len(moves) < MOVES_MAX, f"{story}: {[move.because for move in moves]}"


def test_a_renewal_makes_a_promotion_void_and_the_rest_is_still_done() -> None:
    """An operator asked for it while nothing was heard; then the site was heard again."""
    soak = replace(BEGUN, state=replace(BEGUN.state, stage=Stage.SOAK, clean=True))
    serving = replace(GRANT, serving="west", eligible=("east",), epoch=2)
    wanted = replace(soak, grant=serving).asked(Intent.PROMOTE, site="east")
    ordered = turn(wanted, silent=LONG)
    assert isinstance(ordered, Life)
    assert [action.name for action in ordered.state.pending] == ["promote-site"]
    heard = replace(ordered, grant=replace(serving, lease_count=serving.lease_count + 1))
    void = turn(heard)
    assert isinstance(void, Life)
    assert (void.state.pending, void.state.promote) == ((), None)
    assert isinstance(turn(void, silent=LONG), Wait)


def test_an_end_that_a_promotion_came_between_is_still_torn_down() -> None:
    """Else a site that was left by a complete migration could be promoted by its agent."""
    soak = replace(BEGUN.state, stage=Stage.SOAK, clean=True)
    life = Life(state=soak, grant=replace(GRANT, serving="west", eligible=("east",), epoch=2))
    ending = turn(life.asked(Intent.PROMOTE, site="east").asked(Intent.COMPLETE))
    assert isinstance(ending, Life)
    assert ending.state.stage is Stage.COMPLETE
    late = turn(ending, silent=LONG)
    assert isinstance(late, Life)
    assert {action.name for action in late.state.pending} >= {"disqualify", "unfollow", "release-log"}


def test_versions_that_nobody_has_decided_on_stay_when_the_source_is_left_as_it_was() -> None:
    state = replace(BEGUN.state, stage=Stage.VERIFY, clean=True, wanted=Intent.ROLL_BACK, parted=3)
    decision = advance(PLAN, state, BEGUN.seen())
    assert isinstance(decision, Move)
    assert decision.stage is Stage.ROLLED_BACK
    assert not any(isinstance(action, RemoveFence) for action in decision.actions)
    first = advance(PLAN, replace(state, parted=0), BEGUN.seen())
    assert isinstance(first, Move)
    assert any(isinstance(action, RemoveFence) for action in first.actions)


def test_what_was_not_sent_is_merged_only_into_a_site_that_takes_writes() -> None:
    grant = promoted(GRANT, "west", lease_count=1, by="agent")
    state = replace(BEGUN.state, stage=Stage.PARTED, parted=2, listed=True)
    life = Life(state=state, grant=grant)
    assert isinstance(advance(PLAN, state, life.seen()), Move)
    seen = life.seen()
    closed = replace(seen, target=seen.source)
    assert advance(PLAN, state, closed) == Wait("'west' accepts writes")


def test_what_the_brake_would_have_held_is_not_brought_home_unseen() -> None:
    """Whatever the plan says of merges: an operator looks at such a list, and agrees."""
    grant = promoted(GRANT, "west", lease_count=1, by="agent")
    state = replace(BEGUN.state, stage=Stage.PARTED, parted=2, listed=True, listed_brake="it deletes all")
    seen = Life(state=state, grant=grant).seen()
    waits = advance(PLAN, state, seen)
    assert isinstance(waits, Wait)
    assert "it deletes all" in waits.until
    assert isinstance(advance(PLAN, replace(state, merge_approved=True), seen), Move)


def test_no_word_of_an_operator_unsays_what_the_compare_after_a_drain_found() -> None:
    """`cutover verify` between that compare and the grant made the switch go on with sites that differ."""
    state = replace(BEGUN.state, stage=Stage.CUT_OVER, clean=False)
    facts: dict[str, object] = {"intent": Intent.VERIFY.value}
    asked = Entry(n=state.next_n, term=1, kind=Kind.INTENT, nonce="v", facts=facts, at="")
    assert replay([asked], state).clean is False
