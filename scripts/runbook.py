"""What all runbooks have in common: say the situation, act only with --yes, then check what must be true.

A runbook asks for things with the same functions as the commands. Unless a
coordinator is at work elsewhere (--detach), it is the coordinator until what it
checks holds.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from cutover.cli.answer import Answer, Outcome, answer_to
from cutover.cli.coordinator import coordinate
from cutover.engine.parts import Parts
from cutover.errors import CutoverError, Inconclusive, SiteUnreachable, StaleTerm
from cutover.model.observation import FenceState, SiteFacts

LOOK_SECONDS = 0.25
"""Pause between two looks at what must become true."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What stands before anything is done."""

    known: Sequence[str]
    will: Sequence[str]  #: what --yes does
    against: str | None = None  #: why it may not be done now


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that must be true after."""

    what: str
    holds: bool | None  #: None: a site does not answer, so it is not known


Asked = argparse.Namespace
Look = Callable[[Parts, Asked], Awaitable[Situation]]
Act = Callable[[Parts, Asked], Awaitable[None]]
Check = Callable[[Parts, Asked], Awaitable[list[Finding]]]


class WrongUsage(Exception):
    """The command line was not understood."""


class Parser(argparse.ArgumentParser):
    """Raises what it would end the process with 2 for."""

    def error(self, message: str) -> NoReturn:
        raise WrongUsage(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class Runbook:
    """One decision: look, act, check. `doc` is the docstring of its script."""

    name: str
    doc: str
    look: Look
    act: Act
    check: Check
    options: Callable[[Parser], None] = lambda _: None
    detached: bool = False  #: there is nothing for a coordinator to do

    def run(self, arguments: Sequence[str]) -> int:
        """Do it; print an answer, and return its exit status as the commands have them."""
        json = "--json" in arguments
        answer = self._answer(arguments)
        if answer.error and not json:
            sys.stderr.write(f"{self.name}: {answer.error}\n")
        text = answer.to_json() if json else answer.to_text()
        sys.stdout.write(f"{text}\n" if text else "")
        return answer.outcome.exit_status

    def _answer(self, arguments: Sequence[str]) -> Answer:
        try:
            return asyncio.run(self._opened(self.asked(arguments)))
        except WrongUsage as error:
            step = f"scripts/{self.name}.py --help"
            return Answer(outcome=Outcome.WRONG_USAGE, error=str(error), next_steps=(step,))
        except CutoverError as error:
            return answer_to(error)
        except KeyboardInterrupt:
            return Answer(outcome=Outcome.INTERRUPTED, error="interrupted; what was asked for stands")

    def asked(self, arguments: Sequence[str]) -> Asked:
        """The command line, read; WrongUsage when it was not understood."""
        return self._parser().parse_args(arguments)

    def _parser(self) -> Parser:
        shape = argparse.RawDescriptionHelpFormatter
        parser = Parser(prog=f"scripts/{self.name}.py", description=self.doc, formatter_class=shape)
        self.options(parser)
        parser.add_argument(
            "--plan",
            type=Path,
            default=os.environ.get("CUTOVER_PLAN"),
            help="the plan file; else the only migration known here",
        )
        parser.add_argument("--stack", default=os.environ.get("CUTOVER_STACK"), help="as for the commands")
        parser.add_argument("--yes", action="store_true", help="do it; without this nothing is changed")
        parser.add_argument("--detach", action="store_true", help="a coordinator runs elsewhere: only ask it")
        parser.add_argument("--wait", type=float, default=120.0, help="seconds until what must be true is")
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        return parser

    async def _opened(self, asked: Asked) -> Answer:
        from cutover.cli.migration import chosen

        async with chosen(asked.plan, asked.stack) as migration:
            return await self.carry_out(migration.parts, asked)

    async def carry_out(self, parts: Parts, asked: Asked) -> Answer:
        """Look; with --yes act, and see what must be true become true."""
        found = await self.look(parts, asked)
        if found.against is not None:
            error = f"{found.against} Nothing was changed."
            return Answer(outcome=Outcome.REFUSED, text="\n".join(found.known), error=error)
        if not asked.yes:
            lines = [
                *found.known,
                "With --yes:",
                *(f"  {line}" for line in found.will),
                "Nothing was changed.",
            ]
            return Answer(text="\n".join(lines), details={"will": list(found.will)})
        sys.stderr.write("\n".join([*found.known, *found.will]) + "\n")
        await self.act(parts, asked)
        return _judged(await self._until_true(parts, asked))

    async def _until_true(self, parts: Parts, asked: Asked) -> list[Finding]:
        began = parts.clock.monotonic()
        beside = None if asked.detach or self.detached else asyncio.ensure_future(_coordinate(parts))
        try:
            while True:
                findings = await self._findings(parts, asked)
                late = parts.clock.monotonic() - began > asked.wait
                if late or all(finding.holds for finding in findings):
                    return findings
                if beside is not None and beside.done():
                    beside.result()  # raises what a coordinator may not go on from
                await parts.clock.sleep(LOOK_SECONDS)
        finally:
            if beside is not None:
                beside.cancel()
                await asyncio.wait([beside])

    async def _findings(self, parts: Parts, asked: Asked) -> list[Finding]:
        try:
            return await self.check(parts, asked)
        except (SiteUnreachable, Inconclusive) as error:
            return [Finding(what=str(error), holds=None)]


async def _coordinate(parts: Parts) -> None:
    with suppress(StaleTerm):  # another coordinator is at work: watch it
        await coordinate(parts)


def _judged(findings: Sequence[Finding]) -> Answer:
    words = {True: "true", False: "NOT true", None: "not known"}
    holds = [finding.holds for finding in findings]
    outcome = Outcome.VIOLATED if False in holds else Outcome.INCONCLUSIVE if None in holds else Outcome.DONE
    error = None if outcome is Outcome.DONE else "what must be true after this is not: see *If not* (--help)"
    return Answer(
        outcome=outcome,
        text="\n".join(f"{words[finding.holds]}: {finding.what}" for finding in findings),
        error=error,
        next_steps=("cutover status",),
        details={"findings": {finding.what: finding.holds for finding in findings}},
    )


def takes_writes(site: str, facts: SiteFacts | None) -> Finding:
    """Whether users can write there: its fence is open under a live lease, or nothing of ours is there."""
    what = f"{site} takes writes"
    if facts is None:
        return Finding(what=what, holds=None)
    fence = facts.fence
    live = fence.state is FenceState.OPEN and (fence.lease_live or fence.epoch == 0)
    return Finding(what=what, holds=live or fence.state is FenceState.ABSENT)


def takes_none(site: str, facts: SiteFacts | None) -> Finding:
    """Whether its database refuses writers; where it does not answer, nobody can say."""
    refuses = None if facts is None else facts.fence.state is FenceState.CLOSED or not facts.fence.lease_live
    return Finding(what=f"{site} takes no writes", holds=refuses)
