"""Every idea of the model has its word in the glossary, and each word stands there once."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from enum import Enum

import cutover.model
from cutover.model.journal import Kind
from cutover.model.plan import MergeRule
from cutover.model.stage import Stage
from drill.nemesis import FAULTS
from drill.verdict import Verdict
from resilience_tests.style.sources import ROOT

GLOSSARY = ROOT / "docs/reference/glossary.md"
TERM = re.compile(r"^\| \*\*(.+?)\*\* \|", re.MULTILINE)
CODE = re.compile(r"`([A-Za-z0-9_-]+)`")


def classes() -> Iterator[str]:
    """The public classes of the model."""
    for found in pkgutil.iter_modules(cutover.model.__path__):
        module = importlib.import_module(f"cutover.model.{found.name}")
        for name, value in vars(module).items():
            if inspect.isclass(value) and value.__module__ == module.__name__ and not name.startswith("_"):
                yield name


def values(kind: type[Enum]) -> set[str]:
    return {str(member.value) for member in kind}


def test_every_class_of_the_model_is_in_the_glossary() -> None:
    named = set(CODE.findall(GLOSSARY.read_text(encoding="utf-8")))
    missing = sorted(set(classes()) - named)
    assert not missing, f"{GLOSSARY.name} says nothing of {missing}: add each in backquotes to the term it is"


def test_every_stage_merge_rule_fault_and_verdict_is_in_the_glossary() -> None:
    named = set(CODE.findall(GLOSSARY.read_text(encoding="utf-8")))
    wanted = values(Stage) | values(MergeRule) | values(Verdict) | values(Kind) | set(FAULTS)
    assert not wanted - named, f"{GLOSSARY.name} says nothing of {sorted(wanted - named)}"


def test_no_term_is_explained_twice() -> None:
    terms = TERM.findall(GLOSSARY.read_text(encoding="utf-8"))
    assert terms
    assert len(terms) == len(set(terms)), (
        f"twice: {sorted({term for term in terms if terms.count(term) > 1})}"
    )
