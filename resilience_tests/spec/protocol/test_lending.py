"""When a site may borrow a lease of its peer, and in which orders that and a promotion can come."""

from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field, replace
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.site import MemorySite
from cutover.engine.lending import Borrower, lent_is_over
from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.observation import Fence, FenceState, Lead
from cutover.model.plan import Lease, Plan
from cutover.model.position import Position
from cutover.model.register import Unsent
from resilience_tests.spec.protocol.worlds import GRANT, PLAN, drain_of

LENDING = replace(PLAN, lease=Lease(seconds=3.0, margin=0.5, lending=True))
NAMED = replace(GRANT, ceilings=(("ids", 100),))
FENCE = Fence(state=FenceState.OPEN, epoch=1, lease_live=True)
END = Position("memory-east", 1, 9)
LEAD = Lead(end=END, confirmed=END, transactions=9, settled=9, sequences=(("ids", 99),))
AT_THE_BOUND = Unsent(seconds=PLAN.gates.lag_seconds)
FIRST = Guard(1, 1)


async def _at_once() -> None:
    """No network."""


@dataclass
class Sites:
    """East serves under epoch 1, and west is closed; both by one clock, which stands."""

    plan: Plan = LENDING
    reach: Callable[[], Awaitable[None]] = _at_once
    now: float = 0.0
    east: MemoryServer = field(init=False)
    west: MemoryServer = field(init=False)
    parts: Parts = field(init=False)

    def __post_init__(self) -> None:
        self.east, self.west = (
            MemoryServer(name, self.plan, lambda: self.now, self.reach) for name in ("east", "west")
        )
        for server in (self.east, self.west):
            server.prepared = True
        self.east.opened, self.east.epoch = True, 1
        self.east.lease_boot, self.east.lease_until = self.east.boot, self.plan.lease.seconds
        sites = {server.site: MemorySite(server) for server in (self.east, self.west)}
        self.parts = cast(Parts, SimpleNamespace(plan=self.plan, sites=sites))

    def borrower(self, **told: Any) -> Borrower:
        return Borrower(self.parts, "east", replace(NAMED, **told))


async def test_a_site_with_nothing_against_it_borrows_a_lease_and_is_lent_one_that_lasts_longer() -> None:
    sites = Sites(now=2.0)
    assert await sites.borrower().borrow(FENCE, LEAD, AT_THE_BOUND)
    assert (sites.east.lease_until, sites.west.lent_until) == (5.0, 5.5)


NOTHING = dict[str, Any]()
AGAINST: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the register names its peer": ({"serving": "west"}, NOTHING),
    "a drain stands": ({"drain": drain_of("east")}, NOTHING),
    "the register shows another epoch": ({"epoch": 2}, NOTHING),
    "it is closed": (NOTHING, {"fence": replace(FENCE, state=FenceState.CLOSED)}),
    "its lease is over": (NOTHING, {"fence": replace(FENCE, lease_live=False)}),
    "its peer is past the lag bound": (NOTHING, {"unsent": replace(AT_THE_BOUND, seconds=2.001)}),
    "nobody knows how far its peer is": (NOTHING, {"unsent": Unsent(seconds=None)}),
    "a sequence is at its ceiling": (NOTHING, {"lead": replace(LEAD, sequences=(("ids", 100),))}),
    "a sequence has no ceiling": (NOTHING, {"lead": replace(LEAD, sequences=(("ids", 9), ("more", 1)))}),
}


@pytest.mark.parametrize("reason", AGAINST)
async def test_a_site_does_not_ask_its_peer_to_lend_when(reason: str) -> None:
    registered, seen = AGAINST[reason]
    sites = Sites(now=2.0)
    told: dict[str, Any] = {"fence": FENCE, "lead": LEAD, "unsent": AT_THE_BOUND} | seen
    assert not await sites.borrower(**registered).borrow(**told)
    assert (sites.east.lease_until, sites.west.lent_until) == (3.0, 0.0)


async def test_a_plan_without_lending_borrows_nothing_and_a_promotion_asks_nobody() -> None:
    sites = Sites(plan=replace(LENDING, lease=replace(LENDING.lease, lending=False)))
    assert not await sites.borrower().borrow(FENCE, LEAD, AT_THE_BOUND)
    assert sites.west.lent_until == 0.0
    sites.west.lent_until = 9.0
    assert await lent_is_over(sites.parts, "west", NAMED)
    assert await sites.parts.sites["west"].lend(epoch=1, lease_count=NAMED.lease_count, seconds=1.0)


async def test_a_site_that_was_restarted_since_it_looked_does_not_ask() -> None:
    sites = Sites(now=2.0)
    sites.east.boot += 1
    assert not await sites.borrower().borrow(FENCE, LEAD, AT_THE_BOUND)
    assert sites.west.lent_until == 0.0


async def test_a_site_whose_peer_withholds_is_given_nothing() -> None:
    sites = Sites(now=2.0)
    assert await lent_is_over(sites.parts, "west", NAMED)
    assert not await sites.borrower().borrow(FENCE, LEAD, AT_THE_BOUND)
    assert sites.east.lease_until == 3.0
    assert await sites.borrower(lease_count=2).borrow(FENCE, LEAD, AT_THE_BOUND), "it has renewed since"


# -- every order ------------------------------------------------------------------------------


class Turn:
    """Gives the turn away once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


async def _turn() -> None:
    await Turn()


NEXT = ("east",) * 5 + ("west",) * 2 + ("time",) * 2
"""What may come next, and how often."""


@dataclass
class Race:
    """East borrows again and again, west takes over as soon as it may, and time may pass before each step.

    West's agent has seen one renewal, at 0 s; it asks once a lease and its margin are over.
    """

    sites: Sites = field(default_factory=lambda: Sites(reach=_turn))
    promoted: bool = False
    loans: int = 0

    async def borrow(self) -> None:
        while True:
            loans = await self.sites.borrower().borrow(self.sites.east.fence(), LEAD, AT_THE_BOUND)
            self.loans += loans
            await Turn()

    async def take_over(self) -> None:
        while not await lent_is_over(self.sites.parts, "west", NAMED):
            await Turn()
        self.promoted = True
        while True:
            await Turn()

    def run(self, chance: Random, steps: int) -> str | None:
        """What went wrong in one order; None: nothing."""
        lease = LENDING.lease
        borrowing, heir = self.borrow(), self.take_over()
        try:
            for _ in range(steps):
                step = chance.choice(NEXT)
                if step == "time":
                    self.sites.now += 0.25
                elif step == "east":
                    borrowing.send(None)
                elif step == "west" and self.sites.now > lease.seconds + lease.margin:
                    heir.send(None)
                if self.promoted and self.sites.east.accepts_writes():
                    return f"at {self.sites.now:.2f} s both may serve, after {self.loans} loans"
        finally:
            borrowing.close()
            heir.close()
        return None


def test_in_no_order_a_site_is_promoted_while_its_peer_serves_on_what_it_has_lent() -> None:
    races = [Race() for _ in range(300)]
    wrong = [race.run(Random(seed), steps=250) for seed, race in enumerate(races)]
    assert [what for what in wrong if what] == []
    assert sum(race.loans > 0 and race.promoted for race in races) > len(races) / 2, "most of them show it"
