"""A fault that cannot be healed makes a drill inconclusive, and does not hold it up for ever."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from drill.drills import Drill
from drill.live import runner
from drill.live.field import LiveField
from drill.live.runner import LiveDrill
from drill.live.stacks import Stack
from drill.sample_plan import sample_plan
from drill.verdict import Verdict
from infra.embedded.errors import StackError

DRILL = Drill(seed=7, fault="power-cut", victim="source", point="drain")
NO_STACK = cast(Stack, None)  # healing is waited for without asking it anything


def drill_of(folder: Path) -> LiveDrill:
    return LiveDrill(NO_STACK, sample_plan(), DRILL, folder / "history.jsonl")


async def test_a_healing_that_does_not_end_is_called_off_and_nobody_can_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "HEAL_SECONDS", 0.0)
    live = drill_of(tmp_path)
    live._healing = asyncio.ensure_future(_never())
    await asyncio.wait_for(live._until_healed(), timeout=60)
    assert live._healing.cancelled()
    [finding] = live._progress()
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.witnesses[0].what.startswith("power-cut of source was not healed")


async def test_a_healing_that_ends_is_waited_for(tmp_path: Path) -> None:
    live = drill_of(tmp_path)
    live._healing = asyncio.ensure_future(asyncio.sleep(0))
    await live._until_healed()
    assert live._healing.done()
    assert live._progress()[0].verdict is Verdict.HELD


async def _never() -> None:
    await asyncio.Event().wait()


class OneLinkStaysCut:
    """A stack of which one link cannot be healed."""

    def __init__(self) -> None:
        self.healed: list[str] = []

    async def heal(self, link: str) -> None:
        if not self.healed and link == "east-west":
            raise StackError("what held its packets is dead")
        self.healed.append(link)


async def test_a_link_that_cannot_be_healed_keeps_no_other_one_cut() -> None:
    stack = OneLinkStaysCut()
    field = LiveField(cast(Stack, stack), sample_plan(), {}, "nothing")
    for heal in (field.heal_between_sites, lambda: field.reconnect("target")):
        stack.healed.clear()
        with pytest.raises(StackError, match="what held its packets"):
            await heal()
        assert "west-east" in stack.healed
