"""Between which numbers a counter stands at a line of the history.

At least what was acknowledged before a read began, at most what was attempted
before its answer came; what was definitely refused counts for neither.
"""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field

from drill.checkers.evidence import Evidence
from drill.checkers.stranding import strandable
from drill.history import History, Kind, Operation
from drill.stores import PostRow


@dataclass(slots=True)
class Counted:
    """One counter of one post: the lines at which it was surely, and possibly, raised."""

    base: int = 0  #: what it counted before the drill
    given: list[int] = field(default_factory=list)  #: lines of acknowledgements, in order
    sent: list[int] = field(default_factory=list)  #: lines of invokes, in order

    def too_low(self, shown: int, begins: int) -> bool:
        """Whether more was acknowledged before line `begins` than is shown."""
        more = shown - self.base
        return more < len(self.given) and (more < 0 or self.given[more] < begins)

    def too_high(self, shown: int, returned: int) -> bool:
        """Whether less was attempted before line `returned` than is shown."""
        more = shown - self.base
        return more > 0 and (more > len(self.sent) or self.sent[more - 1] >= returned)

    def between(self, begins: int, returned: int) -> tuple[int, int]:
        """Return the least and the most that a read may show."""
        return self.base + bisect_left(self.given, begins), self.base + bisect_left(self.sent, returned)


NOTHING = Counted()

Counters = Mapping[str, Mapping[str, Counted]]
"""Name of the counter -> post -> its bounds."""


def counters_of(history: History, evidence: Evidence) -> Counters:
    """Return the bounds of every counter; what a dead site may have taken with it need not show."""
    before = evidence.before.posts if evidence.before else {}
    optional = strandable(history, evidence.announced)
    return {"views": _views(history, before, optional), "likes": _likes(history, before, optional)}


def _views(history: History, before: Mapping[str, PostRow], optional: frozenset[int]) -> dict[str, Counted]:
    counted = {post: Counted(row.views) for post, row in before.items()}
    for view in history.of("view"):
        asked, answer = view.invoke, view.completion
        if answer is not None and answer.type is Kind.FAILED:
            continue
        lines = counted.get(view.key)
        if lines is None:
            lines = counted[view.key] = Counted()
        lines.sent.append(asked.n)
        if answer is not None and answer.type is Kind.OK and asked.n not in optional:
            lines.given.append(answer.n)
    return _in_order(counted)


def _likes(history: History, before: Mapping[str, PostRow], optional: frozenset[int]) -> dict[str, Counted]:
    """Count users, not calls: a like is a like, however often it is sent."""
    counted = {post: Counted(row.likes) for post, row in before.items()}
    sent: set[tuple[str, object]] = set()
    given: dict[tuple[str, object], int] = {}
    for like in history.of("like"):
        answer = like.completion
        if answer is not None and answer.type is Kind.FAILED:
            continue
        pair = like.key, like.asked.get("user")
        if pair not in sent:
            sent.add(pair)
            counted.setdefault(like.key, Counted()).sent.append(like.begins)
        if answer is not None and answer.type is Kind.OK and like.begins not in optional:
            given[pair] = min(given.get(pair, answer.n), answer.n)
    for (post, _), line in given.items():
        counted[post].given.append(line)
    return _in_order(counted)


def _in_order(counted: dict[str, Counted]) -> dict[str, Counted]:
    for lines in counted.values():
        lines.given.sort()
    return counted


def wrong_numbers(read: Operation, counters: Counters, *, current: bool) -> list[str]:
    """Return the numbers of an answered get that cannot be; a stale one (not `current`) may show less."""
    served, wrong = read.completion, list[str]()
    if served is None or served.value is None:
        return wrong
    answer, post, begins = served.value, read.key, read.begins
    for name, posts in counters.items():
        shown = answer.get(name)
        if not isinstance(shown, int) or isinstance(shown, bool):
            continue
        counted = posts.get(post, NOTHING)
        if current and counted.too_low(shown, begins):
            low, _ = counted.between(begins, served.n)
            wrong.append(f"get shows {shown} {name} of post {post}, and {low} had been acknowledged")
        if counted.too_high(shown, served.n):
            _, high = counted.between(begins, served.n)
            wrong.append(f"get shows {shown} {name} of post {post}, and {high} had been attempted")
    return wrong
