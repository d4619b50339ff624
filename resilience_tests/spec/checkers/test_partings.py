"""What two sites may do to one promise: accept at once, strand a tail, keep the loser of a conflict."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

import pytest

from drill.checkers import Announced, Evidence, judge
from drill.history import Outcome
from drill.stores import SiteStores
from drill.verdict import Verdict
from resilience_tests.spec.checkers.damage import lost_post, serving_of
from resilience_tests.spec.checkers.story import (
    Story,
    changed,
    edited,
    post_id,
    session_token,
    told,
    uploaded,
)

Tail = Callable[[Story, str], None]


def an_upload(story: Story, post: str) -> None:
    story.upload("r-tail")


def an_edit(story: Story, post: str) -> None:
    story.does("edit", post, edited("second"), "r-tail")


def a_delete(story: Story, post: str) -> None:
    story.does("delete", post, {"user": "ann"}, "r-tail")


def a_like(story: Story, post: str) -> None:
    story.does("like", post, {"user": "bob"}, "r-tail")


def a_view(story: Story, post: str) -> None:
    story.does("view", post, {"user": "bob"}, "r-tail")


def a_comment(story: Story, post: str) -> None:
    story.does("comment", post, {"user": "bob", "body": "nice"}, "r-tail")


def an_earning(story: Story, post: str) -> None:
    story.does("earn", "ann", {"account": "ann", "cents": 250}, "r-tail")


def a_log_in(story: Story, post: str) -> None:
    story.does("log_in", "ann", None, "r-tail")


def a_distribution(story: Story, post: str) -> None:
    story.platform.distribute()
    story.does("queue", None, None, "r-tail")


TAILS: list[tuple[Tail, str, str]] = [
    (an_upload, "stranded_posts", "acknowledged"),
    (an_edit, "stranded_edits", "acknowledged"),
    (a_delete, "stranded_posts", "acknowledged"),
    (a_like, "stranded_post_likes", "counters"),
    (a_view, "stranded_views", "counters"),
    (a_comment, "stranded_comments", "acknowledged"),
    (an_earning, "stranded_ledger", "ledger"),
    (a_log_in, "stranded_sessions", "sessions"),
    (a_distribution, "stranded_queue", "queue"),
]


def parted(*tails: Tail) -> tuple[Story, str]:
    """East dies with a tail that it had not sent; west takes over, and a user goes on there."""
    story = Story()
    post = story.upload("r-1")
    sent = deepcopy(story.platform)
    for tail in tails:
        tail(story, post)
    story.platform = sent
    sent.ids += 100
    sent.cut_over()
    story.upload("r-2")
    return story, post


def away(story: Story, announced: Announced | None) -> Evidence:
    return story.evidence(other=None, announced=announced)


def left_with(*tails: Tail) -> SiteStores:
    """What lies at east when it is back: what it had before it was left, and these."""
    story = Story()
    post = story.upload("r-1")
    for tail in tails:
        tail(story, post)
    return replace(serving_of(story.evidence()), site="east")


EAST = Announced(site="east", transactions=1, epoch=1)


@pytest.mark.parametrize(("tail", "count", "part"), TAILS, ids=[tail.__name__ for tail, _, _ in TAILS])
def test_a_tail_that_was_announced_is_stranded_and_not_lost(tail: Tail, count: str, part: str) -> None:
    story, _ = parted(tail)
    for checker in {"acknowledged", part}:
        finding = story.judged_by(checker, away(story, EAST))
        assert finding.verdict is Verdict.INCONCLUSIVE, finding
        assert finding.counts[count] == 1


@pytest.mark.parametrize("tail", [tail for tail, _, _ in TAILS])
@pytest.mark.parametrize(
    "announced",
    [
        None,
        replace(EAST, transactions=0),
        replace(EAST, epoch=0),
        replace(EAST, site="west"),
    ],
    ids=["nothing announced", "more than announced", "under a newer epoch", "of another site"],
)
def test_a_tail_that_the_bound_does_not_cover_is_lost(tail: Tail, announced: Announced | None) -> None:
    story, _ = parted(tail)
    assert story.judged_by("acknowledged", away(story, announced)).verdict is Verdict.VIOLATED


def test_of_a_tail_longer_than_announced_the_oldest_is_lost() -> None:
    story, _ = parted(a_like, a_view)
    finding = story.judged_by("acknowledged", away(story, EAST))
    assert finding.verdict is Verdict.VIOLATED
    assert (finding.counts["lost_post_likes"], finding.counts["stranded_views"]) == (1, 1)
    assert "more is missing than was announced" in finding.witnesses[0].what


def test_what_is_older_than_the_announced_seconds_is_lost() -> None:
    story, _ = parted(an_earning, a_view)
    in_time = replace(EAST, transactions=None, seconds=1.0)
    assert story.judged_by("acknowledged", away(story, in_time)).verdict is Verdict.INCONCLUSIVE
    finding = story.judged_by("acknowledged", away(story, replace(in_time, seconds=0.001)))
    assert (finding.counts["lost_ledger"], finding.counts["lost_cents"]) == (1, 250)
    assert finding.counts["stranded_views"] == 1


def test_a_site_that_came_home_has_nothing_stranded() -> None:
    story, _ = parted(an_upload)
    finding = story.judged_by("acknowledged", story.evidence(announced=EAST))
    assert (finding.verdict, finding.counts["lost_posts"]) == (Verdict.VIOLATED, 1)


@pytest.mark.parametrize(("tail", "count", "part"), TAILS, ids=[tail.__name__ for tail, _, _ in TAILS])
def test_a_tail_that_nobody_has_listed_yet_is_stranded_while_it_is_there(
    tail: Tail, count: str, part: str
) -> None:
    """The survivor died before it could: the drill ends in `parted`, and the site that was left is up."""
    story, _ = parted(tail)
    unlisted = story.evidence(announced=EAST, stage="parted", other=left_with(tail))
    for checker in {"acknowledged", part}:
        finding = story.judged_by(checker, unlisted)
        assert finding.verdict is Verdict.INCONCLUSIVE, finding
        assert finding.counts[count] == 1


@pytest.mark.parametrize("tail", [tail for tail, _, _ in TAILS])
def test_a_tail_that_is_at_neither_site_is_lost(tail: Tail) -> None:
    story, _ = parted(tail)
    forgotten = story.evidence(announced=EAST, stage="parted", other=left_with())
    finding = story.judged_by("acknowledged", forgotten)
    assert finding.verdict is Verdict.VIOLATED, finding
    assert "nor at east" in finding.witnesses[0].what


@pytest.mark.parametrize(("tail", "count", "part"), TAILS, ids=[tail.__name__ for tail, _, _ in TAILS])
def test_a_tail_is_looked_for_on_the_disk_of_a_site_that_stays_away(
    tail: Tail, count: str, part: str
) -> None:
    story, _ = parted(tail)
    found = replace(away(story, EAST), remains=left_with(tail))
    for checker in {"acknowledged", part}:
        finding = story.judged_by(checker, found)
        assert (finding.verdict, finding.counts[count]) == (Verdict.INCONCLUSIVE, 1), finding
        assert finding.stranded
    forgotten = replace(found, remains=left_with())
    finding = story.judged_by("acknowledged", forgotten)
    assert finding.verdict is Verdict.VIOLATED, finding
    assert "nor at east" in finding.witnesses[0].what


def test_a_post_that_is_not_on_the_disk_of_the_dead_site_either_is_a_ghost() -> None:
    story, _ = parted(an_upload)
    found = replace(away(story, EAST), remains=left_with(an_upload))
    assert story.judged_by("no_ghosts", found).stranded
    forgotten = replace(found, remains=left_with())
    assert story.judged_by("no_ghosts", forgotten).counts["ghosts"] == 1


def test_a_view_that_the_survivor_counted_is_not_looked_for_at_the_site_that_was_left() -> None:
    story, post = parted(a_view)
    story.does("view", post, None, "r-3")
    found = replace(away(story, EAST), remains=left_with(a_view))
    assert (serving_of(found).posts[post].views, left_with(a_view).posts[post].views) == (1, 1)
    assert story.judged_by("counters", found).stranded
    assert story.judged_by("counters", replace(found, remains=left_with())).counts["lost_views"] == 1


def test_a_doubt_beside_a_stranded_tail_is_a_doubt() -> None:
    story, _ = parted(an_earning)
    late = replace(away(story, EAST), read_at=0.0)
    finding = story.judged_by("acknowledged", late)
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert not finding.stranded


def test_an_unanswered_tail_is_neither_stranded_nor_lost() -> None:
    story = Story()
    story.upload("r-1")
    for outcome in (Outcome.UNKNOWN, None):
        asked = story.begin("earn", "ann", {"account": "ann", "cents": 5}, f"r-{outcome}")
        if outcome is not None:
            story.end(asked, outcome)
    story.platform.cut_over()
    story.upload("r-2")
    finding = story.judged_by("acknowledged", away(story, EAST))
    assert finding.verdict is Verdict.HELD, finding


@pytest.mark.parametrize("tail", [tail for tail, _, _ in TAILS])
def test_no_other_checker_takes_a_stranded_tail_for_damage(tail: Tail) -> None:
    story, post = parted(tail)
    story.does("get", post, None, "r-10")
    story.does("get", post_id("r-tail"), None, "r-11")
    story.does("list", None, None, "r-12")
    story.does("feed", "bob", None, "r-13")
    story.does("queue", None, None, "r-14")
    findings = judge(story.history(), away(story, EAST))
    assert Verdict.VIOLATED not in {finding.verdict for finding in findings}, findings


def test_a_site_that_stays_away_leaves_a_core_that_is_like_itself() -> None:
    story, _ = parted(an_upload)
    assert story.judged_by("converged", away(story, EAST)).verdict is Verdict.HELD
    assert story.judged_by("converged", away(story, None)).verdict is Verdict.INCONCLUSIVE


def test_nothing_comes_from_a_serving_site_that_stayed_away_with_nobody_promoted() -> None:
    story, _ = parted(an_upload)
    behind = story.evidence(stage="soak", other=left_with())
    assert story.judged_by("converged", behind).verdict is Verdict.VIOLATED
    dead = replace(behind, serving_is_up=False)
    assert story.judged_by("converged", dead).verdict is Verdict.INCONCLUSIVE


def test_an_object_that_came_ahead_of_its_row_is_no_orphan_where_the_row_cannot_come() -> None:
    story, _ = parted(an_upload)
    whole = story.evidence(stage="soak")
    assert whole.other is not None
    ahead = replace(whole, other=replace(whole.other, posts={}))
    assert story.judged_by("attached", ahead).verdict is Verdict.VIOLATED
    assert story.judged_by("attached", replace(ahead, serving_is_up=False)).verdict is Verdict.HELD


def test_what_the_survivor_acknowledged_is_never_stranded() -> None:
    story, _ = parted(a_like)
    found = away(story, replace(EAST, transactions=9))
    lost = changed(found, posts={})
    assert story.judged_by("acknowledged", lost).counts["lost_posts"] == 1
    assert story.judged_by("no_ghosts", lost).counts["ghosts"] == 1


def test_what_the_survivor_showed_is_no_stranded_post_when_it_is_gone() -> None:
    story, _ = parted()
    asked = story.begin("upload", post_id("r-9"), uploaded("r-9"), "r-9")
    story.platform.apply(asked)
    story.end(asked, Outcome.UNKNOWN)
    story.does("list", None, None, "r-10")
    found = away(story, EAST)
    posts = {key: row for key, row in serving_of(found).posts.items() if key != post_id("r-9")}
    assert story.judged_by("no_ghosts", changed(found, posts=posts)).verdict is Verdict.VIOLATED


def test_a_delete_that_the_survivor_acknowledged_too_is_not_stranded() -> None:
    story, post = parted(a_delete)
    kept = deepcopy(story.platform)
    story.does("delete", post, {"user": "ann"}, "r-3")
    story.platform = kept
    finding = story.judged_by("acknowledged", away(story, EAST))
    assert (finding.verdict, finding.counts["returned_posts"]) == (Verdict.VIOLATED, 1)


def test_a_like_that_the_survivor_acknowledged_too_is_not_stranded() -> None:
    story = Story()
    post = story.upload("r-1")
    kept = deepcopy(story.platform)
    early = story.begin("like", post, {"user": "bob"}, "r-2", process="c2")
    a_like(story, post)
    story.platform = kept
    kept.cut_over()
    story.answer(early)
    kept.likes.clear()
    kept.posts[post] = replace(kept.posts[post], likes=0)
    assert story.judged_by("acknowledged", away(story, EAST)).counts["lost_post_likes"] == 1


def test_a_text_older_than_what_the_survivor_acknowledged_is_wrong() -> None:
    story, post = parted(an_edit)
    kept = deepcopy(story.platform)
    story.does("edit", post, edited("third"), "r-3")
    assert story.judged_by("acknowledged", away(story, EAST)).verdict is Verdict.HELD
    story.platform = kept
    assert story.judged_by("acknowledged", away(story, EAST)).counts["wrong_posts"] == 1


def test_a_text_that_nobody_sent_is_wrong_though_its_upload_was_never_answered() -> None:
    story = Story()
    asked = story.begin("upload", post_id("r-1"), uploaded("r-1"), "r-1")
    story.platform.apply(asked)
    story.end(asked, Outcome.UNKNOWN)
    story.upload("r-2")
    found = story.evidence()
    assert story.judged_by("acknowledged", found).verdict is Verdict.HELD
    row = replace(serving_of(found).posts[post_id("r-1")], title="made up")
    found = changed(found, posts={**serving_of(found).posts, row.id: row})
    assert story.judged_by("acknowledged", found).counts["wrong_posts"] == 1


def test_a_stranded_session_may_be_refused_and_one_of_a_relieved_sites_answers_proves_nothing() -> None:
    story, _ = parted(a_log_in)
    asked = story.begin("session", "ann", {"token": session_token("r-tail")}, "r-3")
    story.lines.append(
        story.writer.complete(asked, Outcome.FAILED, value={"status": 404}, site="west", epoch=2)
    )
    assert story.judged_by("sessions", away(story, EAST)).verdict is Verdict.INCONCLUSIVE
    story.does("log_in", "bob", None, "r-4")
    asked = story.begin("session", "bob", {"token": session_token("r-4")}, "r-5")
    story.lines.append(
        story.writer.complete(asked, Outcome.FAILED, value={"status": 404}, site="east", epoch=1)
    )
    assert "refused_sessions" not in story.judged_by("sessions", away(story, EAST)).counts


def test_reads_at_the_survivor_are_not_excused_beyond_what_was_announced() -> None:
    story, post = parted(a_view)
    story.does("get", post, None, "r-10")
    assert story.judged_by("read_honesty", away(story, EAST)).verdict is Verdict.HELD
    assert story.judged_by("counters", away(story, None)).verdict is Verdict.VIOLATED
    assert story.judged_by("read_honesty", away(story, None)).verdict is Verdict.VIOLATED


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.UNKNOWN])
def test_a_post_that_only_the_dead_site_had_is_no_ghost(outcome: Outcome) -> None:
    def seen_there(story: Story, post: str) -> None:
        asked = story.begin("upload", post_id("r-9"), uploaded("r-9"), "r-9")
        story.platform.apply(asked)
        story.end(asked, outcome)
        story.does("list", None, None, "r-10")

    story, _ = parted(seen_there)
    assert story.judged_by("no_ghosts", away(story, EAST)).verdict is Verdict.INCONCLUSIVE
    assert story.judged_by("no_ghosts", away(story, None)).verdict is Verdict.VIOLATED


def test_bytes_that_were_copied_ahead_of_a_stranded_row_are_no_orphan() -> None:
    story, _ = parted(an_upload)
    story.platform.put_object(uploaded("r-tail"))
    assert story.judged_by("attached", away(story, EAST)).verdict is Verdict.HELD
    assert story.judged_by("attached", away(story, None)).verdict is Verdict.VIOLATED


def test_what_was_acknowledged_after_the_stores_were_read_was_never_read() -> None:
    tale = told()
    finding = tale.story.judged_by(
        "acknowledged", replace(lost_post(tale, tale.story.evidence()), read_at=0.035)
    )
    assert finding.counts["lost_posts"] == 0
    assert finding.counts["never_read"] >= 1


def test_a_delete_that_lost_to_a_concurrent_edit_is_hidden() -> None:
    story = Story()
    post = story.upload("r-1")
    kept = deepcopy(story.platform)
    story.does("delete", post, {"user": "ann"}, "r-2")
    story.platform = kept
    story.platform.cut_over()
    story.does("edit", post, edited("second"), "r-3")
    story.does("get", post, None, "r-4")
    story.does("list", None, None, "r-5")
    found = story.evidence()
    assert story.judged_by("read_honesty", found).verdict is Verdict.VIOLATED
    assert story.judged_by("acknowledged", found).counts["returned_posts"] == 1
    found = changed(found, hidden={"posts": {post: "an edit beat its delete"}})
    finding = story.judged_by("acknowledged", found)
    assert (finding.verdict, finding.counts["hidden_deletes"]) == (Verdict.INCONCLUSIVE, 1)
    expected = story.judged_by("acknowledged", replace(found, conflicts_expected=True))
    assert (expected.verdict, expected.counts["hidden_deletes"]) == (Verdict.HELD, 1)
    assert story.judged_by("read_honesty", found).verdict is Verdict.HELD


def test_an_edit_that_lost_to_an_older_one_in_a_merge_is_hidden() -> None:
    story = Story()
    post = story.upload("r-1")
    story.does("edit", post, edited("second"), "r-2")
    merged = deepcopy(story.platform)
    story.platform.cut_over()
    story.does("edit", post, edited("third"), "r-3")
    story.platform = merged
    merged.cut_over()
    story.does("get", post, None, "r-4")
    found = story.evidence()
    assert story.judged_by("acknowledged", found).verdict is Verdict.VIOLATED
    assert story.judged_by("read_honesty", found).verdict is Verdict.VIOLATED
    found = changed(found, hidden={"posts": {post: "both sites changed it"}})
    assert story.judged_by("acknowledged", found).counts["hidden_posts"] == 1
    assert story.judged_by("read_honesty", found).verdict is Verdict.HELD


def test_a_conflict_that_was_expected_excuses_nothing_that_is_not_in_quarantine() -> None:
    tale = told()
    found = replace(tale.story.evidence(), conflicts_expected=True)
    for checker in ("acknowledged", "no_ghosts"):
        assert tale.story.judged_by(checker, lost_post(tale, found)).verdict is Verdict.VIOLATED
    hidden = changed(lost_post(tale, found), hidden={"posts": {tale.post: "both sides changed it"}})
    finding = tale.story.judged_by("no_ghosts", hidden)
    assert (finding.verdict, finding.counts["hidden"]) == (Verdict.HELD, 1)


def answered_by(story: Story, site: str, epoch: int | None, key: str = "p") -> None:
    asked = story.begin("like", key, {"user": "bob"}, f"r-{len(story.lines)}")
    story.lines.append(story.writer.complete(asked, Outcome.OK, site=site, epoch=epoch))


@pytest.mark.parametrize(
    ("answers", "late"),
    [
        ([("east", 1), ("west", 2), ("west", 2)], 0),
        ([("east", 1), ("west", 2), ("east", 3)], 0),
        ([("east", None), ("east", 1), ("east", None), ("west", 2)], 0),
        ([("east", 1), ("west", 2), ("west", None)], 0),
        ([("east", 1), ("west", 2), ("east", 1)], 1),
        ([("east", 1), ("west", 2), ("east", 1), ("west", 2), ("east", 1)], 2),
        ([("east", 1), ("west", 1)], 1),
        ([("east", 1), ("west", 2), ("east", None)], 1),
        ([("east", 1), ("west", None)], 1),
    ],
)
def test_a_site_that_accepts_after_another_had_taken_over_is_a_split_brain(
    answers: list[tuple[str, int | None]], late: int
) -> None:
    story = Story()
    for site, epoch in answers:
        answered_by(story, site, epoch)
    finding = story.judged_by("split_brain")
    assert finding.counts["accepted_elsewhere"] == late, finding
    assert finding.verdict is (Verdict.VIOLATED if late else Verdict.HELD)


def test_a_split_brain_names_the_keys_that_both_sites_accepted() -> None:
    story = Story()
    for site, epoch, key in (("east", 1, "a"), ("west", 2, "b"), ("east", 1, "b"), ("east", 1, "c")):
        answered_by(story, site, epoch, key)
    finding = story.judged_by("split_brain")
    assert finding.counts == {"accepted_elsewhere": 2, "keys_at_two_sites": 1}
    assert "both accepted writes of b" in finding.witnesses[0].what
    assert "both accepted" not in finding.witnesses[1].what


def test_a_split_brain_stays_one_when_everything_was_merged_later() -> None:
    story = Story()
    post = story.upload("r-1")
    story.platform.cut_over()
    story.does("view", post, {"user": "bob"}, "r-2")
    story.platform.cut_over()
    story.platform.epoch = 1
    story.does("view", post, {"user": "eve"}, "r-3")
    assert serving_of(story.evidence()).posts[post].views == 2
    assert story.judged_by("acknowledged").verdict is Verdict.HELD
    assert story.judged_by("split_brain").verdict is Verdict.VIOLATED


def test_an_answer_that_was_on_its_way_while_another_site_took_over_is_no_split_brain() -> None:
    story = Story()
    there = story.begin("like", "p", {"user": "dan"}, "r-3", process="c4")
    asked = story.begin("like", "p", {"user": "bob"}, "r-1", process="c2")
    story.begin("like", "p", {"user": "eve"}, "r-0", process="c3")  # open for ever
    story.lines.append(story.writer.complete(there, Outcome.OK, site="west", epoch=2))
    story.lines.append(story.writer.complete(asked, Outcome.OK, site="east", epoch=1))
    unknown = story.begin("like", "p", {"user": "cat"}, "r-2")
    story.lines.append(story.writer.complete(unknown, Outcome.UNKNOWN, site="east", epoch=1))
    assert story.judged_by("split_brain").verdict is Verdict.HELD
