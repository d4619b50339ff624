"""The runbooks of `scripts/`, and a drill whose operator does nothing but what a runbook does."""

import asyncio
import importlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from cutover.cli.answer import Answer, Outcome
from cutover.errors import Inconclusive, SiteUnreachable
from cutover.model.plan import Plan
from drill.schedule import Schedule
from drill.simulator.nap import Nap
from drill.simulator.rehearsal import Conditions, Rehearsal, to_its_end
from drill.simulator.rehearsing import Rehearsing
from drill.simulator.world import World
from drill.workload.clients import Amount

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
NAMES = tuple(sorted(path.stem for path in SCRIPTS.glob("*.py") if path.stem != "runbook"))
LOOK_SECONDS = 0.1
"""Pause of the person at the terminal between two looks (virtual seconds)."""

Night = Callable[[World], Awaitable[None]]


def runbook(name: str) -> Any:
    """The runbook of that name, loaded as Python does it when it is run."""
    if str(SCRIPTS) not in sys.path:
        sys.path.append(str(SCRIPTS))
    return importlib.import_module(name).RUNBOOK


class Attended(Rehearsing):
    """Nobody answers what the migration waits for: that is what the runbooks are for."""

    async def _operate(self) -> None:
        while True:
            await Nap(LOOK_SECONDS)
            grant = self._world.witness.grant()
            if grant is not None and grant.parted is not None:
                self._partings[grant.parted.epoch] = grant.parted


def drilled(night: Night, plan: Plan, seed: int = 1) -> Rehearsal:
    """A migration with users, in which `night` happens; it ends at soak unless the night ends it."""
    amount = Amount(uploads=40, others=200, clients=6, most=2_000)
    conditions = Conditions(plan=plan, amount=amount, pace_seconds=0.06)
    return to_its_end(Attended(Schedule(seed=seed, ending="soak"), None, conditions, night))


async def read(world: World, name: str, *words: str) -> Answer:
    """Run it as somebody does who only wants to see; nothing may be asked for."""
    before = asked_for(world)
    answer: Answer = await _carried_out(world, name, *words)
    assert asked_for(world) == before, f"{name} asked for something without --yes"
    return answer


async def done(world: World, name: str, *words: str) -> Answer:
    """Run it with --yes; what must be true after must be."""
    answer = await _carried_out(world, name, *words, "--yes")
    assert answer.outcome is Outcome.DONE, f"{name}: {answer.error}\n{answer.text}"
    return answer


async def _carried_out(world: World, name: str, *words: str) -> Answer:
    """A link that loses an answer is tried again, as a person would."""
    found = runbook(name)
    while True:
        try:
            answer: Answer = await found.carry_out(world.parts("runbook"), found.asked(words))
            return answer
        except (SiteUnreachable, Inconclusive):
            await Nap(LOOK_SECONDS)


def asked_for(world: World) -> int:
    """Words of operators in the journal, as the witness holds it."""
    entries = [world.witness.entry(n) for n in world.witness.entries]
    return sum(entry.kind.value in ("intent", "approval") for entry in entries if _is_a_persons(entry.facts))


def _is_a_persons(facts: dict[str, object]) -> bool:
    return facts.get("intent") != "take_over"


async def until(what: Callable[[], bool], seconds: float = 40.0) -> None:
    """Wait in virtual time."""
    async with asyncio.timeout(seconds):
        while not what():
            await Nap(LOOK_SECONDS)


async def until_it_waits(world: World, words: str) -> None:
    """Wait until the coordinator says that it waits for this."""
    await until(lambda: world.progress is not None and words in world.progress.waiting_for)
