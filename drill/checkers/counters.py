"""Likes and views stay inside their bounds, in the stores and in every answer."""

from drill.checkers.bounds import counters_of, wrong_numbers
from drill.checkers.evidence import Evidence
from drill.checkers.office import offices
from drill.checkers.record import unread, witness
from drill.checkers.surviving.counters import likes, views
from drill.checkers.surviving.tally import Tally, tally_of
from drill.history import History
from drill.verdict import Finding

NAME = "counters"


def counters(history: History, evidence: Evidence) -> Finding:
    """Judge every number that was shown, and the serving site's: acknowledged <= counted <= attempted.

    Refusals are left out. After a merge both sides' increments are among what
    was acknowledged, so a merge that keeps one side's number falls below.
    """
    tally = tally_of(history, evidence)
    if tally is None:
        return unread(NAME)
    tally.look(likes, views)
    _shown(tally, evidence)
    return tally.finding(NAME)


def _shown(tally: Tally, evidence: Evidence) -> None:
    bounds, office = counters_of(tally.history, evidence), offices(tally.history)
    for get in tally.history.of("get"):
        if get.ok and ("views" in get.answered or "likes" in get.answered):
            for what in wrong_numbers(get, bounds, current=office.speaks(get)):
                tally.counts["wrong_reads"] += 1
                tally.violations.append(witness(get, what))
