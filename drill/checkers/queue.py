"""Each acknowledged upload is queued or done, once, and a queue entry only moves forward."""

from drill.checkers.evidence import Evidence
from drill.checkers.record import unread
from drill.checkers.surviving import queue as entries
from drill.checkers.surviving.tally import tally_of
from drill.history import History
from drill.verdict import Finding

NAME = "queue"


def queue(history: History, evidence: Evidence) -> Finding:
    """Judge the serving site's queue, and what clients saw of it."""
    tally = tally_of(history, evidence)
    if tally is None:
        return unread(NAME)
    tally.look(entries.queue)
    return tally.finding(NAME)
