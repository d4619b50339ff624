"""Puts the subcommands together and turns whatever happens in one into an exit status."""

import inspect
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import typer

from cutover.cli import (
    abandon,
    agent,
    approve,
    brake,
    complete,
    coordinator,
    pause,
    plan_check,
    promote,
    quarantine,
    resume,
    roll_back,
    stack,
    status,
    stranded,
    throttle,
    uninstall,
    verify,
    worker,
)
from cutover.cli import (
    run as run_command,
)
from cutover.cli.answer import Answer, Outcome, answer_to
from cutover.cli.options import JsonOption
from cutover.errors import CutoverError

Command = Callable[..., Answer]

GROUPS: dict[str, str] = {
    "plan": "The plan of a migration.",
    "stack": "Two sites and a witness: bring them up, look at them, take them down.",
    "quarantine": "Rows that could not be applied, and versions that lost.",
    "brake": "What stopped a worker before it applied something alarming.",
    "stranded": "What a site that was left had acknowledged and not sent.",
}

COMMANDS: dict[str, Command] = {
    "plan check": plan_check.check,
    "run": run_command.run,
    "status": status.status,
    "verify": verify.verify,
    "pause": pause.pause,
    "resume": resume.resume,
    "throttle": throttle.throttle,
    "approve": approve.approve,
    "roll-back": roll_back.roll_back,
    "complete": complete.complete,
    "promote": promote.promote,
    "abandon": abandon.abandon,
    "stranded list": stranded.list_stranded,
    "stranded merge": stranded.merge,
    "quarantine list": quarantine.list_rows,
    "quarantine resolve": quarantine.resolve,
    "brake status": brake.status,
    "brake release": brake.release,
    "uninstall": uninstall.uninstall,
    "stack up": stack.up,
    "stack status": stack.status,
    "stack down": stack.down,
    "worker": worker.worker,
    "agent": agent.agent,
    "coordinator": coordinator.coordinator,
}
"""Every command by the words that it is called with."""

EXITS = (
    "Exit status: 0 done; 10 an invariant is violated; 11 inconclusive (look before retrying); "
    "12 refused by a guard, nothing changed; 13 a site is unreachable; 64 wrong usage; 70 cutover crashed; "
    "130 interrupted. Treat any other status as failure."
)

_JSON = inspect.Parameter("json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=JsonOption)


def run(arguments: Sequence[str]) -> int:
    """Run one command line; print its answer, and return its exit status."""
    json = "--json" in arguments
    answer = _answer(arguments)
    try:
        return _print(answer, json=json)
    except BrokenPipeError:  # the reader went away: nothing can be said any more, also not at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Outcome.INTERRUPTED.exit_status


def make_application() -> typer.Typer:
    """The command line, in plain text: what is not needed for it is not imported."""
    top = _group("Moves a live platform from one site to another, a stage at a time. " + EXITS)
    groups = {name: _group(summary) for name, summary in GROUPS.items()}
    for name, group in groups.items():
        top.add_typer(group, name=name)
    for words, command in COMMANDS.items():
        parent, _, name = words.rpartition(" ")
        groups.get(parent, top).command(name)(_with_json(command))
    return top


def _group(summary: str) -> typer.Typer:
    return typer.Typer(help=summary, rich_markup_mode=None, add_completion=False, no_args_is_help=False)


def _with_json(command: Command) -> Command:
    """The same command with `--json`, which all take; only one that prints by itself asks for it."""
    signature = inspect.signature(command)
    asks = "json" in signature.parameters

    def taking_json(**given: Any) -> Answer:
        if not asks:
            del given["json"]
        try:
            return command(**given)
        except BrokenPipeError:  # the library would end the process with 1
            return INTERRUPTED

    parameters = [*signature.parameters.values(), *([] if asks else [_JSON])]
    taking_json.__doc__ = command.__doc__
    taking_json.__name__ = command.__name__
    taking_json.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    taking_json.__annotations__ = {item.name: item.annotation for item in parameters}
    return taking_json


def _answer(arguments: Sequence[str]) -> Answer:
    try:
        result = make_application()(list(arguments), prog_name="cutover", standalone_mode=False)
    except CutoverError as error:
        return answer_to(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.TyperException as error:
        return Answer(
            outcome=Outcome.WRONG_USAGE, error=error.format_message(), next_steps=(_help_for(arguments),)
        )
    except typer.Abort:
        return INTERRUPTED
    except Exception as error:
        traceback.print_exc()
        return _crashed(error)
    return _returned(result)


INTERRUPTED = Answer(
    outcome=Outcome.INTERRUPTED,
    error="interrupted; what is in the journal stays, and the same command carries on from there",
)


def _returned(result: object) -> Answer:
    """What a command returned; a bare number is how the library says that help was asked for."""
    if isinstance(result, Answer):
        return result
    if result == Outcome.INTERRUPTED.exit_status:
        return INTERRUPTED
    return Answer()


def _crashed(error: Exception) -> Answer:
    return Answer(
        outcome=Outcome.CRASHED,
        error=f"cutover crashed ({type(error).__name__}: {error}). This is a mistake in cutover; what is in "
        f"the journal stays, and the same command carries on from there.",
        next_steps=("cutover status",),
    )


def _help_for(arguments: Sequence[str]) -> str:
    """The help of the longest command that the arguments begin with."""
    words = [word for word in arguments if not word.startswith("-")]
    known = {*COMMANDS, *GROUPS}
    named = next((words[:count] for count in (2, 1) if " ".join(words[:count]) in known), [])
    return " ".join(["cutover", *named, "--help"])


def _print(answer: Answer, *, json: bool) -> int:
    if answer.error and not json:
        _say(sys.stderr, f"cutover: {answer.error}")
    _say(sys.stdout, answer.to_json() if json else answer.to_text())
    return answer.outcome.exit_status


def _say(stream: Any, text: str) -> None:
    if text:
        stream.write(text.rstrip("\n") + "\n")
    stream.flush()
