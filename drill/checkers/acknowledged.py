"""Every acknowledged write is at the serving site, whole, and once."""

from drill.checkers.evidence import Evidence
from drill.checkers.record import unread
from drill.checkers.surviving.counters import likes, views
from drill.checkers.surviving.entries import comments, ledger
from drill.checkers.surviving.posts import posts
from drill.checkers.surviving.queue import queue
from drill.checkers.surviving.requests import requests
from drill.checkers.surviving.sessions import sessions
from drill.checkers.surviving.tally import tally_of
from drill.history import WRITES, History
from drill.verdict import Finding, Witness

NAME = "acknowledged"


def acknowledged(history: History, evidence: Evidence) -> Finding:
    """Judge every kind of write.

    What is acknowledged and listed as set aside or in quarantine is *hidden*:
    neither held nor lost, so it makes the finding inconclusive, unless the
    schedule parted the sites and it is a thing that two sites can contradict
    each other in. What a site that stayed away
    had acknowledged and not sent is *stranded*: as much as was announced is
    inconclusive, and more is lost.
    """
    tally = tally_of(history, evidence)
    if tally is None:
        return unread(NAME)
    tally.look(posts, comments, ledger, likes, views, queue, sessions, requests)
    if not any(operation.ok for f in WRITES for operation in history.of(f)):
        tally.doubts.append(Witness(what="no write was acknowledged, so nothing was put to the test"))
    return tally.finding(NAME)
