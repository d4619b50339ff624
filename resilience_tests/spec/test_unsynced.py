"""A violation by a power cut names its cause, where the object store does not sync."""

from dataclasses import replace

import pytest

from drill.checkers.attached import NAME, WRONG_OBJECT
from drill.drills import Drill
from drill.live.unsynced import explained
from drill.report import DrillResult
from drill.verdict import Finding, Verdict, Witness
from resilience_tests.spec.test_report import MEASURED

CUT = Drill(seed=1, fault="power-cut", victim="source", point="drain")
KILL = replace(CUT, fault="kill")
LOST = Witness(what=f"post p is visible at east{WRONG_OBJECT}objects/a is not there", acknowledged_at=1.0)
UNACKNOWLEDGED = replace(LOST, acknowledged_at=None)
ROWLESS = Witness(what="object objects/b is at east, but its post has no row", acknowledged_at=1.0)


def result(*witnesses: Witness) -> DrillResult:
    verdict = Verdict.VIOLATED if witnesses else Verdict.HELD
    return DrillResult(
        name="a drill",
        seed=1,
        fidelity="live",
        schedule=(),
        plant=None,
        seconds=1.0,
        repeat="cutover-drill run",
        findings=(Finding(checker=NAME, verdict=verdict, witnesses=witnesses),),
        measures=MEASURED,
    )


def test_the_cause_comes_first_and_the_lost_objects_are_named() -> None:
    told = explained(result(LOST, UNACKNOWLEDGED, ROWLESS), CUT, "versitygw")
    cause, attached = told.findings
    assert told.verdict is Verdict.VIOLATED
    assert "This server does not sync" in cause.witnesses[0].what
    assert "objects of 1 posts" in cause.witnesses[0].what
    assert cause.witnesses[1:] == (LOST,)
    assert attached.witnesses == (LOST, UNACKNOWLEDGED, ROWLESS)


@pytest.mark.parametrize(
    ("found", "drill", "server"),
    [
        pytest.param(result(LOST), CUT, "own", id="a server that syncs"),
        pytest.param(result(LOST), KILL, "versitygw", id="a kill"),
        pytest.param(result(UNACKNOWLEDGED), CUT, "versitygw", id="nothing was acknowledged"),
        pytest.param(result(ROWLESS), CUT, "versitygw", id="no object is missing"),
        pytest.param(result(), CUT, "versitygw", id="all held"),
    ],
)
def test_nothing_is_blamed_on_a_store_that_did_not_do_it(
    found: DrillResult, drill: Drill, server: str
) -> None:
    assert explained(found, drill, server) == found
