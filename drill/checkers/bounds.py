"""Between which numbers a counter stands at a line of the history.

At least what was acknowledged before a read began, at most what was attempted
before its answer came; what was definitely refused counts for neither.
"""

from bisect import bisect_left, insort
from collections.abc import Mapping
from dataclasses import dataclass, field

from drill.checkers.evidence import Evidence
from drill.checkers.record import integer
from drill.checkers.stranding import strandable
from drill.history import History, Kind, Operation

NEVER = float("inf")
"""The line of what does not happen."""


@dataclass(slots=True)
class Counted:
    """One counter of one post: the lines at which it was surely, and possibly, raised."""

    base: int = 0  #: what it counted before the drill
    given: list[int] = field(default_factory=list)  #: lines of acknowledgements, in order
    sent: list[int] = field(default_factory=list)  #: lines of invokes, in order

    def give(self, line: int) -> None:
        """Take in an acknowledgement; most come in order."""
        if self.given and line < self.given[-1]:
            insort(self.given, line)
        else:
            self.given.append(line)

    def holds(self, shown: int, begins: int, returned: int, *, current: bool) -> bool:
        """Whether a read may show this number; a stale one (not `current`) may show less."""
        return not (self.too_high(shown, returned) or (current and self.too_low(shown, begins)))

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


@dataclass(slots=True)
class Numbers:
    """The two counters of one post."""

    views: Counted = field(default_factory=Counted)
    likes: Counted = field(default_factory=Counted)


NOTHING = Numbers()

Counters = Mapping[str, Numbers]
"""By post; one that is not there was never seen nor liked."""


def counters_of(history: History, evidence: Evidence) -> Counters:
    """Return the bounds of every counter; what a dead site may have taken with it need not show."""
    before = evidence.before.posts if evidence.before else {}
    counted = {post: Numbers(Counted(row.views), Counted(row.likes)) for post, row in before.items()}
    optional = strandable(history, evidence.announced)
    _count_views(history, counted, optional)
    _count_likes(history, counted, optional)
    return counted


def _count_views(history: History, counted: dict[str, Numbers], optional: frozenset[int]) -> None:
    for view in history.of("view"):
        asked, answer = view.invoke, view.completion
        if answer is not None and answer.type is Kind.FAILED:
            continue
        lines = _numbers(counted, asked.key or "").views
        lines.sent.append(asked.n)
        if answer is not None and answer.type is Kind.OK and asked.n not in optional:
            lines.give(answer.n)


def _count_likes(history: History, counted: dict[str, Numbers], optional: frozenset[int]) -> None:
    """Count users, not calls: a like is a like, however often it is sent."""
    given: dict[tuple[str, object], float] = {}
    for like in history.of("like"):
        asked, answer = like.invoke, like.completion
        if answer is not None and answer.type is Kind.FAILED:
            continue
        post = asked.key or ""
        pair = post, asked.value.get("user") if asked.value else None
        promised = answer is not None and answer.type is Kind.OK and asked.n not in optional
        line = answer.n if answer is not None and promised else NEVER
        first = given.get(pair)
        if first is None:
            given[pair] = line
            _numbers(counted, post).likes.sent.append(asked.n)
        elif line < first:
            given[pair] = line
    for (post, _), line in given.items():
        if line != NEVER:
            counted[post].likes.give(int(line))


def _numbers(counted: dict[str, Numbers], post: str) -> Numbers:
    numbers = counted.get(post)
    if numbers is None:
        numbers = counted[post] = Numbers()
    return numbers


def wrong_numbers(read: Operation, counters: Counters, *, current: bool) -> list[str]:
    """Return the numbers of an answered get that cannot be; a stale one (not `current`) may show less."""
    served, wrong = read.completion, list[str]()
    if served is None or served.value is None:
        return wrong
    answer, post, begins, returned = served.value, read.invoke.key or "", read.invoke.n, served.n
    numbers = counters.get(post, NOTHING)
    for name, counted in (("views", numbers.views), ("likes", numbers.likes)):
        shown = integer(answer.get(name))
        if shown is None or counted.holds(shown, begins, returned, current=current):
            continue
        if current and counted.too_low(shown, begins):
            low, _ = counted.between(begins, returned)
            wrong.append(f"get shows {shown} {name} of post {post}, and {low} had been acknowledged")
        if counted.too_high(shown, returned):
            _, high = counted.between(begins, returned)
            wrong.append(f"get shows {shown} {name} of post {post}, and {high} had been attempted")
    return wrong
