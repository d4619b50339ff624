"""The gate: every drill of the chosen suite, on one stack, each from a fresh run of it.

`--drills`, `--seed`, `--stack`, `--s3-server` and `--keep-stack` choose (drill/pytest_plugin.py).
`./scripts/gate` runs the same drills and writes a report to read.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from drill.cli.gate import KEPT
from drill.commit import commit_here
from drill.drills import Drill
from drill.live.runner import LiveDrill
from drill.live.services import extras_of, services_of
from drill.live.stacks import Stack, Where, bring_up
from drill.live.suite import check_possible, needs_disks, told_of_place
from drill.pytest_plugin import chosen_drills, chosen_place
from drill.report import DrillResult, history_name
from drill.sample_plan import sample_plan
from drill.verdict import Verdict


@dataclass(slots=True)
class Gate:
    """The stack that all drills share."""

    stack: Stack
    where: Where
    folder: Path
    done: list[str] = field(default_factory=list)

    async def run(self, drill: Drill) -> DrillResult:
        """Run one drill to its verdict, on a fresh run of the stack unless this is its first."""
        if self.done or drill.plant:
            await self.stack.fresh(services=services_of(drill.plant), extras=extras_of(drill.plant))
        self.done.append(drill.name)
        history = self.folder / history_name(len(self.done), drill.name)
        result = await LiveDrill(self.stack, sample_plan(), drill, history).run(commit=commit_here())
        return told_of_place(result, drill, self.where)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make one test of each drill."""
    if "drill" not in metafunc.fixturenames:
        return
    drills = chosen_drills(metafunc.config)
    chosen_place(metafunc.config)  # what cannot be is said before anything runs
    if drills:
        metafunc.parametrize("drill", drills, ids=[f"{one.name}, seed {one.seed}" for one in drills])
        return
    skip = pytest.mark.skip(reason="NOT REHEARSED: --drills none")
    metafunc.parametrize("drill", [pytest.param(None, marks=skip)], ids=["none"])


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def gate(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Gate]:
    """Both sites and the witness, up once for all drills."""
    keep = bool(request.config.getoption("--keep-stack"))
    where = chosen_place(request.config)
    check_possible(chosen_drills(request.config), where)
    power_cut = needs_disks(chosen_drills(request.config))
    stack = await bring_up(print, where, keep=keep, name=KEPT if keep else None, power_cut=power_cut)
    yield Gate(stack, where, tmp_path_factory.mktemp("gate"))
    await (stack.close() if keep or where.stays else stack.down())


@pytest.mark.asyncio(loop_scope="session")
async def test_what_was_promised_holds(gate: Gate, drill: Drill) -> None:
    result = await gate.run(drill)
    if result.verdict is not Verdict.HELD:
        pytest.fail(told(result), pytrace=False)


def told(result: DrillResult) -> str:
    """What did not hold, on which evidence, and the command that repeats it."""
    lines = [f"{result.name} (seed {result.seed}): {result.verdict.value}"]
    for finding in result.findings:
        if finding.verdict is not Verdict.HELD:
            lines.append(f"  {finding.checker}: {finding.verdict.value}")
            lines += [f"    - {witness.what}" for witness in finding.witnesses[:5]]
            left = len(finding.witnesses) - 5
            lines += [f"    - and {left} more like these"] if left > 0 else []
    return "\n".join([*lines, f"history: {result.history}", f"Repeat: {result.repeat}"])
