"""Answers that cannot be are found, and answers that may be are not blamed."""

import pytest

from drill.history import Outcome
from drill.verdict import Finding, Verdict
from resilience_tests.spec.checkers.story import Story, changed, digest, edited, post_id


def read(story: Story, f: str, key: str | None, answer: dict[str, object]) -> Finding:
    """Let a read answer `answer`, and judge it."""
    story.end(story.begin(f, key, None, "r-read"), Outcome.OK, answer)
    return story.judged_by("read_honesty")


def paged(story: Story, f: str, asked: dict[str, object] | None, answer: dict[str, object]) -> Finding:
    """Let bob read a page, and judge it."""
    story.end(story.begin(f, "bob" if f == "feed" else None, asked, "r-read"), Outcome.OK, answer)
    return story.judged_by("read_honesty")


def shown(**changes: object) -> dict[str, object]:
    text = {"title": "first", "caption": "a caption", "tags": ["one", "two"]}
    return {**text, "views": 1, "likes": 1, "sha256": digest(b"r-1"), **changes}


def liked_and_viewed() -> tuple[Story, str]:
    story = Story()
    post = story.upload("r-1")
    story.does("like", post, {"user": "bob"}, "r-2")
    story.does("view", post, {"user": "bob"}, "r-3")
    return story, post


@pytest.mark.parametrize(
    "answer",
    [
        shown(views=0),
        shown(likes=0),
        shown(views=2),
        shown(likes=2),
        shown(sha256=digest(b"other")),
        shown(size=4),
        shown(audio="silence"),
        shown(title="made up"),
        {"found": False},
    ],
    ids=[
        "no views",
        "no likes",
        "too many views",
        "too many likes",
        "other bytes",
        "other size",
        "other sound",
        "made-up title",
        "not found",
    ],
)
def test_a_get_that_shows_what_cannot_be_is_found(answer: dict[str, object]) -> None:
    story, post = liked_and_viewed()
    assert read(story, "get", post, answer).verdict is Verdict.VIOLATED


def test_a_get_that_shows_what_is_holds() -> None:
    story, post = liked_and_viewed()
    assert read(story, "get", post, shown()).verdict is Verdict.HELD


@pytest.mark.parametrize("answer", [shown(views=0, state="stale"), shown(views=None, likes=None)])
def test_a_get_that_says_that_it_does_not_know_is_honest(answer: dict[str, object]) -> None:
    story, post = liked_and_viewed()
    assert read(story, "get", post, answer).verdict is Verdict.HELD


@pytest.mark.parametrize("answer", [shown(views=9, state="stale"), shown(title="made up", state="stale")])
def test_a_stale_get_may_show_less_and_may_not_make_anything_up(answer: dict[str, object]) -> None:
    story, post = liked_and_viewed()
    assert read(story, "get", post, answer).verdict is Verdict.VIOLATED


def test_a_refused_view_may_not_show() -> None:
    story, post = liked_and_viewed()
    story.end(story.begin("view", post, {"user": "eve"}, "r-8"), Outcome.FAILED, {"status": 400})
    assert read(story, "get", post, shown(views=2)).verdict is Verdict.VIOLATED


def test_a_get_that_shows_a_post_that_nobody_uploaded_is_found() -> None:
    story, _ = liked_and_viewed()
    assert read(story, "get", "p-made-up", {"views": 0}).verdict is Verdict.VIOLATED


def test_a_get_that_shows_a_deleted_post_is_found() -> None:
    story, post = liked_and_viewed()
    story.does("delete", post, {"user": "ann"}, "r-8")
    assert read(story, "get", post, shown()).verdict is Verdict.VIOLATED


def test_a_get_answered_404_for_an_acknowledged_post_is_found() -> None:
    story, post = liked_and_viewed()
    story.end(story.begin("get", post, None, "r-9"), Outcome.FAILED, {"status": 404})
    assert story.judged_by("read_honesty").verdict is Verdict.VIOLATED


def test_a_get_refused_for_another_reason_says_nothing_about_the_post() -> None:
    story, post = liked_and_viewed()
    story.end(story.begin("get", post, None, "r-9"), Outcome.FAILED, {"status": 503})
    assert story.judged_by("read_honesty").verdict is Verdict.HELD


def test_a_get_that_overlaps_a_delete_may_find_nothing() -> None:
    story, post = liked_and_viewed()
    asked = story.begin("get", post, None, "r-9", process="c2")
    story.does("delete", post, {"user": "ann"}, "r-8")
    story.end(asked, Outcome.FAILED, {"status": 404})
    assert story.judged_by("read_honesty").verdict is Verdict.HELD


