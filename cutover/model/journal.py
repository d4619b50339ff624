"""What the engine resumes from: append-only, entry n can be created once."""

from dataclasses import dataclass, field
from enum import Enum

SCHEMA = 1
"""Newest schema of a journal entry that this version reads."""


class Kind(Enum):
    """What an entry says. The values are written to the journal: never rename one."""

    PLAN = "plan"  #: entry 0: the whole plan and its digest
    MOVE = "move"  #: a decision: stage, actions, the facts it rests on
    DONE = "done"  #: one action of the last move was carried out
    INTENT = "intent"  #: an operator's command
    APPROVAL = "approval"  #: an operator lets a waiting cutover go


class Intent(Enum):
    """What an operator may ask of a running migration."""

    PAUSE = "pause"
    RESUME = "resume"
    ROLL_BACK = "roll_back"
    COMPLETE = "complete"
    VERIFY = "verify"
    RELEASE_BRAKE = "release_brake"
    PROMOTE = "promote"  #: promote the site in the facts, also past the lag bound
    MERGE = "merge"  #: merge what was listed as stranded
    THROTTLE = "throttle"  #: copy at most so many rows a second
    ABANDON = "abandon"  #: the other site will not be back: end where it stands
    TAKE_OVER = "take_over"  #: a coordinator's own: from here on entries of an older term are refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One journal entry, as JSON-ready values."""

    n: int
    term: int
    kind: Kind
    nonce: str
    stage: str | None = None
    direction: str | None = None
    actions: tuple[dict[str, object], ...] = ()
    facts: dict[str, object] = field(default_factory=dict)
    because: str = ""
    at: str = ""  #: wall clock of the writer, for people only; empty in simulated runs
    schema: int = SCHEMA
