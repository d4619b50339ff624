"""Every state and observation that the protocol can meet, and who takes writes once it has acted."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import product
from typing import NamedTuple

from cutover.engine.act import Executor, _check, _disqualified, _eligible, _given_up, _promoted, _reunited
from cutover.errors import CutoverError, DrainLost
from cutover.model.action import (
    Action,
    CloseSite,
    DeclareDrain,
    Disqualify,
    EndParting,
    GiveUpDrain,
    GrantEpoch,
    Guard,
    MarkEligible,
    OpenSite,
    PrepareSite,
    PromoteSite,
    RemoveFence,
)
from cutover.model.journal import Intent
from cutover.model.observation import Fence, FenceState, Observation, SiteFacts
from cutover.model.plan import MergeRule, Plan, Table
from cutover.model.position import Position
from cutover.model.register import Drain, Grant, Parting, Unsent
from cutover.model.stage import Direction, Stage
from cutover.protocol.attend import may_be_promoted
from cutover.protocol.promote import promoted
from cutover.protocol.replay import State

PLAN = Plan(
    name="spec",
    source="east",
    target="west",
    tables=(Table(name="posts", key=("id",), merge=MergeRule.RECORD),),
)
END = Position("db", 1, 100)
OPEN = SiteFacts(
    fence=Fence(state=FenceState.OPEN, epoch=1, lease_live=True), end=END, applied=END, slot=True
)
CLOSED = replace(OPEN, fence=Fence(state=FenceState.CLOSED, epoch=1))
ABSENT = replace(OPEN, fence=Fence(state=FenceState.ABSENT))
GRANT = Grant(
    migration="digest",
    revision=1,
    nonce="n",
    term=1,
    epoch=1,
    serving="east",
    lease_holder="east",
    lease_seconds=3.0,
    lease_count=1,
    eligible=("west",),
)
CALM = Observation(
    grant=GRANT,
    source=OPEN,
    target=CLOSED,
    lag_seconds=0.1,
    drained=False,
    drain_overdue=False,
    takes_writes=False,
)
AT = State(stage=Stage.CATCH_UP, term=1, next_n=9, move_n=8)
LONG = 1e6
"""Seconds after which every lease and every drain is over."""
BRAKE = "transaction 7 empties posts"


def drain_of(site: str) -> Drain:
    """A drain that stands."""
    return Drain(leaving=site, seconds=5.0, term=1, entry=8)


def parting_of(left: str) -> Parting:
    """`left` was left without a drain."""
    return Parting(left=left, epoch=2, term=1, unsent=Unsent(), by="agent")


def every_look() -> tuple[Observation, ...]:
    """Each observation once."""
    return (*_usual_looks(), *_odd_looks())


def every_case() -> Iterator[tuple[State, Observation]]:
    """All states that are odd in one thing with looks that are, and all usual ones with usual looks."""
    for states, looks in ((_odd_states(), _odd_looks()), (_usual_states(), _usual_looks())):
        for seen in looks:
            yield from ((state, seen) for state in states)


@cache
def _usual_states() -> tuple[State, ...]:
    """Stage x direction x what an operator wants x how the last compare ended."""
    wanted = (None, Intent.ROLL_BACK, Intent.COMPLETE, Intent.ABANDON)
    return tuple(
        replace(AT, stage=stage, direction=direction, wanted=want, clean=clean, end=END)
        for stage, direction, want, clean in product(Stage, Direction, wanted, (None, True, False))
    )


@cache
def _odd_states() -> tuple[State, ...]:
    """Stage x direction x how the last compare ended x one thing that is seldom so."""
    home: dict[str, object] = {"parted": 2, "listed": True}
    odd: tuple[dict[str, object], ...] = (
        {"drains": 3},
        {"drains": 3, "wanted": Intent.ROLL_BACK},
        {"paused": True},
        {"approved": True},
        {"delta_compared": True},
        {"promote": "east"},
        {"promote": "west"},
        {"promote": "west", "promote_lease": 0},
        {"release": BRAKE},
        {"throttle": True, "pace": 100},
        {"parted": 2},
        {"parted": 2, "wanted": Intent.ROLL_BACK},
        home,
        home | {"listed_brake": BRAKE},
        home | {"listed_brake": BRAKE, "merge_approved": True},
        home | {"merged": True},
    )
    return tuple(
        replace(AT, stage=stage, direction=direction, clean=clean, end=END, **one)  # type: ignore[arg-type]
        for stage, direction, clean, one in product(Stage, Direction, (None, True, False), odd)
    )


def _serving(site: str) -> Grant:
    return replace(
        GRANT, serving=site, lease_holder=site, epoch=1 if site == "east" else 2, eligible=(PLAN.peer(site),)
    )


@cache
def _usual_looks() -> tuple[Observation, ...]:
    """Who serves x whether a drain stands x what each site answers x the gates."""
    facts = (None, OPEN, CLOSED, replace(OPEN, set_aside=1), replace(CLOSED, tables_pending=1, touched=9_999))
    found = []
    for serving, drained, overdue, takes, lag in product(
        ("east", "west"), (False, True), (False, True), (False, True), (0.1, 1e9)
    ):
        for drain in (None, drain_of(serving)):
            calm = replace(
                CALM,
                grant=replace(_serving(serving), drain=drain),
                lag_seconds=lag,
                drained=drained,
                drain_overdue=overdue,
                takes_writes=takes,
            )
            found += [replace(calm, source=source, target=target) for source, target in product(facts, facts)]
    return tuple(found)


@cache
def _odd_looks() -> tuple[Observation, ...]:
    """Who serves x what may be odd in the register x one more thing that is seldom so."""
    sites: tuple[dict[str, object], ...] = (
        {"brake": BRAKE},
        {"slot": False},
        {"following": True},
        {"kept": 1},
        {"tables_pending": 1},
        {"touched": 9_999},
        {"fence": ABSENT.fence},
    )
    wholes: tuple[dict[str, object], ...] = ({}, {"silent_seconds": LONG}, {"drained": True})
    odd = (
        *((gone, {}, whole) for gone, whole in product(("", "east", "west"), wholes)),
        *(("", site, {}) for site in sites),
    )
    found = []
    for serving, (gone, site, whole) in product(("east", "west"), odd):
        for grant in _odd_grants(serving):
            fences = {PLAN.source: CLOSED, PLAN.target: CLOSED}
            if grant.drain is None:
                fences[serving] = OPEN
            facts = {name: replace(fences[name], **site) for name in fences if name != gone}  # type: ignore[arg-type]
            source, target = facts.get(PLAN.source), facts.get(PLAN.target)
            found.append(replace(CALM, grant=grant, source=source, target=target, **whole))  # type: ignore[arg-type]
    return tuple(found)


def _odd_grants(serving: str) -> tuple[Grant, ...]:
    calm = _serving(serving)
    standing = tuple(
        one
        for drain in (None, drain_of(serving))
        for one in (
            replace(calm, drain=drain),
            replace(calm, drain=drain, eligible=()),
            replace(calm, drain=drain, behind=calm.eligible),
            replace(calm, drain=drain, lease_count=0),
        )
    )
    return (*standing, replace(calm, epoch=2, parted=parting_of(PLAN.peer(serving)), eligible=()))


def changed(grant: Grant, guard: Guard, action: Action) -> Grant:
    """The register after an action, with the checks that the action makes there; raises what it raises."""
    match action:
        case DeclareDrain(site):
            _check(grant, guard)
            if grant.serving != site:
                raise DrainLost(leaving=site)
            return replace(grant, drain=Drain(leaving=site, seconds=5.0, term=guard.term, entry=guard.entry))
        case GrantEpoch(site):
            return Executor._granted(None, grant, guard, site) or grant  # type: ignore[arg-type]
        case GiveUpDrain(site):
            return _given_up(grant, guard, site) or grant
        case MarkEligible(site):
            return _eligible(grant, guard, site) or grant
        case Disqualify(site):
            return _disqualified(grant, guard, site) or grant
        case EndParting(site):
            return _reunited(grant, guard, site) or grant
        case PromoteSite(site, count):
            return _promoted(grant, guard, site, count) or grant
        case OpenSite(site):
            if grant.serving != site or grant.drain is not None:
                raise DrainLost(leaving=site)
    return grant


AT_REGISTER = DeclareDrain | Disqualify | EndParting | GiveUpDrain | GrantEpoch | MarkEligible | PromoteSite
"""What changes the register only."""

MEANWHILE = ("nothing happens", "the lease is renewed", "the drain is given up", "the peer is promoted")
"""What may come before any action. Agents do the rest at once: who serves without a drain is opened."""


class Then(NamedTuple):
    """A world at one moment."""

    grant: Grant
    open: frozenset[str]  #: sites whose fences are open
    live: frozenset[str]  #: whose lease has not run out
    bare: frozenset[str] = frozenset()  #: that have no fence


class World:
    """Who takes writes: a site without a fence, or whose fence is open under a lease that lives.

    Only what a register and a database enforces counts. What changes the register
    is production code.
    """

    def __init__(self, then: "Then", guard: Guard) -> None:
        self.guard = guard
        self.grant = then.grant
        self.open, self.live, self.bare = set(then.open), set(then.live), set(then.bare)
        self.wrong = ""  #: empty: there was one writer at most, at every moment

    @property
    def then(self) -> "Then":
        """As it is now."""
        return Then(self.grant, frozenset(self.open), frozenset(self.live), frozenset(self.bare))

    def meanwhile(self, what: str) -> bool:
        """One of `MEANWHILE`; False: it cannot be."""
        grant = self.grant
        match what:
            case "the lease is renewed":
                self.grant = replace(grant, lease_count=grant.lease_count + 1)
                self.live.add(grant.serving)
            case "the drain is given up" if grant.drain is not None:
                self.grant = replace(grant, drain=None, lease_count=grant.lease_count + 1)
                self.live.add(grant.serving)
            case "the peer is promoted" if may_be_promoted(PLAN, PLAN.peer(grant.serving), grant, LONG):
                peer = PLAN.peer(grant.serving)
                self.live.discard(grant.serving)
                self.grant = promoted(grant, peer, lease_count=grant.lease_count, by="agent")
            case "nothing happens":
                pass
            case _:
                return False
        self._look()
        return True

    def do(self, action: Action) -> bool:
        """One action; False: it was refused, and a coordinator looks again."""
        try:
            if not isinstance(action, AT_REGISTER) and getattr(action, "site", "") == self.grant.serving:
                _check(self.grant, self.guard)  # a survivor has seen the term of its promotion
            self.grant = self.changed(action)
        except CutoverError:
            return False
        match action:
            case CloseSite(site):
                self.open.discard(site)
            case OpenSite(site):
                self.open.add(site)
                self.live.add(site)
            case RemoveFence(site):
                self.bare.add(site)
            case PrepareSite(site):
                self.bare.discard(site)
        self._look()
        return True

    def changed(self, action: Action) -> Grant:
        """The register after it."""
        return changed(self.grant, self.guard, action)

    @property
    def writers(self) -> set[str]:
        """Where a write is accepted."""
        return (self.open & self.live) | self.bare

    def _look(self) -> None:
        serving = self.grant.serving
        if self.grant.drain is None:
            if serving not in self.open:  # its agent opens it, with a lease
                self.live.add(serving)
            self.open.add(serving)
        if len(self.writers) > 1:
            self.wrong = f"two writers under {self.grant}"


def objection(then: Then, guard: Guard, actions: tuple[Action, ...], kind: type[World] = World) -> str:
    """What is wrong after any prefix of these actions and one thing that comes between; empty: nothing."""
    for what, at in product(MEANWHILE, range(len(actions) + 1)):
        world = kind(then, guard)
        for n, action in enumerate((*actions, None)):
            goes_on = n != at or world.meanwhile(what)
            if not goes_on or action is None or not world.do(action) or world.wrong:
                break
        if world.wrong:
            return f"{world.wrong}: {[one.name for one in actions]}, and before number {at + 1} {what}"
    return ""


def left_by(
    then: Then, guard: Guard, actions: tuple[Action, ...], kind: type[World]
) -> Iterator[tuple[int, Then]]:
    """What a crash can leave: so many actions are done, and what came before somebody goes on."""
    for done, what in product(range(len(actions)), MEANWHILE):
        world = kind(then, guard)
        if all(world.do(action) for action in actions[:done]) and world.meanwhile(what):
            yield done, world.then