def test_a_get_that_began_before_a_view_was_acknowledged_need_not_show_it() -> None:
    story, post = liked_and_viewed()
    asked = story.begin("get", post, None, "r-9", process="c2")
    story.does("view", post, {"user": "eve"}, "r-8")
    story.end(asked, Outcome.OK, shown(views=1))
    assert story.judged_by("read_honesty").verdict is Verdict.HELD


def test_a_get_that_shows_a_text_after_a_later_one_was_acknowledged_is_found() -> None:
    story, post = liked_and_viewed()
    story.does("edit", post, edited("second"), "r-4")
    assert read(story, "get", post, shown()).verdict is Verdict.VIOLATED


def test_a_get_that_overlaps_an_edit_may_show_the_text_before_it() -> None:
    story, post = liked_and_viewed()
    asked = story.begin("get", post, None, "r-9", process="c2")
    story.does("edit", post, edited("second"), "r-4")
    story.end(asked, Outcome.OK, shown())
    assert story.judged_by("read_honesty").verdict is Verdict.HELD


def test_a_list_that_shows_a_post_before_it_was_sent_is_found() -> None:
    story, _ = liked_and_viewed()
    assert read(story, "list", None, {"posts": [post_id("r-9")]}).verdict is Verdict.VIOLATED
    story.upload("r-9")
    assert story.judged_by("read_honesty").verdict is Verdict.VIOLATED


def test_a_relieved_site_that_answers_in_its_old_epoch_is_not_taken_at_its_word() -> None:
    story, post = liked_and_viewed()
    story.platform.cut_over()
    story.does("view", post, {"user": "eve"}, "r-8")
    story.platform.site, story.platform.epoch = "east", 1
    assert read(story, "get", post, shown(views=1)).verdict is Verdict.HELD


@pytest.mark.parametrize(("site", "verdict"), [("east", Verdict.HELD), ("west", Verdict.VIOLATED)])
def test_a_404_without_an_epoch_counts_only_from_the_site_in_office(site: str, verdict: Verdict) -> None:
    story, post = liked_and_viewed()
    story.platform.cut_over()
    story.does("view", post, {"user": "eve"}, "r-8")
    asked = story.begin("get", post, None, "r-9")
    story.lines.append(story.writer.complete(asked, Outcome.FAILED, value={"status": 404}, site=site))
    assert story.judged_by("read_honesty").verdict is verdict


@pytest.mark.parametrize("f", ["list", "feed"])
def test_a_list_that_repeats_or_makes_up_a_post_is_found(f: str) -> None:
    for posts in ([post_id("r-1")] * 2, ["p-made-up"]):
        story, _ = liked_and_viewed()
        assert read(story, f, None, {"posts": posts}).verdict is Verdict.VIOLATED


def test_a_list_that_shows_a_deleted_post_is_found() -> None:
    story, post = liked_and_viewed()
    story.does("delete", post, {"user": "ann"}, "r-8")
    assert read(story, "list", None, {"posts": [post]}).verdict is Verdict.VIOLATED


def test_a_feed_that_says_that_it_is_degraded_may_repeat_itself() -> None:
    story, post = liked_and_viewed()
    answer = {"posts": [post, post], "degraded": True}
    assert read(story, "feed", "bob", answer).verdict is Verdict.HELD


def test_a_get_that_shows_an_edit_before_it_was_sent_is_found() -> None:
    story, post = liked_and_viewed()
    story.does("edit", post, edited("second"), "r-4")
    assert read(story, "get", post, shown(**edited("third"))).verdict is Verdict.VIOLATED
    story.does("edit", post, edited("third"), "r-5")
    assert story.judged_by("read_honesty").verdict is Verdict.VIOLATED


def test_views_count_from_their_acknowledgements_whichever_was_sent_first() -> None:
    story, post = liked_and_viewed()
    slow = story.begin("view", post, {"user": "eve"}, "r-8", process="c2")
    story.does("view", post, {"user": "ann"}, "r-9")
    finding = read(story, "get", post, shown(views=1))
    story.end(slow, Outcome.OK, {})
    assert finding.verdict is story.judged_by("read_honesty").verdict is Verdict.VIOLATED


