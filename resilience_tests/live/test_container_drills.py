"""A whole drill on containers: a server that lies about its disk is found out there, too.

Needs a Docker engine, root, packet rules and loop devices; elsewhere it is skipped, with the reason.
CI has no time for it beside its brief drills on containers: a minute and a half to three, as busy as it is.
"""

import re
from pathlib import Path

import pytest

from drill.drills import Drill
from drill.live.stacks import Where
from drill.live.suite import Suite
from drill.verdict import Verdict
from infra.disks.loop import why_impossible
from resilience_tests.contract.containers.field import why_not
from resilience_tests.live.test_power_cut import told, verdict_of

WHY_NOT = why_not() or why_impossible()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"NOT TRIED, no containers here: {WHY_NOT}")


async def test_a_database_without_fsync_is_caught_by_the_power_cut_and_not_by_the_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source dies while next to nothing of it is at the target yet, so that what it loses is lost."""
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    drills = [
        Drill(seed=1, fault=fault, victim="source", point="backfill", plant="fsync-off")
        for fault in ("kill", "power-cut")
    ]
    suite = Suite(drills=drills, folder=tmp_path, tell=print, where=Where(stack="docker"))
    killed, cut = (await suite.run()).drills
    assert verdict_of(killed, "acknowledged") is Verdict.HELD, told(killed)
    assert killed.verdict is not Verdict.VIOLATED, told(killed)
    (lost,) = (one for one in cut.findings if one.checker == "acknowledged")
    assert lost.verdict is Verdict.VIOLATED, told(cut)
    assert re.match(r"post p-[0-9a-f]{24} is lost: it is not at (east|west)$", lost.witnesses[0].what)
