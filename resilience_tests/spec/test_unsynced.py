"""What a drill says of the object store: why a power cut lost objects, or that it was not judged."""

from dataclasses import replace
from pathlib import Path

import pytest

from drill.checkers.attached import NAME, WRONG_OBJECT
from drill.drills import Drill
from drill.live.stacks import Where
from drill.live.suite import OTHER_CODE, told_of_place
from drill.live.unsynced import explained
from drill.report import DrillResult
from drill.verdict import Finding, Verdict, Witness, worst
from resilience_tests.spec.test_report import MEASURED

CUT = Drill(seed=1, fault="power-cut", victim="source", point="drain")
KILL = replace(CUT, fault="kill")
CALM = Drill(seed=1)
URL = "http://s3.example:9000"
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


@pytest.mark.parametrize("drill", [KILL, CALM], ids=["a kill", "calm"])
def test_of_a_store_that_lived_on_it_is_said_that_nobody_judged_it(drill: Drill) -> None:
    told = explained(result(), drill, URL)
    assert told.verdict is Verdict.HELD
    assert told.findings == result().findings
    assert f"it stands at {URL}, outside of the sites, and lived on" in told.notes[0]


@pytest.mark.parametrize("found", [result(), result(LOST)], ids=["all held", "objects are missing"])
def test_a_power_cut_that_never_reached_the_store_judges_nothing_of_it(found: DrillResult) -> None:
    """Unknown is never green; and what others found stands."""
    told = explained(found, CUT, URL)
    *before, doubt = told.findings
    assert tuple(before) == found.findings
    assert doubt.verdict is Verdict.INCONCLUSIVE
    assert "nobody can say what the object store keeps" in doubt.witnesses[0].what
    assert URL in doubt.witnesses[0].what
    assert told.verdict is worst([Verdict.INCONCLUSIVE, found.verdict])


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


def test_the_place_of_a_drill_is_said_with_it_whoever_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_url = told_of_place(result(), CUT, Where(s3_server=URL))
    assert worst(finding.verdict for finding in at_url.findings) is Verdict.INCONCLUSIVE
    assert at_url.repeat == f"cutover-drill run --s3-server {URL}"
    assert told_of_place(result(), KILL, Where()).notes == ()
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path))
    stands = told_of_place(result(), KILL, Where(stack="pulumi:dev"))
    assert stands.notes == (OTHER_CODE,)
    assert stands.repeat == "cutover-drill run --stack pulumi:dev"
