"""What the pages say is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from cutover.cli.application import make_application as make_cutover
from cutover.cli.plan_file import read_plan
from cutover.model.outputs import Credentials, Outputs
from drill.cli.application import make_application as make_drill
from resilience_tests.style.sources import ROOT, Source, pages, sources

DECISIONS = ROOT / "docs/explanation/decisions"
HOW_TO = ROOT / "docs/how-to/migrate-your-own-tables.md"
SECTIONS = ("## Problem", "## Options", "## Decision", "## Consequences", "## Confirmation")

LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
QUOTED = re.compile(r"`([^`\n]+)`")
BLOCK = re.compile(r"^```(?:console|bash|sh)\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:^|[\s/$])(cutover-drill|cutover) ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")
NAMED_PATH = re.compile(
    r"^(?:cutover|drill|infra|sample_platform|resilience_tests|scripts|docs|benchmarks|locks)/[\w./-]+$"
)


def decisions() -> list[Path]:
    return sorted(DECISIONS.glob("*.md"))


def commands() -> dict[str, set[str]]:
    """Every command line that exists, as its words."""
    found: dict[str, set[str]] = {}
    for name, make in (("cutover", make_cutover), ("cutover-drill", make_drill)):
        top = typer.main.get_command(make())
        found[name] = set(_words(top))
    return found


def _words(command: object) -> Iterator[str]:
    for name, below in getattr(command, "commands", {}).items():
        yield name
        yield from (f"{name} {word}" for word in getattr(below, "commands", {}))


def shown_commands(page: Source) -> Iterator[tuple[str, str, str | None]]:
    """Program, command and next word of each command line that a page shows as code."""
    code = [*QUOTED.findall(page.text), *BLOCK.findall(page.text)]
    for line in "\n".join(code).splitlines():
        for found in COMMAND.finditer(line):
            yield found.group(1), found.group(2), found.group(3)


def missing_commands(page: Source) -> list[str]:
    there = commands()
    wrong = []
    for program, first, second in shown_commands(page):
        grouped = any(words.startswith(f"{first} ") for words in there[program])
        if first not in there[program] or (grouped and second and f"{first} {second}" not in there[program]):
            wrong.append(f"{program} {first} {second or ''}".rstrip())
    return wrong


def dead_links(page: Source) -> list[str]:
    here = (ROOT / page.path).parent
    targets = [link for link in LINK.findall(page.text) if "://" not in link]
    return [link for link in targets if not (here / link).exists()]


def dead_paths(page: Source) -> list[str]:
    named = [word.rstrip("/.") for word in QUOTED.findall(page.text) if NAMED_PATH.match(word)]
    return [word for word in named if not (ROOT / word).exists()]


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.path)
def test_links_paths_and_commands_of_a_page_exist(page: Source) -> None:
    assert not dead_links(page), f"{page.path} links to what is not there: {dead_links(page)}"
    assert not dead_paths(page), f"{page.path} names files that are not there: {dead_paths(page)}"
    assert not missing_commands(page), (
        f"{page.path} shows commands that do not exist: {missing_commands(page)}"
    )


def test_the_how_to_shows_outputs_and_credentials_that_can_be_read() -> None:
    outputs, credentials = re.findall(r"```json\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    assert Outputs.from_json(outputs).source == "east"
    assert set(Credentials.from_json(credentials).postgres) == {"cutover_admin", "cutover_applier"}


def test_the_how_to_shows_a_plan_that_can_be_read(tmp_path: Path) -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(encoding="utf-8"), re.DOTALL)
    file = tmp_path / "plan.yaml"
    file.write_text(shown, encoding="utf-8")
    assert [table.name for table in read_plan(file).plan.tables] == ["customers", "invoices"]


def test_what_is_not_there_is_found() -> None:
    page = Source("README.md", "[a](docs/none.md) `cutover/none.py` `cutover levitate` `cutover stack fly`\n")
    assert dead_links(page) == ["docs/none.md"]
    assert dead_paths(page) == ["cutover/none.py"]
    assert missing_commands(page) == ["cutover levitate", "cutover stack fly"]


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [path.name[:4] for path in decisions()]
    expected = [f"{n:04}" for n in range(1, len(numbers) + 1)]
    assert numbers == expected, (
        f"{DECISIONS}: found {numbers}, expected {expected}. Take the next free number."
    )


@pytest.mark.parametrize("path", decisions(), ids=lambda path: path.stem)
def test_a_decision_says_what_was_weighed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    title = f"# {int(path.name[:4])}. "
    assert text.startswith(title), f"{path.name} must begin with {title!r} and its title"
    assert re.search(r"^Status: ", text, re.MULTILINE), f"{path.name} has no line `Status: ...`"
    places = [text.find(f"\n{section}\n") for section in SECTIONS]
    assert -1 not in places, f"{path.name} needs all of {SECTIONS}"
    assert places == sorted(places), f"{path.name} needs, in this order: {SECTIONS}"


def test_decisions_named_anywhere_exist() -> None:
    there = {path.name[:4] for path in decisions()}
    named = re.compile(r"explanation/decisions/(\d{4})")
    wrong = [
        f"{source.path}: {number}"
        for source in sources()
        for number in named.findall(source.text)
        if number not in there
    ]
    assert not wrong, f"decisions that nobody wrote: {wrong}"
