"""What the journal says, as one value: whoever resumes reads it and decides anew."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from cutover.errors import Refused
from cutover.model.action import (
    Action,
    CloseSite,
    CompareSites,
    GiveUpDrain,
    ListStranded,
    MergeStranded,
    PromoteSite,
    ReleaseBrake,
    Throttle,
    VerifyDelta,
    action_from_json,
)
from cutover.model.journal import SCHEMA, Entry, Intent, Kind
from cutover.model.position import Position
from cutover.model.stage import Direction, Stage

Changes = dict[str, Any]
"""What an entry changes in the state: fields by name."""

SWITCHING = frozenset({Stage.DRAIN, Stage.CUT_OVER})


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Where a migration stands."""

    stage: Stage = Stage.PREFLIGHT
    direction: Direction = Direction.FORWARD
    term: int = 0  #: newest coordinator that has written
    next_n: int = 0
    move_n: int = 0  #: entry of the last move: what its actions carry
    pending: tuple[Action, ...] = ()  #: actions of the last move that are not known to be done
    end: Position | None = None  #: end of the closed site's log
    clean: bool | None = None  #: how the last compare ended; None: none since it was asked for
    delta_compared: bool = False  #: what was touched was just compared, while writes flowed
    drains: int = 0  #: given up in a row
    paused: bool = False
    approved: bool = False
    wanted: Intent | None = None  #: roll back or complete
    release: str | None = None  #: the reason of a brake that an operator has looked at
    parted: int = 0  #: epoch of the newest parting that was met
    listed: bool = False  #: what was stranded has been listed since
    listed_brake: str | None = (
        None  #: why what was listed must be agreed to by a person, whatever the plan says
    )
    merged: bool = False  #: and merged
    merge_approved: bool = False
    promote: str | None = None  #: the site that an operator promotes past the lag bound
    promote_lease: int | None = None  #: the renewal that the operator saw last: a later one voids it
    pace: int | None = None  #: rows a second that are copied, as an operator asks
    throttle: bool = False  #: that has not been told to the worker yet


def replay(entries: Iterable[Entry], state: State | None = None) -> State:
    """Fold entries into the state, from the start or on top of an earlier state."""
    state = state or State()
    for entry in entries:
        state = _after(state, entry)
    return state


def _after(state: State, entry: Entry) -> State:
    if entry.n != state.next_n:
        raise Refused(f"journal entry {entry.n} follows entry {state.next_n - 1}: entries are missing")
    if entry.schema > SCHEMA:
        raise Refused(
            f"journal entry {entry.n} has schema {entry.schema}, this version reads up to {SCHEMA}: "
            f"carry on with the newer version of cutover that wrote it"
        )
    return replace(state, next_n=entry.n + 1, term=max(state.term, entry.term), **_changes(state, entry))


def _changes(state: State, entry: Entry) -> Changes:
    match entry.kind:
        case Kind.PLAN:
            return {}
        case Kind.MOVE:
            return _after_move(state, entry)
        case Kind.DONE:
            done = action_from_json(entry.actions[0])
            left = tuple(action for action in state.pending if action != done)
            return {"pending": left, **_after_done(done, entry)}
        case Kind.APPROVAL:
            return {"approved": True}
        case Kind.INTENT:
            return _after_intent(state, Intent(str(entry.facts["intent"])), entry)


def _after_move(state: State, entry: Entry) -> Changes:
    stage, direction = Stage(entry.stage), Direction(entry.direction)
    actions = tuple(action_from_json(action) for action in entry.actions)
    gave_up = any(isinstance(action, GiveUpDrain) for action in actions)
    arrived = state.stage is Stage.CUT_OVER and stage is not Stage.CUT_OVER and not gave_up
    return {
        "stage": stage,
        "direction": direction,
        "move_n": entry.n,
        "pending": actions,
        "delta_compared": False,
        "drains": 0 if arrived else state.drains + int(gave_up),
        "end": state.end if {state.stage, stage} <= SWITCHING else None,
        "wanted": None if stage in (Stage.ROLLED_BACK, Stage.COMPLETE) else state.wanted,
        "promote": None if _promoting(state.pending) and not _promoting(actions) else state.promote,
        **_parting(state, stage, entry),
    }


def _promoting(actions: Iterable[Action]) -> bool:
    return any(isinstance(action, PromoteSite) for action in actions)


def _parting(state: State, stage: Stage, entry: Entry) -> Changes:
    """A parting is met once; what was known of the sites before it is void."""
    if stage is Stage.PARTED:
        epoch = int(str(entry.facts["epoch"]))
        if epoch != state.parted:
            return {
                "parted": epoch,
                "listed": False,
                "listed_brake": None,
                "merged": False,
                "merge_approved": False,
                "clean": None,
                "approved": False,
                "promote": None,
            }
    if state.stage is Stage.PARTED and stage is Stage.VERIFY:
        return {"paused": True}  # the source took back: to try again is the operator's decision
    return {}


def _after_done(done: Action, entry: Entry) -> Changes:
    match done:
        case CloseSite():
            return {"end": Position.parse(str(entry.facts["end"]))}
        case CompareSites():
            return {"clean": bool(entry.facts["clean"])}
        case VerifyDelta():
            return {"clean": bool(entry.facts["clean"]), "delta_compared": True}
        case ReleaseBrake():
            return {"release": None}
        case ListStranded():
            brake = entry.facts.get("brake")
            return {"listed": True, "listed_brake": None if brake is None else str(brake)}
        case MergeStranded():
            return {"merged": True}
        case PromoteSite():
            return {"promote": None}
        case Throttle():
            return {"throttle": False}
        case _:
            return {}


def _after_intent(state: State, intent: Intent, entry: Entry) -> Changes:
    match intent:
        case Intent.PAUSE:
            return {"paused": True}
        case Intent.RESUME:
            return {"paused": False, "drains": 0}
        case Intent.VERIFY if state.stage is Stage.CUT_OVER:
            return {}  # what its own compare found after the drain stands: no word makes it unsaid
        case Intent.VERIFY:
            return {"clean": None}
        case Intent.ROLL_BACK | Intent.COMPLETE | Intent.ABANDON:
            return {"wanted": intent, "paused": False}
        case Intent.PROMOTE:
            seen = entry.facts.get("lease_count")
            lease = seen if isinstance(seen, int) else None
            return {"promote": str(entry.facts.get("site")), "promote_lease": lease}
        case Intent.MERGE:
            return {"merge_approved": True}
        case Intent.THROTTLE:
            pace = entry.facts.get("pace")
            return {"throttle": True, "pace": pace if isinstance(pace, int) else None}
        case Intent.RELEASE_BRAKE:
            return {"release": str(entry.facts.get("reason"))}
        case Intent.TAKE_OVER:
            return {}
