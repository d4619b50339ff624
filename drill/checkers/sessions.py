"""Whoever logged in at one site is logged in at the other."""

from drill.checkers.evidence import Evidence
from drill.checkers.record import unread
from drill.checkers.surviving import sessions as rows
from drill.checkers.surviving.tally import tally_of
from drill.history import History
from drill.verdict import Finding

NAME = "sessions"


def sessions(history: History, evidence: Evidence) -> Finding:
    """Judge the serving site's sessions by every token that was given out, at whichever site."""
    tally = tally_of(history, evidence)
    if tally is None:
        return unread(NAME)
    tally.look(rows.sessions)
    return tally.finding(NAME)