def test_a_like_that_is_sent_twice_counts_from_its_first_acknowledgement() -> None:
    story, post = liked_and_viewed()
    slow = story.begin("like", post, {"user": "eve"}, "r-8", process="c2")
    story.does("like", post, {"user": "eve"}, "r-9")
    read(story, "get", post, shown(likes=1))
    story.end(slow, Outcome.OK, {})
    assert story.judged_by("read_honesty").verdict is Verdict.VIOLATED


def test_a_site_is_relieved_by_the_first_answer_of_the_next_epoch_whichever_was_sent_first() -> None:
    story, post = liked_and_viewed()
    slow = story.begin("view", post, {"user": "eve"}, "r-7", process="c2")
    story.platform.cut_over()
    story.does("view", post, {"user": "ann"}, "r-8")
    asked = story.begin("get", post, None, "r-9")
    old = story.writer.complete(asked, Outcome.OK, value=shown(views=1), site="east", epoch=1)
    story.lines.append(old)
    story.end(slow, Outcome.OK, {})
    assert story.judged_by("read_honesty").verdict is Verdict.HELD


def two_posts() -> tuple[Story, str, str]:
    story = Story()
    return story, story.upload("r-1"), story.upload("r-2")


ROOM: list[tuple[str, dict[str, object], str]] = [
    ("list", {"page": 50}, "posts"),
    ("feed", {"page": 20, "of": 100}, "posts"),
    ("queue", {"page": 1_000}, "waiting"),
]


@pytest.mark.parametrize(("f", "asked", "field"), ROOM)
@pytest.mark.parametrize("shows", [0, 1])
def test_a_page_with_room_that_leaves_out_what_was_acknowledged_is_made_up(
    f: str, asked: dict[str, object], field: str, shows: int
) -> None:
    story, first, second = two_posts()
    finding = paged(story, f, asked, {field: [first, second][:shows]})
    assert finding.verdict is Verdict.VIOLATED
    assert f"leaves out {[first, second][shows]}" in finding.witnesses[0].what


@pytest.mark.parametrize(("f", "asked", "field"), ROOM)
@pytest.mark.parametrize("mark", [{"state": "stale"}, {"state": "unknown"}, {"degraded": True}])
def test_a_page_that_does_not_call_itself_whole_may_leave_out_anything(
    f: str, asked: dict[str, object], field: str, mark: dict[str, object]
) -> None:
    story, *_ = two_posts()
    assert paged(story, f, asked, {field: [], **mark}).verdict is Verdict.HELD


@pytest.mark.parametrize(("f", "asked", "field"), ROOM)
def test_a_page_may_leave_out_what_is_being_deleted_or_was_not_acknowledged_when_it_was_asked_for(
    f: str, asked: dict[str, object], field: str
) -> None:
    story, first, second = two_posts()
    story.begin("delete", first, {"user": "ann"}, "r-3")
    page = story.begin(f, "bob" if f == "feed" else None, asked, "r-read")
    story.upload("r-4")
    story.end(page, Outcome.OK, {field: [second]})
    assert story.judged_by("read_honesty").verdict is Verdict.HELD


@pytest.mark.parametrize(("f", "field"), [("list", "posts"), ("feed", "posts"), ("queue", "done")])
def test_a_full_page_and_one_of_unknown_length_leave_out_the_rest(f: str, field: str) -> None:
    story, first, _ = two_posts()
    assert paged(story, f, {"page": 1}, {field: [first]}).verdict is Verdict.HELD
    story, *_ = two_posts()
    assert paged(story, f, None, {field: []}).verdict is Verdict.HELD


def test_a_feed_leaves_out_ones_own_posts_and_those_that_are_liked_and_older_ones() -> None:
    story, first, second = two_posts()
    story.begin("like", first, {"user": "bob"}, "r-3")
    assert paged(story, "feed", {"page": 20, "of": 100}, {"posts": [second]}).verdict is Verdict.HELD
    story.end(story.begin("feed", "ann", {"page": 20, "of": 100}, "r-4"), Outcome.OK, {"posts": []})
    assert story.judged_by("read_honesty").verdict is Verdict.HELD
    story, *_ = two_posts()
    assert paged(story, "feed", {"page": 20, "of": 1}, {"posts": []}).verdict is Verdict.HELD


def test_nothing_is_said_of_a_queue_while_entries_of_it_are_held_back() -> None:
    story, *_ = two_posts()
    story.end(story.begin("queue", None, {"page": 9}, "r-read"), Outcome.OK, {"waiting": []})
    found = changed(story.evidence(), hidden={"queue": {"1": "a constraint refused it"}})
    assert story.judged_by("read_honesty", found).verdict is Verdict.HELD
