"""The checkers of one part of the promise each: what they catch, and what is none of theirs."""

from dataclasses import replace

import pytest

from cutover.model.observation import Fence, FenceState
from drill.checkers import REGISTRY, Evidence, Paced
from drill.checkers.cascade import (
    ACKNOWLEDGED_MIN,
    ATTEMPTS_MAX,
    OPERATIONS_MIN,
    RECOVERY_SECONDS,
    WINDOW_SECONDS,
    comparable,
)
from drill.history import Event, History, Kind, Outcome, history_of
from drill.stores import LedgerRow, ObjectFacts
from drill.verdict import Finding, Verdict
from resilience_tests.spec.checkers.damage import LOSSES, Damage, paid_twice, serving_of
from resilience_tests.spec.checkers.story import (
    Story,
    changed,
    changed_other,
    post_id,
    session_token,
    told,
    uploaded,
)

PARTS = ("duplicates", "ledger", "counters", "queue", "sessions")

CAUGHT_BY = {
    "lost_post": {"queue", "counters"},
    "returned_post": {"counters"},
    "unexpected_post": {"counters"},
    "duplicated_post": {"duplicates", "counters"},
    "fewer_views": {"counters"},
    "more_views": {"counters"},
    "miscounted_likes": {"counters"},
    "lost_like": {"counters"},
    "unexpected_like": {"counters"},
    "like_that_outlived_its_post": {"counters"},
    "duplicated_comment": {"duplicates"},
    "comment_parted_from_its_post": {"queue"},
    "lost_earning": {"ledger"},
    "paid_twice": {"duplicates", "ledger"},
    "paid_for_nothing": {"ledger"},
    "paid_too_little": {"ledger"},
    "paid_for_another_post": {"ledger"},
    "never_queued": {"queue"},
    "queued_twice": {"duplicates", "queue"},
    "queued_for_no_post": {"queue"},
    "logged_out": {"sessions"},
    "somebody_elses_session": {"sessions"},
    "forgotten_user": {"sessions"},
    "session_of_nobody": {"sessions"},
    "user_of_nowhere": {"sessions"},
}
"""By damage; what is not named here is for `acknowledged` alone. A copied post brings its numbers along."""


@pytest.mark.parametrize("damage", [damage for damage, _ in LOSSES])
def test_each_part_catches_its_own_damage_and_no_other(damage: Damage) -> None:
    tale = told()
    found = damage(tale, tale.story.evidence())
    caught = {part for part in PARTS if tale.story.judged_by(part, found).verdict is Verdict.VIOLATED}
    assert caught == CAUGHT_BY.get(damage.__name__, set())


def test_a_duplicate_at_the_site_that_does_not_serve_is_found_too() -> None:
    tale = told()
    twice = paid_twice(tale, tale.story.evidence())
    found = changed_other(tale.story.evidence(), ledger=serving_of(twice).ledger)
    finding = tale.story.judged_by("duplicates", found)
    assert finding.verdict is Verdict.VIOLATED
    assert "r-9 made 2 rows of ledger at east" in finding.witnesses[0].what


def test_rows_that_name_no_request_are_not_each_others_duplicates() -> None:
    story = Story()
    rows = {n: LedgerRow(id=n, post_id="", account="ann", cents=1) for n in (1, 2)}
    assert story.judged_by("duplicates", changed(story.evidence(), ledger=rows)).verdict is Verdict.HELD


def earning(story: Story, request: str, cents: int, outcome: Outcome | None, *, arrives: bool) -> None:
    asked = story.begin("earn", "ann", {"account": "ann", "cents": cents}, request)
    answer = story.platform.apply(asked) if arrives else None
    if outcome is not None:
        story.end(asked, outcome, answer)


@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, None])
@pytest.mark.parametrize("cents", [70, -20])
def test_money_whose_payment_nobody_answered_may_be_there_or_not(
    cents: int, outcome: Outcome | None, *, arrives: bool
) -> None:
    story = Story()
    earning(story, "r-1", 250, Outcome.OK, arrives=True)
    earning(story, "r-2", cents, outcome, arrives=arrives)
    assert story.judged_by("ledger").verdict is Verdict.HELD


def test_money_that_was_refused_and_paid_is_found_in_the_account() -> None:
    story = Story()
    earning(story, "r-1", 250, Outcome.FAILED, arrives=True)
    finding = story.judged_by("ledger")
    assert finding.counts["wrong_accounts"] == 1
    assert "account ann holds 250 cents at east, and must hold 0" in finding.witnesses[-1].what


