"""The checkers: each a pure function from a history and what was found in the stores to a finding.

They take linear time, read nothing, and never ask the engine. A new checker is
one file here, a line in REGISTRY, tests that plant what it must catch in
resilience_tests/spec/checkers/, and a section in docs/reference/report.md.
"""

from collections.abc import Callable, Iterable, Mapping

from drill.checkers.acknowledged import acknowledged
from drill.checkers.attached import attached
from drill.checkers.bite import bite
from drill.checkers.cascade import cascade
from drill.checkers.content import content
from drill.checkers.converged import converged
from drill.checkers.counters import counters
from drill.checkers.duplicates import duplicates
from drill.checkers.evidence import Announced, ContentFile, Evidence, Paced, Scheduled
from drill.checkers.feed import feed
from drill.checkers.ledger import ledger
from drill.checkers.no_ghosts import no_ghosts
from drill.checkers.one_writer import one_writer
from drill.checkers.queue import queue
from drill.checkers.read_honesty import read_honesty
from drill.checkers.sessions import sessions
from drill.checkers.split_brain import split_brain
from drill.checkers.unlink_safety import unlink_safety
from drill.history import History
from drill.verdict import Finding, Verdict, Witness, worst

__all__ = [
    "REGISTRY",
    "Announced",
    "Checker",
    "ContentFile",
    "Evidence",
    "Paced",
    "Scheduled",
    "judge",
    "verdict_of",
]

Checker = Callable[[History, Evidence], Finding]

REGISTRY: Mapping[str, Checker] = {
    "attached": attached,
    "acknowledged": acknowledged,
    "no_ghosts": no_ghosts,
    "duplicates": duplicates,
    "ledger": ledger,
    "counters": counters,
    "queue": queue,
    "sessions": sessions,
    "one_writer": one_writer,
    "split_brain": split_brain,
    "converged": converged,
    "unlink_safety": unlink_safety,
    "read_honesty": read_honesty,
    "feed": feed,
    "cascade": cascade,
    "bite": bite,
    "content": content,
}


def judge(history: History, evidence: Evidence, names: Iterable[str] | None = None) -> tuple[Finding, ...]:
    """Let the checkers called `names` judge (default: all that have something to judge in this drill).

    A checker that crashes has concluded nothing, and must not take the findings
    of the others with it: it counts as inconclusive, with its error as witness.
    """
    return tuple(_judged(name, history, evidence) for name in (_asked(evidence) if names is None else names))


def _asked(evidence: Evidence) -> list[str]:
    """Return all checkers: `content` only with a manifest, `unlink_safety` only after a wipe."""
    needless = {
        "content": not evidence.content,
        "unlink_safety": evidence.after_wipe is None,
    }
    return [name for name in REGISTRY if not needless.get(name)]


def _judged(name: str, history: History, evidence: Evidence) -> Finding:
    try:
        return REGISTRY[name](history, evidence)
    except Exception as error:
        what = f"the checker crashed: {type(error).__name__}: {error}"
        return Finding(checker=name, verdict=Verdict.INCONCLUSIVE, witnesses=(Witness(what=what),))


def verdict_of(findings: Iterable[Finding]) -> Verdict:
    """Return the verdict of a drill: the worst of its findings."""
    return worst(finding.verdict for finding in findings)
