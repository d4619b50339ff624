"""One failure does not become many: retries are bounded, and the same load is carried again after it."""

from drill.checkers.evidence import Evidence
from drill.history import History
from drill.verdict import Finding, finding

NAME = "cascade"


def cascade(history: History, evidence: Evidence) -> Finding:
    """Judge the attempts of clients, and what was acknowledged before and after the faults."""
    return finding(NAME)