def test_money_that_is_in_quarantine_is_hidden_and_its_account_is_not_wrong() -> None:
    story = Story()
    earning(story, "r-1", 250, Outcome.OK, arrives=True)
    found = changed(story.evidence(), ledger={}, hidden={"ledger": {"1": "a constraint refused it"}})
    finding = story.judged_by("ledger", found)
    assert (finding.verdict, finding.counts["hidden_ledger"]) == (Verdict.INCONCLUSIVE, 1)
    parted = replace(found, conflicts_expected=True)
    assert story.judged_by("ledger", parted).verdict is Verdict.INCONCLUSIVE, "nothing else is that money"


def seen(story: Story, key: str, answer: dict[str, object]) -> Finding:
    story.end(story.begin("get", key, None, f"r-{len(story.lines)}"), Outcome.OK, answer)
    return story.judged_by("counters")


@pytest.mark.parametrize("name", ["views", "likes"])
@pytest.mark.parametrize("by_an_unknown", [True, False])
def test_every_number_that_is_shown_is_between_acknowledged_and_attempted(
    name: str, *, by_an_unknown: bool
) -> None:
    for shown, wrong in ((0, True), (1, False), (2, not by_an_unknown), (3, True)):
        story = Story()
        post = story.upload("r-1")
        story.does(name[:-1], post, {"user": "bob"}, "r-2")
        asked = story.begin(name[:-1], post, {"user": "eve"}, "r-3")
        story.end(asked, Outcome.UNKNOWN if by_an_unknown else Outcome.FAILED)
        finding = seen(story, post, {name: shown})
        assert finding.counts.get("wrong_reads", 0) == wrong, (shown, finding)


def test_a_number_that_was_raised_while_it_was_read_may_show_or_not() -> None:
    for shown in (0, 1):
        story = Story()
        post = story.upload("r-1")
        asked = story.begin("get", post, None, "r-9", process="c2")
        story.does("view", post, {"user": "bob"}, "r-2")
        story.end(asked, Outcome.OK, {"views": shown})
        assert story.judged_by("counters").verdict is Verdict.HELD


def test_a_merge_that_keeps_one_sides_count_falls_below() -> None:
    story = Story()
    post = story.upload("r-1")
    for request in ("r-2", "r-3"):
        story.does("view", post, {"user": "bob"}, request)
        story.platform.cut_over()
    found = story.evidence()
    row = replace(serving_of(found).posts[post], views=1)
    finding = story.judged_by("counters", changed(found, posts={post: row}))
    assert finding.counts["miscounted_views"] == 1


def test_a_later_answer_does_not_show_waiting_what_was_seen_done() -> None:
    story = Story()
    post = story.upload("r-1")
    early = story.begin("queue", None, None, "r-2", process="c2")
    story.platform.distribute()
    story.does("queue", None, None, "r-3")
    story.end(early, Outcome.OK, {"waiting": [post], "done": []})
    assert story.judged_by("queue").verdict is Verdict.HELD
    story.end(story.begin("queue", None, None, "r-4"), Outcome.OK, {"waiting": [post], "state": "stale"})
    assert story.judged_by("queue").verdict is Verdict.HELD
    story.end(story.begin("queue", None, None, "r-5"), Outcome.OK, {"waiting": [post]})
    assert story.judged_by("queue").counts["returned_queue"] == 1


@pytest.mark.parametrize(
    ("outcome", "answer", "count"),
    [
        (Outcome.OK, {"user": "ann"}, None),
        (Outcome.OK, {"user": "eve"}, "wrong_sessions"),
        (Outcome.FAILED, {"status": 404}, "refused_sessions"),
        (Outcome.FAILED, {"status": 503}, None),
        (Outcome.UNKNOWN, None, None),
    ],
)
def test_a_session_is_known_after_the_cutover_or_the_user_is_asked_to_come_again(
    outcome: Outcome, answer: dict[str, object] | None, count: str | None
) -> None:
    story = Story()
    story.does("log_in", "ann", None, "r-1")
    story.platform.cut_over()
    story.end(story.begin("session", "ann", {"token": session_token("r-1")}, "r-2"), outcome, answer)
    finding = story.judged_by("sessions")
    assert finding.verdict is (Verdict.VIOLATED if count else Verdict.HELD)
    assert count is None or finding.counts[count] == 1


@pytest.mark.parametrize(
    "damage",
    [
        {"posts": {}},
        {"ledger": {}},
        {"objects": {}},
        {"objects": {"more": ObjectFacts(size=1, sha256="x")}},
    ],
)
def test_whatever_a_wipe_of_the_other_site_changes_is_found(damage: dict[str, object]) -> None:
    tale = told()
    found = replace(tale.story.evidence(), stage="complete")
    assert tale.story.judged_by("unlink_safety", found).verdict is Verdict.INCONCLUSIVE
    after = replace(found, after_wipe=found.serving)
    assert tale.story.judged_by("unlink_safety", after).verdict is Verdict.HELD
    wiped = replace(found, after_wipe=changed(found, **damage).serving)
    assert tale.story.judged_by("unlink_safety", wiped).verdict is Verdict.VIOLATED


