"""Likes and views stay inside their bounds, in the stores and in every answer."""

from drill.checkers.evidence import Evidence
from drill.checkers.record import unread
from drill.checkers.surviving.counters import likes, views
from drill.checkers.surviving.tally import tally_of
from drill.history import History
from drill.verdict import Finding

NAME = "counters"


def counters(history: History, evidence: Evidence) -> Finding:
    """Judge the serving site's counters: acknowledged <= counted <= attempted, refusals left out."""
    tally = tally_of(history, evidence)
    if tally is None:
        return unread(NAME)
    likes(tally)
    views(tally)
    return tally.finding(NAME)
