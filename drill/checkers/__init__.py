"""The checkers: each a pure function from a history and what was found in the stores to a finding.

They take linear time, read nothing, and never ask the engine. A new checker is
one file here, a line in REGISTRY, tests that plant what it must catch in
resilience_tests/spec/checkers/, and a section in docs/reference/report.md.
"""

from collections.abc import Callable, Iterable, Mapping

from drill.checkers.acknowledged import acknowledged
from drill.checkers.attached import attached
from drill.checkers.bite import bite
from drill.checkers.content import content
from drill.checkers.converged import converged
from drill.checkers.evidence import ContentFile, Evidence, Scheduled
from drill.checkers.no_ghosts import no_ghosts
from drill.checkers.one_writer import one_writer
from drill.checkers.read_honesty import read_honesty
from drill.history import History
from drill.verdict import Finding, Verdict, Witness, worst

__all__ = ["REGISTRY", "Checker", "ContentFile", "Evidence", "Scheduled", "judge", "verdict_of"]

Checker = Callable[[History, Evidence], Finding]

REGISTRY: Mapping[str, Checker] = {
    "attached": attached,
    "acknowledged": acknowledged,
    "no_ghosts": no_ghosts,
    "one_writer": one_writer,
    "converged": converged,
    "read_honesty": read_honesty,
    "bite": bite,
    "content": content,
}


def judge(history: History, evidence: Evidence, names: Iterable[str] | None = None) -> tuple[Finding, ...]:
    """Let the checkers called `names` judge (default: all, `content` only where there is a manifest).

    A checker that crashes has concluded nothing, and must not take the findings
    of the others with it: it counts as inconclusive, with its error as witness.
    """
    if names is None:
        names = [name for name in REGISTRY if name != "content" or evidence.content]
    return tuple(_judged(name, history, evidence) for name in names)


def _judged(name: str, history: History, evidence: Evidence) -> Finding:
    try:
        return REGISTRY[name](history, evidence)
    except Exception as error:
        what = f"the checker crashed: {type(error).__name__}: {error}"
        return Finding(checker=name, verdict=Verdict.INCONCLUSIVE, witnesses=(Witness(what=what),))


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """Return the verdict of a drill: the worst of its findings."""
    return worst(finding.verdict for finding in findings)
