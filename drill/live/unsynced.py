"""What a drill says of the object store itself: what a power cut took from it, and what was not judged."""

from dataclasses import replace

from drill.checkers.attached import NAME as ATTACHED
from drill.checkers.attached import WRONG_OBJECT
from drill.drills import Drill
from drill.report import DrillResult
from drill.verdict import Finding, Verdict, Witness
from infra.s3_engines.outside import is_url
from infra.s3_engines.resolve import UNSYNCED

NAME = "object_store"


def explained(result: DrillResult, drill: Drill, s3_server: str) -> DrillResult:
    """Return the result with what is to be said of its object store.

    Where objects of acknowledged uploads went with the power, the cause comes first; the
    verdict is as it was, since the objects are the witnesses of `attached`. Of a server
    outside of the sites nobody can say what it would have kept: a note, and for a power
    cut, which is about nothing else, a finding that is inconclusive.
    """
    if is_url(s3_server):
        return _unjudged(result, drill, s3_server)
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


def _unjudged(result: DrillResult, drill: Drill, url: str) -> DrillResult:
    why = (
        f"what the object store keeps through a crash or a power cut: it stands at {url}, outside of the "
        f"sites, and lived on when they died. Only the way to it was killed, paused or cut"
    )
    if not drill.cuts_power:
        return replace(result, notes=(*result.notes, why))
    what = f"nobody can say {why}. See docs/how-to/choose-an-s3-server.md"
    doubt = Finding(checker=NAME, verdict=Verdict.INCONCLUSIVE, witnesses=(Witness(what=what),))
    return replace(result, findings=(*result.findings, doubt))


def acknowledged_and_lost(result: DrillResult) -> tuple[Witness, ...]:
    """Return what `attached` has to say of acknowledged uploads, one witness a post."""
    return tuple(
        witness
        for finding in result.findings
        if finding.checker == ATTACHED and finding.verdict is Verdict.VIOLATED
        for witness in finding.witnesses
        if witness.acknowledged_at is not None and WRONG_OBJECT in witness.what
    )
