"""Rules that a reader would otherwise have to enforce: each names the place, the value, and what to do.

A rule takes one file and yields what is wrong in it. `SAMPLES` beside it shows each
rule something that breaks it, and `test_rules.py` wants it found.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping

from resilience_tests.style.sources import Source

Rule = Callable[[Source], Iterator[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef

DRAWERS = frozenset({"utils", "util", "common", "helpers", "helper", "misc", "lib", "stuff", "junk"})

FORBIDDEN_WORDS: Mapping[str, str] = {
    "master": "site, source or target",
    "slave": "site, source or target",
    "src": "source",
    "dst": "target",
    "dest": "target",
    "blacklist": "what is refused",
    "whitelist": "what is allowed",
    "chaos": "fault or nemesis",
    "phase": "stage",
    "failover": "promote",
    "tombstone": "delete",
    "deadletter": "quarantine",
    "checkpoint": "watermark or position",
    "scenario": "drill",
    "experiment": "drill",
}
"""Words that the vocabulary has another word for (docs/reference/glossary.md)."""

LINES_MAX = 500
FUNCTION_LINES_MAX = 60

POLLS = "polls until its deadline"
"""A comment that lets a sleep in a test stand: the loop around it ends at a condition or a deadline."""

FREE_TO_SLEEP = ("resilience_tests/simulated/", "resilience_tests/contract/clock/")
"""Tests for which a sleep costs no time, and those that judge sleeps."""

_MACHINE = re.compile(r"(?<![\w.~$}/-])/(?:" + "|".join(("work", "root", "home")) + r")/[\w.]")
_INDEX = re.compile(
    r"pypi\.(?:org|io)|pythonhosted|--(?:extra-)?index-url|--find-links|https?://[^\s]*/simple\b"
)
_UNFINISHED = re.compile(r"\b(?:TO" + "DO|FIX" + r"ME|XX" + r"X)\b")


def drawer(source: Source) -> Iterator[str]:
    """No file is named after the fact that nobody knew where its content goes."""
    for part in source.path.removesuffix(".py").split("/"):
        if part in DRAWERS:
            yield f"{source.path}: {part!r} says nothing about what is in it. Name it after what it does."


def sleep(source: Source) -> Iterator[str]:
    """Tests wait on an event or a condition with a deadline; `sleep(0)` only lets others have their turn."""
    if not source.test or source.path.startswith(FREE_TO_SLEEP):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and _sleeps(node) and POLLS not in source.lines[node.lineno - 1]:
            yield (
                f"{source.at(node.lineno)}: {ast.unparse(node)} in a test. Wait on an event, or on a "
                f"condition with a deadline; if this is that loop, write `# {POLLS}` behind it."
            )


def plant(source: Source) -> Iterator[str]:
    """A planted bug is a replaced part; production code knows of none."""
    if not source.production or not source.path.endswith(".py"):
        return
    for node in ast.walk(source.tree):
        if isinstance(node, ast.If | ast.IfExp | ast.While) and any("plant" in n for n in _names(node.test)):
            yield (
                f"{source.at(node.lineno)}: production code asks for a planted bug. Put the bug into "
                f"drill/planted/ and replace a field of Parts by it."
            )


def module_docstring(source: Source) -> Iterator[str]:
    """Each module says in a sentence what it is; an empty `__init__.py` has nothing to say."""
    if source.text.strip() and ast.get_docstring(source.tree) is None:
        yield f"{source.path}: no docstring. Say in one sentence what the module is for."


def public_docstring(source: Source) -> Iterator[str]:
    """Each public function and class of the code says what it does, in which units, and what it raises."""
    if source.test:
        return
    for node in source.tree.body:
        if not isinstance(node, Function | ast.ClassDef) or node.name.startswith("_"):
            continue
        if ast.get_docstring(node) is None:
            place = source.at(node.lineno)
            yield f"{place}: {node.name} has no docstring. Say what it does, units, what it raises."


def function_length(source: Source) -> Iterator[str]:
    """A function fits on a screen."""
    for node in ast.walk(source.tree):
        if isinstance(node, Function) and (lines := _lines(node)) > FUNCTION_LINES_MAX:
            yield (
                f"{source.at(node.lineno)}: {node.name} has {lines} lines, more than {FUNCTION_LINES_MAX}. "
                f"Name its parts and take them out."
            )


def vocabulary(source: Source) -> Iterator[str]:
    """One word for one idea, in names too."""
    for name, line in _defined(source.tree):
        for word in name.lower().split("_"):
            if word in FORBIDDEN_WORDS:
                yield f"{source.at(line)}: {name!r} says {word!r}; our word is {FORBIDDEN_WORDS[word]}."


def unfinished(source: Source) -> Iterator[str]:
    """What is left to do stands in an issue, where somebody sees it."""
    yield from _matches(source, _UNFINISHED, "Do it, or open an issue and take the mark out.")


def machine_path(source: Source) -> Iterator[str]:
    """Nothing names a folder of one machine."""
    yield from _matches(source, _MACHINE, "It is a path of one machine: derive it, or write an example path.")


def package_index(source: Source) -> Iterator[str]:
    """Where packages come from is the business of whoever installs."""
    if source.path.startswith(("locks/", "docs/", "scripts/", ".ci/")) or "/" not in source.path:
        yield from _matches(source, _INDEX, "Name no package index: pip's own configuration decides.")


RULES_OF_MODULES: tuple[Rule, ...] = (
    sleep,
    plant,
    module_docstring,
    public_docstring,
    function_length,
    vocabulary,
)
RULES_OF_TEXTS: tuple[Rule, ...] = (drawer, unfinished, machine_path, package_index)

LONG = "def long() -> None:\n" + "    print()\n" * FUNCTION_LINES_MAX

SAMPLES: Mapping[str, Source] = {
    "drawer": Source("cutover/engine/utils.py", ""),
    "sleep": Source("resilience_tests/spec/test_x.py", "import time\ntime.sleep(1)\n"),
    "plant": Source("cutover/engine/x.py", "if planted:\n    pass\n"),
    "module_docstring": Source("cutover/x.py", "A = 1\n"),
    "public_docstring": Source("cutover/x.py", '"""X."""\n\n\ndef open_it() -> None:\n    pass\n'),
    "function_length": Source("cutover/x.py", LONG),
    "vocabulary": Source("cutover/x.py", "def copy(src_site: str) -> None: ...\n"),
    "unfinished": Source("cutover/x.py", "# TO" + "DO: later\n"),
    "machine_path": Source("docs/x.md", "Look into /" + "work/main.\n"),
    "package_index": Source("locks/x.txt", "--index" + "-url https://example.org/simple\n"),
}
"""For each rule a file that breaks it."""


def _sleeps(node: ast.Call) -> bool:
    named = node.func
    name = named.attr if isinstance(named, ast.Attribute) else named.id if isinstance(named, ast.Name) else ""
    turn = len(node.args) == 1 and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
    return name == "sleep" and not turn


def _names(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part.id
        elif isinstance(part, ast.Attribute):
            yield part.attr


def _lines(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _defined(tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.name, node.lineno
            case ast.arg():
                yield node.arg, node.lineno
            case ast.Name(ctx=ast.Store()):
                yield node.id, node.lineno


def _matches(source: Source, pattern: re.Pattern[str], what_to_do: str) -> Iterator[str]:
    for number, line in enumerate(source.lines, start=1):
        if found := pattern.search(line):
            yield f"{source.at(number)}: {found.group()!r}. {what_to_do}"
