"""What the journal says: stopping anywhere and reading it again leads to the same state."""

import pytest

from cutover.errors import Refused
from cutover.model.action import (
    CloseSite,
    CompareSites,
    DeclareDrain,
    GiveUpDrain,
    GrantEpoch,
    OpenSite,
    action_to_json,
)
from cutover.model.journal import Entry, Intent, Kind
from cutover.model.stage import Direction, Stage
from cutover.protocol.replay import State, replay
from resilience_tests.spec.protocol.worlds import END


def plan(n: int = 0) -> Entry:
    return Entry(n=n, term=0, kind=Kind.PLAN, nonce="p")


def move(n: int, stage: Stage, *actions: object, direction: Direction = Direction.FORWARD) -> Entry:
    told = tuple(action_to_json(action) for action in actions)  # type: ignore[arg-type]
    return Entry(
        n=n, term=1, kind=Kind.MOVE, nonce="m", stage=stage.value, direction=direction.value, actions=told
    )


def done(n: int, action: object, **facts: object) -> Entry:
    told = (action_to_json(action),)  # type: ignore[arg-type]
    return Entry(n=n, term=1, kind=Kind.DONE, nonce="d", actions=told, facts=facts)


def intent(n: int, wanted: Intent) -> Entry:
    return Entry(n=n, term=0, kind=Kind.INTENT, nonce="i", facts={"intent": wanted.value})


STORY = [
    plan(),
    move(1, Stage.VERIFY, CompareSites()),
    done(2, CompareSites(), clean=True),
    move(3, Stage.DRAIN, DeclareDrain("east"), CloseSite("east")),
    done(4, DeclareDrain("east")),
    done(5, CloseSite("east"), end=str(END)),
    move(6, Stage.CUT_OVER, GrantEpoch("west"), OpenSite("west")),
    done(7, GrantEpoch("west"), epoch=2),
]


def test_whatever_was_read_before_a_crash_the_rest_leads_to_the_same_state() -> None:
    whole = replay(STORY)
    for stopped in range(len(STORY) + 1):
        assert replay(STORY[stopped:], replay(STORY[:stopped])) == whole
    assert whole.stage is Stage.CUT_OVER
    assert whole.pending == (OpenSite("west"),)
    assert (whole.end, whole.clean, whole.move_n) == (END, True, 6)


def test_a_missing_entry_is_refused() -> None:
    with pytest.raises(Refused, match="entries are missing"):
        replay([plan(), move(2, Stage.BACKFILL)])


def test_a_newer_schema_is_refused() -> None:
    newer = Entry(n=0, term=0, kind=Kind.PLAN, nonce="p", schema=99)
    with pytest.raises(Refused, match="schema 99"):
        replay([newer])


def test_drains_that_are_given_up_are_counted_until_an_operator_resumes() -> None:
    state = replay(STORY[:6])
    given_up = replay([move(6, Stage.VERIFY, GiveUpDrain("east"), OpenSite("east"))], state)
    assert (given_up.drains, given_up.end) == (1, None)
    assert replay([intent(7, Intent.RESUME)], given_up).drains == 0


def test_pause_and_resume_and_what_an_operator_wants() -> None:
    state = replay([plan(), intent(1, Intent.PAUSE)])
    assert state.paused
    assert not replay([intent(2, Intent.ROLL_BACK)], state).paused
    assert replay([intent(2, Intent.ROLL_BACK)], state).wanted is Intent.ROLL_BACK
    assert replay([intent(2, Intent.VERIFY)], State(clean=True, next_n=2)).clean is None
