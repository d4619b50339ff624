"""Three ways to lose writes while they are switched from one site to the other."""

import asyncio
from typing import TYPE_CHECKING

from cutover.engine.journalling import ask
from cutover.errors import CutoverError
from cutover.model.journal import Intent
from drill.incidents.incident import Incident
from drill.planted.end_before_close import END_BEFORE_CLOSE
from drill.planted.register_by_habit import CANCELLED_TOO_LATE
from drill.planted.writer_not_frozen import WRITER_NOT_FROZEN
from drill.schedule import Load, Schedule, Strike

if TYPE_CHECKING:
    from drill.simulator.world import World

LOAD = Load(clients=8, uploads=30, others=200, most=1_200, pace_seconds=0.03)
LOOK_SECONDS = 0.02


def _in_flight(seed: int) -> Schedule:
    """A backend that has passed its check stands still, and commits a second later."""
    strike = Strike(fault="pause", victim="backend", point="drain/declare-drain:before", seconds=1.0)
    return Schedule(seed=seed, strikes=(strike,), load=LOAD)


def _late_waking(seed: int) -> Schedule:
    """The coordinator stands still behind the grant, a second one takes over, and the first wakes late."""
    point = "cut-over/open-site:before" if seed % 2 else "cut-over/grant-epoch:after"
    strike = Strike(fault="pause", victim="coordinator", point=point, seconds=2.5)
    return Schedule(seed=seed, ending="roll-back" if seed % 2 else "soak", strikes=(strike,), load=LOAD)


async def _cancelled_behind_the_grant(world: "World") -> None:
    """With odd seeds an operator loses patience too, and asks to roll back as soon as the target is named."""
    if world.seed % 2 == 0:
        return
    while world.serving != world.plan.target:
        await asyncio.sleep(LOOK_SECONDS)
    while True:
        try:
            await ask(world.parts("operator"), Intent.ROLL_BACK)
        except CutoverError:
            await asyncio.sleep(LOOK_SECONDS)
        else:
            return


def _agents_slow(seed: int) -> Schedule:
    """The source's agent stands still from the drain on: nothing but the fence keeps its writers out."""
    strike = Strike(fault="pause", victim="agent-source", point="drain/close-site:after", seconds=2.0)
    return Schedule(seed=seed, ending="complete", strikes=(strike,), load=LOAD)


VITESS_16563 = Incident(
    name="vitess-16563",
    known_as="vitessio/vitess#16563 (2024)",
    address="https://github.com/vitessio/vitess/issues/16563",
    story=(
        "SwitchTraffic denied new writes, took the source's position, and only then took table locks to "
        "wait for writes that had passed the check before. It let the target catch up to the position, "
        "which such a write lies behind. It was found by reading; nobody had reported a loss. The position "
        "is now taken last."
    ),
    ours="the end of the log is read by the same call that closed the site and waited for its last writer",
    naive=END_BEFORE_CLOSE,
    checker="acknowledged",
    schedule=_in_flight,
)

VITESS_19680 = Incident(
    name="vitess-19680",
    known_as="vitessio/vitess#19680 (2026)",
    address="https://github.com/vitessio/vitess/issues/19680",
    story=(
        "SwitchTraffic writes a journal, which is its point of no return, and carries out the rest under "
        "its caller's context. A time-out in that tail ended it half-way: writes had moved, the caller was "
        "told of a failure, and the old stream was stopped without the mark that forbids to start it "
        "again."
    ),
    ours=(
        "once the register names the target nothing gives the source its writes back but a drain of the "
        "target; a coordinator that dies, or is told to roll back, goes forward first"
    ),
    naive=CANCELLED_TOO_LATE,
    checker="one_writer",
    schedule=_late_waking,
    disturb=_cancelled_behind_the_grant,
)

PG_EASY_REPLICATE_164 = Incident(
    name="pg-easy-replicate-164",
    known_as="shayonj/pg_easy_replicate#164 (2024)",
    address="https://github.com/shayonj/pg_easy_replicate/issues/164",
    story=(
        "Before the switchover the user that the source's URL names is made read-only. A database has "
        "other roles too, and those went on to write at the source."
    ),
    ours="the fence is a trigger on the tables, which asks no role: whoever writes is refused, or waited for",
    naive=WRITER_NOT_FROZEN,
    checker="one_writer",
    schedule=_agents_slow,
)
