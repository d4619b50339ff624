"""What the commands about a migration have in common: open it, ask, drive, and say what comes next."""

import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from cutover.cli.answer import Answer, Outcome
from cutover.cli.selection import Selection, select
from cutover.engine.coordinator import Coordinator, Progress
from cutover.engine.journalling import ask, state_of
from cutover.engine.parts import Parts
from cutover.engine.rebuild import check_journal
from cutover.errors import BadInput, NotReady
from cutover.model.action import action_to_json
from cutover.model.journal import Intent
from cutover.model.stage import Stage
from cutover.protocol.advance import ENDED
from cutover.protocol.moves import Move
from cutover.protocol.preview import preview
from cutover.protocol.replay import State

AGAIN = "it has ended; to migrate again, uninstall, empty the new target, and name another witness prefix"
RESTS = "an operator runs `cutover complete` or `cutover roll-back`"


class Foretold(Protocol):
    """What a command that asks for `--yes` has found."""

    def described(self) -> list[str]:
        """What is known, a line each."""

    def will(self) -> list[str]:
        """What would be done, a line each."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A selected migration with its parts open."""

    selection: Selection
    parts: Parts

    async def state(self) -> State:
        """Where it stands, by its journal; BadInput when it has not begun."""
        state = await state_of(self.parts)
        if state is None:
            raise BadInput(
                f"migration {self.parts.plan.name!r} has not begun, so there is nothing to do here. "
                f"Nothing was changed. Begin it with `cutover run {self.selection.path}`."
            )
        return state

    async def check_if_new(self) -> None:
        """Raise NotReady while nothing is written yet: what was begun keeps the plan it was begun with."""
        if await state_of(self.parts) is None and (found := await self.parts.preflight()):
            raise NotReady(found)

    async def moves(self, wanted: Intent | None = None) -> list[Move]:
        """What `run` would do from here, or would do once this was asked for. Changes nothing."""
        state = await state_of(self.parts) or State()
        if wanted is not None:
            state = replace(state, wanted=wanted, paused=False)
        registered = await self.parts.register.read()
        return preview(self.parts.plan, state, registered.grant if registered else None)

    async def drive(self, until: Stage | None = None) -> Answer:
        """Be the coordinator until the goal is reached, with progress on standard error."""
        await check_journal(self.parts)
        stage = await Coordinator(self.parts, report=Teller().tell).run(until=until)
        return self.reached(stage)

    async def foretold(self, found: Foretold, details: dict[str, object], *commands: str) -> Answer:
        """What is known and what `--yes` would do, and nothing of it was done; `commands` come next."""
        told = [
            *found.described(),
            "With --yes:",
            *(f"  {line}" for line in found.will()),
            "Nothing was changed.",
        ]
        return Answer(
            stage=(await self.state()).stage,
            text="\n".join(told),
            next_steps=tuple(self.selection.command(command) for command in commands),
            details=details,
        )

    def reached(self, stage: Stage) -> Answer:
        """What is said once a stage was reached."""
        ended = f" ({AGAIN})" if stage in ENDED else ""
        return Answer(
            stage=stage,
            text=f"{self.parts.plan.name}: {stage.value.replace('_', ' ')}{ended}",
            waiting_for=RESTS if stage is Stage.SOAK else None,
            next_steps=self.next_steps(stage),
        )

    def next_steps(self, stage: Stage | None) -> tuple[str, ...]:
        """The commands that make sense now, the likeliest first."""
        command = self.selection.command
        if stage in ENDED:
            return (command("uninstall"),)
        if stage is Stage.SOAK:
            return (command("status --watch"), command("complete"), command("roll-back"))
        return (f"cutover run {self.selection.path}", command("status --watch"))


class Teller:
    """Says each thing once, on standard error."""

    def __init__(self) -> None:
        self._last = ""

    def tell(self, progress: Progress) -> None:
        """Print where it stands, unless that was the last thing said."""
        what = f"waiting until {progress.waiting_for}" if progress.waiting_for else progress.doing
        line = f"{progress.stage.value.replace('_', ' ')}: {what}"
        if line != self._last:
            say(line)
            self._last = line


def say(line: str) -> None:
    """Print progress."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@asynccontextmanager
async def chosen(plan: Path | None, stack: str | None) -> AsyncIterator[Migration]:
    """The migration that the options name, with its parts open."""
    selection = select(plan, stack)
    from cutover.cli.compose import opened

    async with opened(selection.plan, selection.outputs) as parts:
        yield Migration(selection, parts)


def send(plan: Path | None, stack: str | None, intent: Intent | None, said: str) -> Answer:
    """Write an operator's command into the journal, where a running coordinator reads it."""

    async def work() -> Answer:
        async with chosen(plan, stack) as migration:
            state = await migration.state()
            entry = await ask(migration.parts, intent)
            return Answer(
                stage=state.stage,
                text=f"{said} (journal entry {entry.n}). A running coordinator reads it within a second.",
                next_steps=migration.next_steps(state.stage)[::-1],
            )

    return asyncio.run(work())


def describe(moves: Sequence[Move]) -> str:
    """The moves for people."""
    return "\n".join(_lines(moves)) if moves else "nothing: it waits for an operator, or has ended"


def _lines(moves: Sequence[Move]) -> Iterable[str]:
    for move in moves:
        yield f"{move.stage.value.replace('_', ' ')} (because {move.because})"
        for action in move.actions:
            site = getattr(action, "site", "")
            final = "" if action.reversible else "  - cannot be undone by itself"
            yield f"    {action.name} {site}".rstrip() + final


def as_details(moves: Sequence[Move]) -> dict[str, object]:
    """The moves for programs."""
    return {
        "moves": [
            {
                "stage": move.stage.value,
                "direction": move.direction.value,
                "because": move.because,
                "actions": [action_to_json(action) for action in move.actions],
            }
            for move in moves
        ]
    }


def agreed(question: str, *, yes: bool) -> bool:
    """Ask on the terminal; where nobody can be asked, only `--yes` agrees."""
    if yes:
        return True
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise BadInput(f"{question} Nobody can be asked here: say --yes. Nothing was changed.")
    import typer

    return typer.confirm(question, err=True)


DECLINED = Answer(outcome=Outcome.REFUSED, error="not agreed to; nothing was changed")
