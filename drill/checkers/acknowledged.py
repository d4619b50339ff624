"""Every acknowledged write is at the serving site, whole, and once."""

from drill.checkers.evidence import Evidence
from drill.checkers.record import record_of, unread
from drill.checkers.surviving.counters import likes, views
from drill.checkers.surviving.entries import comments, ledger
from drill.checkers.surviving.posts import posts
from drill.checkers.surviving.queue import queue
from drill.checkers.surviving.sessions import sessions
from drill.checkers.surviving.tally import Tally
from drill.history import WRITES, History
from drill.stores import SiteStores
from drill.verdict import Finding, Witness, finding

NAME = "acknowledged"


def acknowledged(history: History, evidence: Evidence) -> Finding:
    """Judge every kind of write.

    What is acknowledged and listed as set aside or in quarantine is *hidden*:
    neither held nor lost, so it makes the finding inconclusive.
    """
    if evidence.serving is None:
        return unread(NAME)
    before = evidence.before or SiteStores(site=evidence.serving.site)
    tally = Tally(history, record_of(history), evidence.serving, before)
    for part in (posts, comments, ledger, likes, views, queue, sessions):
        part(tally)
    if not any(operation.ok for f in WRITES for operation in history.of(f)):
        tally.doubts.append(Witness(what="no write was acknowledged, so nothing was put to the test"))
    return finding(NAME, violations=tally.violations, doubts=tally.doubts, counts=tally.counts)
