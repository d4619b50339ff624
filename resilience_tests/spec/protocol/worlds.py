"""Every state and observation that the protocol can meet, and what a prefix of its actions leaves behind."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from cutover.model.action import Action, CloseSite, DeclareDrain, GiveUpDrain, GrantEpoch, OpenSite
from cutover.model.journal import Intent
from cutover.model.observation import Fence, FenceState, Observation, SiteFacts
from cutover.model.plan import MergeRule, Plan, Table
from cutover.model.position import Position
from cutover.model.register import Drain, Grant
from cutover.model.stage import Direction, Stage
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


def drain_of(site: str) -> Drain:
    """A drain that stands."""
    return Drain(leaving=site, seconds=5.0, term=1, entry=8)


def every_state() -> Iterator[State]:
    """Stage x direction x what an operator wants x how the last compare ended."""
    for stage, direction, wanted, clean, drains in product(
        Stage, Direction, (None, Intent.ROLL_BACK, Intent.COMPLETE), (None, True, False), (0, 3)
    ):
        yield replace(
            AT, stage=stage, direction=direction, wanted=wanted, clean=clean, drains=drains, end=END
        )


def every_observation() -> Iterator[Observation]:
    """Who serves x whether a drain stands x what each site answers x the gates."""
    facts = (None, OPEN, CLOSED, replace(OPEN, set_aside=1), replace(CLOSED, tables_pending=1, touched=9_999))
    for serving, drained, overdue, takes, lag in product(
        ("east", "west"), (False, True), (False, True), (False, True), (0.1, 1e9)
    ):
        for drain in (None, drain_of(serving)):
            grant = replace(GRANT, serving=serving, epoch=1 if serving == "east" else 2, drain=drain)
            for source, target in product(facts, facts):
                yield Observation(
                    grant=grant,
                    source=source,
                    target=target,
                    lag_seconds=lag,
                    drained=drained,
                    drain_overdue=overdue,
                    takes_writes=takes,
                )


class World:
    """Which fences are open and whom the register names: only what a database enforces counts."""

    def __init__(self, writers: set[str], serving: str, *, drain: bool) -> None:
        self.writers, self.serving, self.drain = set(writers), serving, drain

    def do(self, action: Action) -> None:
        """One action, with the checks that the register and the sites make themselves."""
        match action:
            case DeclareDrain():
                self.drain = True
            case GiveUpDrain():
                self.drain = False
            case CloseSite(site):
                self.writers.discard(site)
            case GrantEpoch(site):
                if self.drain or self.serving == site:
                    self.serving, self.drain = site, False
            case OpenSite(site):
                if self.serving == site and not self.drain:
                    self.writers.add(site)
