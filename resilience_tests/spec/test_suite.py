"""A suite whose stack fails in the middle still says what it knows."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import cast
from xml.etree import ElementTree

import pytest

from cutover.errors import CutoverError, SiteUnreachable
from drill.drills import Drill
from drill.history import HistoryWriter
from drill.live.runner import not_run
from drill.live.stacks import Stack
from drill.live.suite import Suite
from drill.report import DrillResult, history_name
from drill.verdict import Finding, Verdict
from infra.embedded.errors import StackError

DRILL = Drill(seed=7, fault="kill", victim="source", point="drain")
NO_STACK = cast(Stack, None)  # the first drill of a suite asks nothing of it before it runs


class Failing(Suite):
    """Its drills write a line of history, and then the machinery fails."""

    error: StackError | CutoverError = StackError("the engine went away")

    async def _one(self, stack: Stack, number: int, drill: Drill, commit: str | None) -> DrillResult:
        file = self.folder / history_name(number, drill.name)
        file.parent.mkdir()
        with file.open("wb") as sink:
            HistoryWriter(sink, lambda: 0.5).fault(name="kill", victim="source", point="drain", bite={})
        raise self.error


@pytest.mark.parametrize(
    "error", [StackError("the engine went away"), SiteUnreachable("witness", "no answer")]
)
def test_a_drill_whose_stack_fails_is_inconclusive_and_not_the_end_of_its_suite(
    tmp_path: Path, error: StackError | CutoverError
) -> None:
    """Before, the suite ended as if nothing had been run, and a violation of an earlier drill with it."""
    told: list[str] = []
    suite = Failing(drills=[DRILL], folder=tmp_path, tell=told.append)
    suite.error = error
    result = asyncio.run(suite.attempt(NO_STACK, 1, DRILL, "abc"))
    assert (result.verdict, result.repeat) == (Verdict.INCONCLUSIVE, DRILL.command("abc"))
    [finding] = result.findings
    assert finding.witnesses[0].what.endswith(str(error))
    assert result.history is not None
    assert [planned.fault for planned in result.schedule] == ["kill"]
    assert str(error) in told[-1]


class Interrupted(Suite):
    """Its first drill holds; in the second one something happens that nobody foresaw."""

    ended: BaseException = KeyboardInterrupt()

    async def attempt(self, stack: Stack, number: int, drill: Drill, commit: str | None) -> DrillResult:
        if number == 2:
            raise self.ended
        held = Finding(checker="attached", verdict=Verdict.HELD)
        return replace(not_run(drill, commit), findings=(held,))


class NoStack:
    """Stands for a stack that nobody uses."""

    async def down(self) -> None: ...


@pytest.mark.parametrize("ended", [KeyError("ours"), asyncio.CancelledError()])
def test_a_suite_that_is_broken_off_reports_no_drill_as_held_that_has_no_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: BaseException
) -> None:
    """Before, its report told of the drills that had come first, and called the whole held."""

    async def bring_up(*_: object, **__: object) -> NoStack:
        return NoStack()

    monkeypatch.setattr("drill.live.suite.bring_up", bring_up)
    drills = [replace(DRILL, seed=seed) for seed in (1, 2, 3)]
    suite = Interrupted(drills=drills, folder=tmp_path, tell=lambda _: None)
    suite.ended = ended
    with pytest.raises(type(ended)):
        asyncio.run(suite.run())
    told = json.loads((tmp_path / "report.json").read_text())
    assert told["verdict"] == "inconclusive"
    assert [(one["seed"], one["verdict"]) for one in told["drills"]] == [
        (1, "held"),
        (2, "inconclusive"),
        (3, "inconclusive"),
    ]
    cases = ElementTree.parse(tmp_path / "junit.xml").getroot().findall(".//testcase")
    assert [case.find("error") is not None for case in cases] == [False, True, True]


def test_a_mistake_of_ours_is_not_taken_for_a_verdict(tmp_path: Path) -> None:
    suite = Failing(drills=[DRILL], folder=tmp_path, tell=lambda _: None)
    suite.error = cast(StackError, AssertionError("ours"))
    with pytest.raises(AssertionError):
        asyncio.run(suite.attempt(NO_STACK, 1, DRILL, None))
