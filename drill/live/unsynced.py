"""What a power cut took from an object store that does not sync, said in so many words."""

from dataclasses import replace

from drill.checkers.attached import NAME as ATTACHED
from drill.checkers.attached import WRONG_OBJECT
from drill.drills import Drill
from drill.report import DrillResult
from drill.verdict import Finding, Verdict, Witness
from infra.s3_engines.resolve import UNSYNCED

NAME = "object_store"


def explained(result: DrillResult, drill: Drill, s3_server: str) -> DrillResult:
    """Return the result with the cause first, where objects of acknowledged uploads went with the power.

    The verdict is as it was: the objects are the witnesses of `attached`.
    """
    lost = acknowledged_and_lost(result) if drill.cuts_power and s3_server in UNSYNCED else ()
    if not lost:
        return result
    what = (
        f"{s3_server} lost the objects of {len(lost)} posts whose upload was acknowledged (below, and all of "
        f"them in report.json). This server does not sync: it acknowledges a put before its bytes, name and "
        f"attributes are on the disk, so a power cut takes them. A kill does not. See "
        f"docs/how-to/choose-an-s3-server.md"
    )
    cause = Finding(
        checker=NAME,
        verdict=Verdict.VIOLATED,
        witnesses=(Witness(what=what), *lost),
        counts={"posts": len(lost)},
    )
    return replace(result, findings=(cause, *result.findings))


def acknowledged_and_lost(result: DrillResult) -> tuple[Witness, ...]:
    """Return what `attached` has to say of acknowledged uploads, one witness a post."""
    return tuple(
        witness
        for finding in result.findings
        if finding.checker == ATTACHED and finding.verdict is Verdict.VIOLATED
        for witness in finding.witnesses
        if witness.acknowledged_at is not None and WRONG_OBJECT in witness.what
    )
