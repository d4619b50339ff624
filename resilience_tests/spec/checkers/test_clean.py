"""A platform that keeps its promises is never accused, whatever its clients failed to learn."""

from copy import deepcopy
from dataclasses import dataclass, replace
from enum import Enum, auto

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drill.checkers import REGISTRY, Announced, judge, verdict_of
from drill.history import Event, Outcome
from drill.verdict import Verdict, worst
from resilience_tests.spec.checkers.story import Refused, Story, edited, post_id, told, uploaded


class Fate(Enum):
    """What becomes of one call."""

    ANSWERED = auto()  #: it has its effect, and the client learns so
    ANSWER_LOST = auto()  #: it has its effect, and the client times out
    NEVER_ARRIVES = auto()  #: it has no effect, and the client times out
    HALF = auto()  #: only its object is put, and the client times out
    LATE = auto()  #: the client times out, and the effect comes at the end
    OPEN = auto()  #: it has its effect, and the client is never heard of again
    REFUSED = auto()  #: a definite no


@dataclass
class Call:
    """A call on its way: asked, then done, then answered, a tick each."""

    asked: Event
    fate: Fate
    done: bool = False
    answer: dict[str, object] | None = None


@dataclass(frozen=True)
class Tick:
    """One thing that happens: client `client` goes one step further."""

    client: int
    f: str
    post: int
    fate: Fate
    cut_over: bool


UNASKED = ("content", "unlink_safety")
"""Checkers that judge only a drill that has something for them: a folder of files, a wiped site."""
FROM_THE_HISTORY = ("bite", "one_writer", "split_brain", "read_honesty", "feed", "cascade")
"""Checkers that need no store."""

ASKED = ["delete", "like", "view", "comment", "earn", "log_in", "list", "feed", "queue"]

TICKS = st.lists(
    st.builds(
        Tick,
        client=st.integers(0, 3),
        f=st.sampled_from(["upload", "edit", "get"] * 2 + ASKED),
        post=st.integers(0, 5),
        fate=st.sampled_from([Fate.ANSWERED] * 6 + list(Fate)),
        cut_over=st.sampled_from([False] * 20 + [True]),
    ),
    max_size=120,
)


class Crowd:
    """Clients whose calls overlap, each going on with a new call when the last is over."""

    def __init__(self) -> None:
        self.story = Story()
        self.calls: dict[int, Call] = {}
        self.late: list[Event] = []
        self.uploads: list[str] = []
        self.count = 0
        self.sent = deepcopy(self.story.platform)
        self.unsent = 0

    def send(self) -> None:
        """Let the other site have everything up to here."""
        self.sent, self.unsent = deepcopy(self.story.platform), 0

    def part(self) -> Announced:
        """Let the serving site die with what it had not sent; the other one takes over."""
        dead = self.story.platform
        for call in self.calls.values():
            self.story.end(call.asked, Outcome.UNKNOWN)
        self.calls.clear()
        self.late.clear()
        self.story.platform = self.sent
        self.sent.site, self.sent.epoch, self.sent.ids = dead.site, dead.epoch, dead.ids
        self.sent.cut_over()
        return Announced(site=dead.site, epoch=dead.epoch, transactions=self.unsent)

    def tick(self, tick: Tick) -> None:
        if tick.cut_over and not any(call.done for call in self.calls.values()):
            self.story.platform.cut_over()
        call = self.calls.get(tick.client)
        if call is None:
            self.ask(tick)
        elif not call.done:
            self.do(tick.client, call)
        else:
            self.story.end(call.asked, Outcome.OK, call.answer)
            del self.calls[tick.client]

    def ask(self, tick: Tick) -> None:
        self.count += 1
        request = f"r-{self.count}"
        key, value = self.request(tick, request)
        asked = self.story.begin(tick.f, key, value, request, process=f"c{tick.client}")
        self.calls[tick.client] = Call(asked, tick.fate)

    def request(self, tick: Tick, request: str) -> tuple[str | None, dict[str, object] | None]:
        if tick.f == "upload":
            self.uploads.append(post_id(request))
            return post_id(request), uploaded(request, data=f"bytes {tick.post}".encode())
        post = self.uploads[-1 - tick.post % len(self.uploads)] if self.uploads else "p-none"
        user = f"user-{tick.post}"
        match tick.f:
            case "edit":
                return post, edited(f"title {self.count}")
            case "comment":
                return post, {"user": user, "body": f"body {self.count}"}
            case "earn":
                return user, {"account": user, "cents": self.count}
            case "log_in":
                return user, None
            case "feed":
                return user, {"page": 5, "of": 100}
            case "list" | "queue":
                return None, {"page": 1_000}
            case _:
                return post, {"user": user}

    def do(self, client: int, call: Call) -> None:
        match call.fate:
            case Fate.ANSWERED:
                self.answered(client, call)
                return
            case Fate.REFUSED:
                self.story.end(call.asked, Outcome.FAILED, {"status": 503})
            case Fate.ANSWER_LOST:
                self.quietly(call.asked)
                self.story.end(call.asked, Outcome.UNKNOWN)
            case Fate.NEVER_ARRIVES:
                self.story.end(call.asked, Outcome.UNKNOWN)
            case Fate.HALF:
                if call.asked.f == "upload":
                    self.story.platform.put_object(call.asked.value or {})
                self.story.end(call.asked, Outcome.UNKNOWN)
            case Fate.LATE:
                self.late.append(call.asked)
                self.story.end(call.asked, Outcome.UNKNOWN)
            case Fate.OPEN:
                self.quietly(call.asked)
        del self.calls[client]

    def answered(self, client: int, call: Call) -> None:
        try:
            call.answer = dict(self.story.platform.apply(call.asked))
            self.unsent += 1
            call.done = True
        except Refused:
            self.story.end(call.asked, Outcome.FAILED, {"status": 404})
            del self.calls[client]

    def quietly(self, asked: Event) -> None:
        try:
            self.story.platform.apply(asked)
        except Refused:
            return

    def go_home(self) -> None:
        for asked in self.late:
            self.quietly(asked)


