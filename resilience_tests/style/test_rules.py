"""Every rule holds for every file, but for what the ratchet still allows."""

from collections import Counter
from collections.abc import Sequence

import pytest

from resilience_tests.style.ratchet import ALLOWED, LONG_FILES
from resilience_tests.style.rules import LINES_MAX, RULES_OF_MODULES, RULES_OF_TEXTS, SAMPLES, Rule
from resilience_tests.style.sources import Source, modules, sources

RULES = [*RULES_OF_MODULES, *RULES_OF_TEXTS]


def files_of(rule: Rule) -> Sequence[Source]:
    return modules() if rule in RULES_OF_MODULES else sources()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_no_file_breaks_the_rule(rule: Rule) -> None:
    allowed = ALLOWED.get(rule.__name__, {})
    wrong = []
    for source in files_of(rule):
        found = list(rule(source))
        if len(found) > allowed.get(source.path, 0):
            wrong += found
    assert not wrong, f"{rule.__doc__}\n" + "\n".join(wrong)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_ratchet_allows_no_more_than_there_is(rule: Rule) -> None:
    counted = Counter({source.path: len(list(rule(source))) for source in files_of(rule)})
    loose = [
        f"{path}: {counted[path]} found, {allowed} allowed"
        for path, allowed in ALLOWED.get(rule.__name__, {}).items()
        if counted[path] < allowed
    ]
    assert not loose, "You mended something: lower the figure in ratchet.py.\n" + "\n".join(loose)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_file_that_breaks_the_rule_is_found(rule: Rule) -> None:
    assert list(rule(SAMPLES[rule.__name__])), f"{rule.__name__} finds nothing in a file that breaks it"


def test_files_fit_in_a_head() -> None:
    wrong = [
        f"{source.path}: {len(source.lines)} lines, {most} allowed. Split it by what changes together."
        for source in modules()
        if len(source.lines) > (most := LONG_FILES.get(source.path, LINES_MAX))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_ratchet_names_only_files_that_are_long() -> None:
    lengths = {source.path: len(source.lines) for source in modules()}
    mended = [path for path in LONG_FILES if lengths.get(path, 0) <= LINES_MAX]
    assert not mended, f"no longer too long, take them out of ratchet.py: {mended}"
