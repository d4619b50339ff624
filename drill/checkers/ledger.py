"""Money is conserved: each acknowledged entry is there once, with its amount."""

from drill.checkers.evidence import Evidence
from drill.checkers.record import unread
from drill.checkers.surviving import entries
from drill.checkers.surviving.tally import tally_of
from drill.history import History
from drill.verdict import Finding

NAME = "ledger"


def ledger(history: History, evidence: Evidence) -> Finding:
    """Judge the serving site's ledger, entry by entry."""
    tally = tally_of(history, evidence)
    if tally is None:
        return unread(NAME)
    entries.ledger(tally)
    return tally.finding(NAME)
