"""Writes docs/reference/cli.md and docs/reference/plan-file.md from the code.

    python -m cutover.cli.reference docs/reference

A test fails when the files differ from what this makes.
"""

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from typer.main import get_command

from cutover.cli.answer import SCHEMA, Outcome
from cutover.cli.application import COMMANDS, EXITS, GROUPS, make_application
from cutover.cli.plan_schema import MEANINGS, GatesKeys, LeaseKeys, ObjectKeys, OrderKeys, PlanKeys, TableKeys

MADE = "<!-- Made by `python -m cutover.cli.reference docs/reference`; edit the code, not this file. -->\n"

OUTCOMES = {
    Outcome.DONE: "it did what was asked; `run` also ends with it at soak",
    Outcome.VIOLATED: "an invariant does not hold, as when `verify` finds a difference",
    Outcome.INCONCLUSIVE: "it may have happened: look (`cutover status`) before retrying",
    Outcome.REFUSED: "a guard said no; nothing was changed. Mend what the message names",
    Outcome.UNREACHABLE: "a site or the witness did not answer; running it again is safe",
    Outcome.WRONG_USAGE: "the command line was not understood",
    Outcome.CRASHED: "a mistake in cutover; the journal is whole, and running it again is safe",
    Outcome.INTERRUPTED: "Ctrl-C, or the reader of its output went away",
}

PARTS: dict[str, type[BaseModel]] = {
    "The plan": PlanKeys,
    "`lease`": LeaseKeys,
    "`gates`": GatesKeys,
    "`tables`": TableKeys,
    "`order` of a table": OrderKeys,
    "`objects` of a table": ObjectKeys,
}

EXAMPLE = """\
schema: 1
name: move-2026
source: east
target: west
gates: {lag_seconds: 1.5, approve_cutover: true}
deletes: require_request
tables:
  - name: posts
    key: [id]
    merge: record
    counters: [likes, views]
    objects: [{key: object_key, digest: sha256}]
  - name: money.earnings
    key: [id]
    merge: append
"""


def cli_reference() -> str:
    """The page about the command line."""
    return "\n".join([MADE, "# The command line", "", *_about(), *_commands()]) + "\n"


def plan_reference() -> str:
    """The page about the plan file."""
    return "\n".join([MADE, "# The plan file", "", *_about_plan(), *_plan_parts()])


def _about() -> Iterator[str]:
    yield "## Exit status"
    yield ""
    yield "| status | outcome | means |"
    yield "|---|---|---|"
    for outcome, means in OUTCOMES.items():
        yield f"| {outcome.exit_status} | `{outcome.word}` | {means} |"
    yield ""
    yield EXITS.rpartition(". ")[2]
    yield ""
    yield "## `--json`"
    yield ""
    yield (
        "Every command takes `--json` and then prints one object on standard output; progress goes to "
        "standard error. `status --watch` prints one object a line. `stack status` prints the outputs "
        "contract in place of it."
    )
    yield ""
    yield "```"
    yield (
        f'{{"schema": {SCHEMA}, "outcome": OUTCOME, "stage": STAGE or null, '
        f'"waiting_for": TEXT or null, "next_steps": [COMMAND, ...], "error": TEXT or null}}'
    )
    yield "```"
    yield ""
    yield (
        '`waiting_for` finishes the sentence "waiting until ...". Some commands add `details`, an object '
        "of their own. Stages are written as the journal has them (`catch_up`), on the command line with "
        "hyphens (`catch-up`)."
    )
    yield ""


def _commands() -> Iterator[str]:
    top: Any = get_command(make_application())
    yield "## Commands"
    yield ""
    for words in COMMANDS:
        parent, _, name = words.rpartition(" ")
        group = top.commands[parent] if parent else top
        yield from _command(words, group.commands[name])
    assert set(top.commands) == {words.partition(" ")[0] for words in COMMANDS} >= set(GROUPS)


def _command(words: str, command: Any) -> Iterator[str]:
    arguments = [item for item in command.params if item.param_type_name == "argument"]
    given = (str(item.metavar) if item.required else f"[{item.metavar}]" for item in arguments)
    usage = " ".join(["cutover", words, *given])
    yield f"### `{usage}`"
    yield ""
    yield inspect.cleandoc(command.help)
    yield ""
    yield "| option | means |"
    yield "|---|---|"
    for item in command.params:
        if item not in arguments:
            yield f"| `{_spelling(item)}` | {_option_means(item)} |"
    yield ""


def _spelling(option: Any) -> str:
    value = f" {option.metavar}" if option.metavar else ""
    return f"{option.opts[0]}{value}"


def _option_means(option: Any) -> str:
    extra = f" Also: {option.envvar}." if option.envvar else ""
    needed = " Required." if option.required else ""
    default = option.default
    shown = f" Default: {default}." if isinstance(default, str | int) and default is not False else ""
    return f"{option.help}{needed}{shown}{extra}"


def _about_plan() -> Iterator[str]:
    yield (
        "A plan says what moves, from where to where, and under which conditions. It is YAML, one document. "
        "A migration keeps the plan that it was begun with: the journal holds it whole, and an edited file "
        "is refused. Secrets do not belong in it and are refused; they are read from the credentials files "
        "that the stack's outputs name. An unknown key is an error that names its line. Anchors and aliases "
        "are not read."
    )
    yield ""
    yield "```yaml"
    yield EXAMPLE.rstrip()
    yield "```"
    yield ""
    yield "`cutover plan check PLAN` says everything that is wrong at once, and changes nothing."
    yield ""


def _plan_parts() -> Iterator[str]:
    for title, model in PARTS.items():
        yield f"## {title}"
        yield ""
        yield "| key | default | means |"
        yield "|---|---|---|"
        for name, field in model.model_fields.items():
            yield f"| `{field.alias or name}` | {_default(field)} | {field.description}{_words(field)} |"
        yield ""


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    default = field.default
    if isinstance(default, BaseModel):
        return "see below"
    if default is None or default == []:
        return "-"
    return f"`{str(default).lower() if isinstance(default, bool) else default}`"


def _words(field: Any) -> str:
    """The words of a choice, each with its meaning."""
    words = [word for word in get_args(field.annotation) if word in MEANINGS]
    return "".join(f"<br>`{word}`: {MEANINGS[word]}" for word in words)


def main(folder: Path) -> None:
    """Write both pages."""
    (folder / "cli.md").write_text(cli_reference())
    (folder / "plan-file.md").write_text(plan_reference())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
