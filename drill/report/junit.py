"""`junit.xml`: the same verdicts for a CI that knows only tests."""

import re
from xml.etree import ElementTree

from drill.report.contract import DrillResult, Report, shown
from drill.verdict import Finding, Verdict

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot carry, not even escaped; file names may hold them."""


def junit(report: Report) -> bytes:
    """Return the report as JUnit XML: violated is a failure, inconclusive an error.

    A suite without a test is green to whoever reads it, so of no drill there is one case that is an error.
    """
    counted = [drill.verdict for drill in report.drills] or [report.verdict]
    suite = ElementTree.Element(
        "testsuite",
        name="cutover-drill",
        tests=str(len(counted)),
        failures=str(counted.count(Verdict.VIOLATED)),
        errors=str(counted.count(Verdict.INCONCLUSIVE)),
        skipped="0",
        time=f"{report.seconds:.3f}",
        timestamp=report.started,
    )
    for drill in report.drills:
        suite.append(_case(drill))
    if not report.drills:
        suite.append(_nothing())
    suites = ElementTree.Element("testsuites")
    suites.append(suite)
    written: bytes = ElementTree.tostring(suites, encoding="utf-8", xml_declaration=True)
    return written


def _nothing() -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname="cutover-drill", name="no drill was run", time="0.000")
    ElementTree.SubElement(
        case, "error", message="no drill was run, so nothing is known", type="inconclusive"
    )
    return case


def _case(drill: DrillResult) -> ElementTree.Element:
    case = ElementTree.Element(
        "testcase",
        classname=f"cutover-drill.{drill.fidelity}",
        name=_text(f"{drill.name} [seed {drill.seed}]"),
        time=f"{drill.seconds:.3f}",
    )
    if drill.verdict is not Verdict.HELD:
        kind = "failure" if drill.verdict is Verdict.VIOLATED else "error"
        wrong = [finding for finding in drill.findings if finding.verdict is drill.verdict]
        message = (
            f"{drill.verdict.value}: {', '.join(finding.checker for finding in wrong) or 'nothing judged'}"
        )
        told = ElementTree.SubElement(case, kind, message=_text(message), type=drill.verdict.value)
        told.text = _text("\n".join([*(_told(finding) for finding in wrong), f"Repeat: {drill.repeat}"]))
    if drill.notes:
        ElementTree.SubElement(case, "system-out").text = _text("\n".join(drill.notes))
    return case


def _told(finding: Finding) -> str:
    witnesses = "\n".join(f"  - {witness.what}" for witness in shown(finding.witnesses))
    return f"{finding.checker} {finding.verdict.value}\n{witnesses}"


def _text(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