@settings(deadline=None, max_examples=300)
@given(ticks=TICKS)
def test_an_honest_platform_is_never_accused(ticks: list[Tick]) -> None:
    """Goal: no false alarm. Method: overlapping calls with every fate, on a model that is right."""
    crowd = Crowd()
    for tick in ticks:
        crowd.tick(tick)
    crowd.go_home()
    findings = judge(crowd.story.history(), crowd.story.evidence())
    wrong = [finding for finding in findings if finding.verdict is not Verdict.HELD]
    assert all(finding.witnesses[0].what.startswith("no write was acknowledged") for finding in wrong), wrong


@settings(deadline=None, max_examples=200)
@given(before=TICKS, tail=TICKS, after=TICKS)
def test_a_survivor_is_not_accused_of_what_was_announced_as_stranded(
    before: list[Tick], tail: list[Tick], after: list[Tick]
) -> None:
    """Goal: no false alarm after a promotion. Method: the serving site dies with its last writes unsent."""
    crowd = Crowd()
    for tick in before:
        crowd.tick(replace(tick, cut_over=False))
    crowd.send()
    for tick in tail:
        crowd.tick(replace(tick, cut_over=False))
    announced = crowd.part()
    for tick in after:
        crowd.tick(replace(tick, cut_over=False))
    findings = judge(crowd.story.history(), crowd.story.evidence(other=None, announced=announced))
    assert Verdict.VIOLATED not in {finding.verdict for finding in findings}, findings


def test_a_story_in_which_everything_happened_holds() -> None:
    story = told().story
    findings = judge(story.history(), story.evidence())
    assert verdict_of(findings) is Verdict.HELD, findings
    assert [finding.checker for finding in findings] == [name for name in REGISTRY if name not in UNASKED]


@pytest.mark.parametrize("name", [name for name in REGISTRY if name not in FROM_THE_HISTORY])
def test_stores_that_nobody_could_read_conclude_nothing(name: str) -> None:
    story = told().story
    finding = story.judged_by(name, story.evidence(serving=None))
    assert finding.verdict is Verdict.INCONCLUSIVE


def test_a_checker_that_crashes_leaves_the_others_their_say(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setitem(REGISTRY, "attached", crash)
    story = told().story
    findings = judge(story.history(), story.evidence())
    assert findings[0].verdict is Verdict.INCONCLUSIVE
    assert "ZeroDivisionError" in findings[0].witnesses[0].what
    assert worst(finding.verdict for finding in findings[1:]) is Verdict.HELD
