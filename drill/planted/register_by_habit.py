"""The register as something to write to, not to compare: lost updates, and a cancel that comes too late."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.errors import Superseded
from cutover.model.action import GiveUpDrain, OpenSite
from cutover.model.observation import Observation
from cutover.model.plan import Plan
from cutover.model.register import Grant, Registered
from cutover.model.stage import Direction, Stage
from cutover.ports.clock import Clock
from cutover.ports.witness import Register
from cutover.protocol.moves import Decision, Move
from cutover.protocol.replay import State
from drill.planted.around import Around
from drill.planted.plant import Plant
from drill.planted.troubles import COMPLETED
from drill.planted.witness_believed import believing

CACHED_SECONDS = 1.8
ATTEMPTS = 20


class Overwriting(Around):
    """A register that is read from a cache, and written whatever is there."""

    def __init__(self, inner: Register, clock: Clock) -> None:
        super().__init__(inner)
        self._clock = clock
        self._seen: Registered | None = None
        self._seen_at = 0.0

    async def read(self) -> Registered | None:
        """What it was a moment ago."""
        now = self._clock.monotonic()
        if self._seen is None or now - self._seen_at > CACHED_SECONDS:
            self._seen, self._seen_at = await self._inner.read(), now
        return self._seen

    async def compare_and_set(self, seen: Registered, new: Grant) -> Registered:
        """Write without comparing."""
        return await overwrite(self._inner, seen, new)


async def overwrite(register: Any, seen: Registered, new: Grant) -> Registered:
    """Put `new` in the place of whatever is there."""
    for _ in range(ATTEMPTS):
        there = await register.read()
        try:
            written: Registered = await register.compare_and_set(replace(seen, tag=there.tag), new)
        except Superseded:
            continue
        return written
    raise Superseded("the register")


def _lost_update(parts: Parts) -> Parts:
    return believing(replace(parts, register=Overwriting(parts.register, parts.clock)))


@dataclass(slots=True)
class Cancelling:
    """The decision function whose caller has a time-out: past it, all is undone, once."""

    decide: Callable[[Plan, State, Observation], Decision]
    past: dict[str, bool] = field(default_factory=dict)

    def __call__(self, plan: Plan, state: State, seen: Observation) -> Decision:
        """Give the source its writes back although the target has them."""
        taken = state.stage is Stage.CUT_OVER and state.direction is Direction.FORWARD and seen.takes_writes
        if not taken or self.past:
            return self.decide(plan, state, seen)
        self.past["cancelled"] = True
        undo = (GiveUpDrain(plan.source), OpenSite(plan.source))
        return Move(Stage.VERIFY, undo, "the caller's time-out has come", Direction.FORWARD)


class FromMemory(Around):
    """A register that a coordinator remembers as it was before the cancel."""

    def __init__(self, inner: Register, plan: Plan, past: dict[str, bool]) -> None:
        super().__init__(inner)
        self._plan, self._past = plan, past

    async def read(self) -> Registered | None:
        """What is there; once cancelled, as it was before the cutover."""
        found: Registered | None = await self._inner.read()
        if found is None or not self._past or found.grant.serving == self._plan.source:
            return found
        grant = found.grant
        return replace(found, grant=replace(grant, serving=self._plan.source, epoch=grant.epoch - 1))


def _cancelled(parts: Parts) -> Parts:
    past: dict[str, bool] = {}
    register = FromMemory(parts.register, parts.plan, past)
    return replace(parts, register=register, advance=Cancelling(parts.advance, past))


REGISTER_OVERWRITTEN = Plant(
    name="register-overwritten",
    rule="S6b",
    checker="one_writer",
    about="an agent renews its lease by writing back what it read before another site was named",
    under=COMPLETED,
    processes=frozenset({"agent"}),
    in_parts=_lost_update,
)

CANCELLED_TOO_LATE = Plant(
    name="cancelled-too-late",
    rule="S6b",
    checker="one_writer",
    about="a caller's time-out gives the source its writes back after the target was opened",
    origin="vitess#19680",
    processes=frozenset({"coordinator"}),
    in_parts=_cancelled,
)