def page(story: Story, answer: dict[str, object]) -> Finding:
    story.end(story.begin("feed", "bob", None, "r-page"), Outcome.OK, answer)
    return story.judged_by("feed")


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ({"degraded": False}, Verdict.VIOLATED),
        ({"degraded": True}, Verdict.HELD),
        ({"degraded": False, "state": "stale"}, Verdict.HELD),
    ],
)
@pytest.mark.parametrize("made", [True, False])
def test_a_page_that_everybody_gets_says_so(
    answer: dict[str, object], verdict: Verdict, *, made: bool
) -> None:
    story = Story()
    value = {**uploaded("r-1"), "user": "bob" if made else "ann"}
    story.does("upload", post_id("r-1"), value, "r-1")
    story.does("like", post_id("r-1"), {"user": "eve" if made else "bob"}, "r-2")
    assert page(story, {"posts": [post_id("r-1")], **answer}).verdict is verdict


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.FAILED, None])
def test_a_like_that_nobody_acknowledged_need_not_be_known_to_the_feed(outcome: Outcome | None) -> None:
    story = Story()
    post = story.upload("r-1")
    asked = story.begin("like", post, {"user": "bob"}, "r-2", process="c2")
    if outcome is not None:
        story.end(asked, outcome)
    assert page(story, {"posts": [post]}).verdict is Verdict.HELD


def test_a_like_that_goes_with_its_post_while_the_feed_is_made_is_no_damage() -> None:
    story = Story()
    post = story.upload("r-1")
    story.does("like", post, {"user": "bob"}, "r-2")
    story.begin("delete", post, {"user": "ann"}, "r-3", process="c2")
    assert page(story, {"posts": [post]}).verdict is Verdict.HELD


def test_no_page_shows_a_post_twice_not_even_a_degraded_one() -> None:
    story = Story()
    post = story.upload("r-1")
    assert page(story, {"posts": [post, post], "degraded": True}).verdict is Verdict.VIOLATED


def calls(*, seconds: float, rate: float, since: float, attempts: int = 1) -> list[Event]:
    """Acknowledged views at a rate (a second), each taking no time."""
    lines = []
    for n in range(int(seconds * rate)):
        t = since + n / rate
        for kind, value in ((Kind.INVOKE, None), (Kind.OK, {"attempts": attempts})):
            lines.append(
                Event(
                    n=0, t=t, process="c", type=kind, f="view", key="p", value=value, request=f"{since}-{n}"
                )
            )
    return lines


def numbered(*lines: Event) -> History:
    return history_of([replace(line, n=n) for n, line in enumerate(lines)])


def fault_at(t: float, *, until: float) -> list[Event]:
    struck = Event(n=0, t=t, process="nemesis", type=Kind.FAULT, f="kill", key="east")
    return [struck, replace(struck, t=until, type=Kind.HEAL)]


@pytest.mark.parametrize(
    ("rate", "verdict"), [(100.0, Verdict.HELD), (60.0, Verdict.HELD), (40.0, Verdict.VIOLATED)]
)
def test_the_same_load_is_carried_again_after_the_fault(rate: float, verdict: Verdict) -> None:
    after = 12.0 + RECOVERY_SECONDS
    history = numbered(
        *calls(seconds=10, rate=100.0, since=0.0),
        *fault_at(10.0, until=12.0),
        *calls(seconds=5, rate=rate, since=after),
    )
    evidence = replace(Story().evidence(), paced=Paced(begins=0.0, ends=after + 5))
    assert cascade(history, evidence).verdict is verdict
    assert cascade(history, replace(evidence, paced=None)).verdict is Verdict.HELD


def test_the_pause_of_a_planned_switch_is_not_load_that_was_lost() -> None:
    """It may follow the last healing at once: then recovery is looked at behind it."""
    soak = {"stage": "soak", "direction": "forward", "actions": [], "n": 9}
    switched = Event(n=0, t=17.0, process="coordinator", type=Kind.MOVE, f="soak", key=None, value=soak)
    after = 17.0 + RECOVERY_SECONDS
    evidence = replace(Story().evidence(), paced=Paced(begins=0.0, ends=after + 5))
    before = [*calls(seconds=10, rate=100.0, since=0.0), *fault_at(10.0, until=12.0)]
    for rate, verdict in ((80.0, Verdict.HELD), (40.0, Verdict.VIOLATED)):
        paused = numbered(*before, switched, *calls(seconds=5, rate=rate, since=after))
        assert cascade(paused, evidence).verdict is verdict


