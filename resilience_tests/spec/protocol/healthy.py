"""A coordinator's life in one loop without waiting: journal, register, and what happens beside it.

State and decisions are production code, and so are the changes of the register.
Sites do what they are told. What may come between is an event: an agent gives a
drain up, a survivor is promoted, an operator wants something.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache

from cutover.errors import CutoverError, StaleTerm
from cutover.model.action import (
    Action,
    CloseSite,
    CompareSites,
    DeclareDrain,
    Disqualify,
    EndParting,
    GiveUpDrain,
    GrantEpoch,
    Guard,
    PromoteSite,
    VerifyDelta,
    action_to_json,
)
from cutover.model.journal import Entry, Intent, Kind
from cutover.model.observation import Observation
from cutover.model.register import Grant
from cutover.protocol.advance import ENDED, advance
from cutover.protocol.attend import may_be_promoted
from cutover.protocol.moves import CarryOn, Move, Wait
from cutover.protocol.promote import promoted
from cutover.protocol.replay import State, replay
from resilience_tests.spec.protocol.worlds import CLOSED, END, GRANT, LONG, OPEN, PLAN, changed

SERVING = replace(GRANT, eligible=(), term=1)
COMMANDS = {
    "resume": Intent.RESUME,
    "verify": Intent.VERIFY,
    "complete": Intent.COMPLETE,
    "roll-back": Intent.ROLL_BACK,
    "abandon": Intent.ABANDON,
    "stranded merge": Intent.MERGE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """Journal and register at one moment, with the term of the coordinator that runs."""

    state: State
    grant: Grant
    term: int = 1
    kept: int = 0  #: versions in quarantine at the site that serves
    gone: str = ""  #: a site that does not answer

    @property
    def normal(self) -> "Life":
        """The same, with numbers that only grow taken down to what they mean."""
        state = replace(self.state, next_n=0, move_n=0, term=0)
        parted = self.grant.parted
        known = 0 if parted is None else 1 if parted.epoch == state.parted else 2
        grant = replace(
            self.grant,
            term=0,
            epoch=0,
            lease_count=0,
            drain=None if self.grant.drain is None else replace(self.grant.drain, term=0, entry=0),
            parted=None if parted is None else replace(parted, epoch=known, term=0),
        )
        fresh = all(
            not isinstance(one, PromoteSite) or one.lease_count == self.grant.lease_count
            for one in state.pending
        )
        pending = tuple(
            replace(one, lease_count=int(fresh)) if isinstance(one, PromoteSite) else one
            for one in state.pending
        )
        state = replace(state, parted=min(state.parted, 1), pending=pending)
        return replace(self, state=state, grant=grant, term=int(self.term == self.grant.term))

    def seen(self, *, silent: float = 0.0) -> Observation:
        """One look, when everybody is well."""
        facts = {}
        for site in (PLAN.source, PLAN.target):
            serves = site == self.grant.serving
            is_open = serves and self.grant.drain is None
            found = replace(OPEN if is_open else CLOSED, kept=self.kept if serves else 0)
            facts[site] = None if site == self.gone or self.state.pending else found
        arriving = PLAN.arriving(self.state.direction)
        return Observation(
            grant=self.grant,
            source=facts[PLAN.source],
            target=facts[PLAN.target],
            lag_seconds=0.1,
            drained=self.state.end is not None and self.grant.drain is not None,
            drain_overdue=False,
            takes_writes=self.grant.serving == arriving,
            silent_seconds=silent,
        )

    def written(self, kind: Kind, **what: object) -> "Life":
        """The same with one more journal entry."""
        term = self.term if kind in (Kind.MOVE, Kind.DONE) else 0
        entry = Entry(n=self.state.next_n, term=term, kind=kind, nonce="n", **what)  # type: ignore[arg-type]
        return replace(self, state=replay([entry], self.state))

    def asked(self, intent: Intent, **facts: object) -> "Life":
        """The same once an operator wants something."""
        return self.written(Kind.INTENT, facts={"intent": intent.value} | facts)


def turn(life: Life, *, silent: float = 0.0) -> "Life | Wait":
    """One look, one decision, at most one action."""
    decision = advance(PLAN, life.state, life.seen(silent=silent))
    match decision:
        case Wait():
            return decision
        case Move():
            return life.written(
                Kind.MOVE,
                stage=decision.stage.value,
                direction=decision.direction.value,
                actions=tuple(action_to_json(one) for one in decision.actions),
                facts={"epoch": life.grant.epoch},
            )
        case CarryOn(action):
            return _carried_out(life, action)


def _carried_out(life: Life, action: Action) -> Life:
    at_sites = not isinstance(action, DeclareDrain | Disqualify | EndParting | GiveUpDrain | GrantEpoch)
    if life.gone and at_sites and getattr(action, "site", life.gone) == life.gone:
        return life
    try:
        grant = changed(life.grant, Guard(life.term, life.state.move_n), action)
    except StaleTerm:
        term = life.grant.term + 1
        return replace(life, term=term, grant=replace(life.grant, term=term))
    except CutoverError:
        return life
    facts: dict[str, object] = {}
    if isinstance(action, CloseSite):
        facts = {"end": str(END)}
    if isinstance(action, CompareSites | VerifyDelta):
        facts = {"clean": True}
    done = replace(life, grant=grant)
    return done.written(Kind.DONE, actions=(action_to_json(action),), facts=facts)


def events(life: Life) -> Iterator[tuple[str, Life]]:
    """What can come between two turns: something happens, or an operator wants something."""
    yield from _happenings(life)
    for intent in (Intent.PAUSE, Intent.ROLL_BACK, Intent.COMPLETE, Intent.ABANDON, Intent.VERIFY):
        yield f"an operator wants {intent.value}", life.asked(intent)
    for site in (PLAN.source, PLAN.target):
        yield f"an operator wants {site} promoted", life.asked(Intent.PROMOTE, site=site)


def _happenings(life: Life) -> Iterator[tuple[str, Life]]:
    grant = life.grant
    if grant.drain is not None:
        yield "the agent gives the drain up", replace(life, grant=replace(grant, drain=None))
    for site in grant.eligible:
        if may_be_promoted(PLAN, site, grant, LONG):
            new = promoted(grant, site, lease_count=grant.lease_count, by="agent")
            yield f"{site} is promoted", replace(life, grant=new)
    yield "the lease is renewed", replace(life, grant=replace(grant, lease_count=grant.lease_count + 1))
    yield "a version is kept", replace(life, kept=1)
    for site in (PLAN.source, PLAN.target):
        yield f"{site} does not answer", replace(life, gone=site)
    late = turn(life, silent=LONG)
    if isinstance(late, Life):
        yield "a turn while nothing is heard of the lease", late


BEGUN = Life(state=State(term=1, next_n=1), grant=SERVING)


@cache
def lives_after(between: int) -> dict[Life, str]:
    """Every life that so many events lead to, each with its story; lives that mean the same count once."""
    found: dict[Life, tuple[Life, str]] = {}
    frontier = {BEGUN.normal: (BEGUN, "it begins")}
    for left in range(between, -1, -1):
        behind: dict[Life, tuple[Life, str]] = {}
        for life, story in frontier.values():
            for one in _straight(life):
                if one.normal in found:
                    break
                found[one.normal] = one, story
                for name, other in events(one) if left else ():
                    at = f"{story}; at {one.state.stage.value} with {len(one.state.pending)} to do: {name}"
                    behind.setdefault(other.normal, (other, at))
        frontier = behind
    return dict(found.values())


def _straight(life: Life) -> list[Life]:
    """A life and what follows while nothing happens and nobody has to be asked."""
    passed = [life]
    for _ in range(60):
        after = turn(passed[-1])
        if isinstance(after, Wait) or after == passed[-1]:
            break
        passed.append(after)
    return passed


@dataclass(frozen=True, slots=True)
class Ended:
    """How a life went on when nothing came between any more."""

    life: Life
    steps: int
    why: str  #: empty: it came to its end


def to_its_end(life: Life, *, prefer: str, good: set[Life], most: int = 120) -> Ended:
    """Go on in health, and do what each wait asks an operator for; `good` are lives known to end well."""
    passed: dict[Life, None] = {}
    for step in range(most):
        if life.normal in good:
            break
        passed[life.normal] = None
        after = turn(life)
        if isinstance(after, Wait):
            if life.state.stage in ENDED and not life.state.pending:
                if life.grant.eligible:
                    return Ended(life, step, "a site may be promoted after the end")
                break
            helped = _helped(life, after, prefer)
            if helped is None:
                return Ended(life, step, f"nobody can end the wait until {after.until}")
            after = helped
        if after == life and life.gone:
            after = replace(life, gone="")
        if after == life:
            return Ended(life, step, f"it stands still at {life.state.pending}")
        life = after
    else:
        return Ended(life, most, "it goes round in circles")
    good |= {*passed}
    return Ended(life, len(passed), "")


def _helped(life: Life, wait: Wait, prefer: str) -> Life | None:
    """What an operator does who reads the sentence."""
    commands = re.findall(r"`cutover ([a-z -]+)`", wait.until)
    if prefer in commands:
        commands = [prefer]
    for command in commands:
        if command == "quarantine list":
            return replace(life, kept=0)
        if command == "approve":
            return life.written(Kind.APPROVAL)
        if command in COMMANDS:
            return life.asked(COMMANDS[command])
    return replace(life, gone="") if "answers again" in wait.until and life.gone else None
