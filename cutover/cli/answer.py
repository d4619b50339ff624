"""What a command answers: an outcome, which is its exit status, and what comes next."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from cutover.errors import CutoverError, Inconclusive, Refused, SiteUnreachable
from cutover.model.stage import Stage

SCHEMA = 1
"""Raised when a reader of the older JSON would misread the newer one."""


class Outcome(Enum):
    """How a command ended. Names and numbers are an interface: scripts rest on them."""

    DONE = ("done", 0)
    VIOLATED = ("violated", 10)  #: an invariant does not hold
    INCONCLUSIVE = ("inconclusive", 11)  #: it may have happened: look before retrying
    REFUSED = ("refused", 12)  #: a guard said no; nothing was changed
    UNREACHABLE = ("unreachable", 13)  #: a site or the witness did not answer
    WRONG_USAGE = ("wrong_usage", 64)  #: the command line was not understood
    CRASHED = ("crashed", 70)  #: a mistake in cutover itself
    INTERRUPTED = ("interrupted", 130)

    def __init__(self, word: str, exit_status: int) -> None:
        self.word, self.exit_status = word, exit_status


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The end of one command, for people and, with `--json`, for programs."""

    outcome: Outcome = Outcome.DONE
    stage: Stage | None = None
    waiting_for: str | None = None  #: finishes the sentence "waiting until ..."
    next_steps: tuple[str, ...] = ()  #: commands, the likeliest first
    error: str | None = None
    text: str = ""  #: what people read first
    details: Mapping[str, object] = field(default_factory=dict)  #: JSON-ready, a command's own
    document: str | None = None  #: printed as it is with `--json`, in place of all else

    def to_json(self) -> str:
        """The one line that `--json` prints."""
        if self.document is not None:
            return self.document
        answer: dict[str, object] = {
            "schema": SCHEMA,
            "outcome": self.outcome.word,
            "stage": self.stage.value if self.stage else None,
            "waiting_for": self.waiting_for,
            "next_steps": list(self.next_steps),
            "error": self.error,
        }
        if self.details:
            answer["details"] = dict(self.details)
        return json.dumps(answer)

    def to_text(self) -> str:
        """What people read on standard output; errors go to standard error and are not in it."""
        lines = [self.text] if self.text else []
        if self.waiting_for:
            lines.append(f"Waiting until {self.waiting_for}.")
        lines += [f"Next: {step}" for step in self.next_steps]
        return "\n".join(lines)


def answer_to(error: CutoverError) -> Answer:
    """What a command answers when this was raised."""
    return Answer(outcome=_outcome_of(error), error=str(error), next_steps=_after(error))


def _outcome_of(error: CutoverError) -> Outcome:
    match error:
        case Refused():
            return Outcome.REFUSED
        case SiteUnreachable():
            return Outcome.UNREACHABLE
        case Inconclusive():
            return Outcome.INCONCLUSIVE
        case _:
            return Outcome.VIOLATED


def _after(error: CutoverError) -> tuple[str, ...]:
    """The next command, where the message does not already say what to mend."""
    return ("cutover status",) if isinstance(error, Inconclusive | SiteUnreachable) else ()