def cascade(history: History, evidence: Evidence) -> Finding:
    return REGISTRY["cascade"](history, evidence)


@pytest.mark.parametrize("too_little", ["before", "after"])
def test_too_little_load_shows_nothing_of_recovery(too_little: str) -> None:
    rate = (ACKNOWLEDGED_MIN - 1) / 10 if too_little == "before" else 100.0
    ends = 12.0 + RECOVERY_SECONDS + (5.0 if too_little == "before" else 0.5)
    history = numbered(
        *calls(seconds=10, rate=rate, since=0.0),
        *fault_at(10.0, until=12.0),
        *calls(seconds=5, rate=100.0, since=12.0 + RECOVERY_SECONDS),
    )
    evidence = replace(Story().evidence(), paced=Paced(begins=0.0, ends=ends))
    assert cascade(history, evidence).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("begins", "lasts", "asked"),
    [(0.0, WINDOW_SECONDS, True), (0.0, WINDOW_SECONDS - 0.1, False), (10.1 - WINDOW_SECONDS, 5.0, False)],
)
def test_recovery_is_asked_for_only_where_one_pace_was_kept_on_both_sides(
    begins: float, lasts: float, *, asked: bool
) -> None:
    healed = 12.0 + RECOVERY_SECONDS
    history = numbered(*calls(seconds=10, rate=100.0, since=0.0), *fault_at(10.0, until=12.0))
    paced = Paced(begins=begins, ends=healed + lasts)
    assert comparable(history, paced) == (paced if asked else None)
    assert comparable(numbered(*calls(seconds=20, rate=100.0, since=0.0)), paced) is None


@pytest.mark.parametrize(("more", "verdict"), [(0, Verdict.HELD), (1, Verdict.VIOLATED)])
def test_retries_without_a_budget_are_found(more: int, verdict: Verdict) -> None:
    attempts = int(ATTEMPTS_MAX) + more
    history = numbered(*calls(seconds=OPERATIONS_MIN / 100, rate=100.0, since=0.0, attempts=attempts))
    assert cascade(history, Story().evidence()).verdict is verdict


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, Verdict.VIOLATED),
        ({"converged_within": 10.0}, Verdict.INCONCLUSIVE),  # a fault has struck
        ({"converged_within": 10.0, "healed_at": 5.0}, Verdict.VIOLATED),
        ({"converged_within": 10.0, "healed_at": 5.0, "read_at": 14.9}, Verdict.INCONCLUSIVE),
        ({"converged_within": 10.0, "healed_at": 5.0, "read_at": 15.0}, Verdict.VIOLATED),
    ],
)
def test_sites_must_be_alike_once_a_core_is_healed_and_the_bound_is_over(
    changes: dict[str, object], verdict: Verdict
) -> None:
    tale = told()
    same = tale.story.evidence(**changes)
    assert tale.story.judged_by("converged", same).verdict is Verdict.HELD
    assert tale.story.judged_by("converged", changed_other(same, ledger={})).verdict is verdict


OPEN, LAPSED = Fence(state=FenceState.OPEN, lease_live=True), Fence(state=FenceState.OPEN)
CLOSED, ABSENT = Fence(state=FenceState.CLOSED), Fence(state=FenceState.ABSENT)


@pytest.mark.parametrize(
    ("serving", "other", "verdict"),
    [
        (OPEN, CLOSED, Verdict.HELD),
        (OPEN, LAPSED, Verdict.HELD),
        (OPEN, OPEN, Verdict.VIOLATED),
        (OPEN, ABSENT, Verdict.VIOLATED),
        (LAPSED, ABSENT, Verdict.VIOLATED),
        (ABSENT, CLOSED, Verdict.HELD),
        (ABSENT, ABSENT, Verdict.HELD),
        (None, OPEN, Verdict.HELD),
        (OPEN, None, Verdict.HELD),
    ],
)
def test_a_site_that_takes_writes_beside_the_one_that_serves_is_a_second_writer(
    serving: Fence | None, other: Fence | None, verdict: Verdict
) -> None:
    story = Story()
    story.upload("r-1")
    said = {site: fence for site, fence in (("east", serving), ("west", other)) if fence is not None}
    finding = story.judged_by("one_writer", replace(story.evidence(), fences=said))
    assert finding.verdict is verdict
    assert [one.site for one in finding.witnesses] == (["west"] if verdict is Verdict.VIOLATED else [])
