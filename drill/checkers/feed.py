"""A feed is made for the user who asked, or says that it is not; no page shows a post twice."""

from drill.checkers.evidence import Evidence
from drill.history import History
from drill.verdict import Finding, finding

NAME = "feed"


def feed(history: History, evidence: Evidence) -> Finding:
    """Judge every page that was answered."""
    return finding(NAME)
