"""Leases that are measured wrongly: by an heir in a hurry, by two clocks, by nobody, or a loan forgotten."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.observation import Fence, Instant
from cutover.model.plan import Plan
from cutover.model.register import Grant, Registered
from cutover.ports.witness import Register
from cutover.protocol.attend import Duty, Watch
from drill.planted.around import Around, around_sites
from drill.planted.plant import Plant
from drill.planted.troubles import CLOCK_AHEAD, HEARD_BY_THE_HEIR, NOBODY_RENEWS

Attend = Callable[[Plan, str, Fence, Grant, Watch], tuple[Duty, ...]]

HURRY = 8.0
WITHOUT_END_SECONDS = 1e6
SECOND = 1_000_000


@dataclass(frozen=True, slots=True)
class InAHurry:
    """The decision of an heir whose seconds are short."""

    decide: Attend

    def __call__(self, plan: Plan, site: str, fence: Fence, grant: Grant, watch: Watch) -> tuple[Duty, ...]:
        """Decide as if eight times as much had passed."""
        return self.decide(plan, site, fence, grant, replace(watch, silent=watch.silent * HURRY))


class NeverEnding(Around):
    """A site whose database is told of a lease, and of no end of it."""

    async def renew_lease(self, *, epoch: int, started: Instant, seconds: float) -> None:
        """For ever."""
        await self._inner.renew_lease(epoch=epoch, started=started, seconds=WITHOUT_END_SECONDS)

    async def open(self, *, epoch: int, started: Instant, seconds: float, guard: Guard) -> None:
        """For ever."""
        await self._inner.open(epoch=epoch, started=started, seconds=WITHOUT_END_SECONDS, guard=guard)


def _never_ending(parts: Parts) -> Parts:
    return around_sites(parts, lambda _, inner: NeverEnding(inner))


class Forgetful(Around):
    """A site that lends, and remembers nothing of it."""

    async def withhold(self, *, epoch: int, lease_count: int) -> bool:
        """Nothing runs, as far as it knows."""
        return True


class StampedRegister(Around):
    """A register in which a lease's length is the hour at which it ends, by the clock of who renews."""

    def __init__(self, inner: Register, parts: Parts) -> None:
        super().__init__(inner)
        self._parts = parts

    async def compare_and_set(self, seen: Registered, new: Grant) -> Registered:
        """Write the hour."""
        if new.lease_count > seen.grant.lease_count:
            now = (await self._parts.sites[new.lease_holder].instant()).microseconds / SECOND
            new = replace(new, lease_seconds=now + self._parts.plan.lease.seconds)
        written: Registered = await self._inner.compare_and_set(seen, new)
        return written


class Clocked(Around):
    """A site whose fence is read with its clock."""

    def __init__(self, inner: Any, hours: dict[str, float]) -> None:
        super().__init__(inner)
        self._hours = hours

    async def fence(self) -> Fence:
        """As the port says."""
        self._hours[self._inner.site] = (await self._inner.instant()).microseconds / SECOND
        fence: Fence = await self._inner.fence()
        return fence


@dataclass(frozen=True, slots=True)
class ByTheHour:
    """The decision of an heir that compares the peer's hour with its own."""

    decide: Attend
    hours: dict[str, float]

    def __call__(self, plan: Plan, site: str, fence: Fence, grant: Grant, watch: Watch) -> tuple[Duty, ...]:
        """The lease is over when it is late enough here."""
        over = self.hours.get(site, 0.0) > grant.lease_seconds + plan.lease.margin
        relative = replace(grant, lease_seconds=plan.lease.seconds)
        return self.decide(plan, site, fence, relative, replace(watch, silent=inf if over else 0.0))


def _by_the_hour(parts: Parts) -> Parts:
    hours: dict[str, float] = {}
    register = StampedRegister(parts.register, parts)
    parts = around_sites(parts, lambda _, inner: Clocked(inner, hours))
    return replace(parts, register=register, attend=ByTheHour(parts.attend, hours))


HEIR_IN_A_HURRY = Plant(
    name="heir-in-a-hurry",
    rule="S1c",
    checker="one_writer",
    about="a survivor takes a lease for over after an eighth of its time",
    origin="Patroni's safety margin is not zero for a reason",
    processes=frozenset({"agent"}),
    under=NOBODY_RENEWS,
    in_parts=lambda parts: replace(parts, attend=InAHurry(parts.attend)),
)

LEASE_WITHOUT_END = Plant(
    name="lease-without-end",
    rule="S1c",
    checker="one_writer",
    about="a database goes on taking writes when the lease of its site has run out",
    origin="a Patroni primary whose watchdog is off",
    processes=frozenset({"agent", "coordinator"}),
    under=NOBODY_RENEWS,
    in_parts=_never_ending,
)

LEASE_BY_THE_HOUR = Plant(
    name="lease-by-the-hour",
    rule="S1c",
    checker="one_writer",
    about="the end of a lease is an hour by one site's wall clock, and its heir looks at another clock",
    processes=frozenset({"agent", "coordinator"}),
    under=CLOCK_AHEAD,
    in_parts=_by_the_hour,
)

LOAN_FORGOTTEN = Plant(
    name="loan-forgotten",
    rule="S1c",
    checker="split_brain",
    about="a survivor is promoted without regard to the lease that it has lent its peer",
    processes=frozenset({"agent", "coordinator"}),
    under=HEARD_BY_THE_HEIR,
    in_parts=lambda parts: around_sites(parts, lambda _, inner: Forgetful(inner)),
)
