"""Each kind of damage, planted by itself, is found by the checker meant for it."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from drill.checkers import Evidence, Scheduled
from drill.checkers.evidence import ContentFile
from drill.history import Outcome
from drill.stores import ObjectFacts
from drill.verdict import Verdict
from resilience_tests.spec.checkers.damage import (
    LOSSES,
    Damage,
    comment_of,
    entry_of,
    lost_comment,
    lost_earning,
    lost_post,
    serving_of,
)
from resilience_tests.spec.checkers.story import (
    Story,
    changed,
    changed_other,
    digest,
    edited,
    post_id,
    told,
    uploaded,
)


@pytest.mark.parametrize(("damage", "count"), LOSSES, ids=[damage.__name__ for damage, _ in LOSSES])
def test_damage_to_an_acknowledged_write_is_found_and_counted(damage: Damage, count: str) -> None:
    tale = told()
    finding = tale.story.judged_by("acknowledged", damage(tale, tale.story.evidence()))
    assert finding.verdict is Verdict.VIOLATED
    assert finding.counts[count] >= 1, finding


def test_a_lost_acknowledgement_names_who_holds_it_and_since_when() -> None:
    tale = told()
    finding = tale.story.judged_by("acknowledged", lost_post(tale, tale.story.evidence()))
    witness = finding.witnesses[0]
    assert (witness.key, witness.by, witness.site, witness.acknowledged_at) == (tale.post, "c1", "east", 0.04)
    assert "is lost: it is not at west" in witness.what


def test_cents_that_are_lost_are_counted_as_cents() -> None:
    tale = told()
    finding = tale.story.judged_by("acknowledged", lost_earning(tale, tale.story.evidence()))
    assert finding.counts["lost_cents"] == 250


def test_a_refused_upload_that_is_there_all_the_same_is_unexpected() -> None:
    story = Story()
    story.upload("r-1")
    asked = story.begin("upload", post_id("r-2"), uploaded("r-2"), "r-2")
    story.platform.apply(asked)
    story.end(asked, Outcome.FAILED)
    finding = story.judged_by("acknowledged")
    assert finding.counts["unexpected_posts"] == 1


def test_a_post_that_was_distributed_does_not_wait_again() -> None:
    story = Story()
    post = story.upload("r-1")
    story.platform.distribute()
    story.does("queue", None, None, "r-2")
    found = story.evidence()
    assert story.judged_by("acknowledged", found).verdict is Verdict.HELD
    entry = next(iter(serving_of(found).queue.values()))
    finding = story.judged_by(
        "acknowledged", changed(found, queue={entry.id: replace(entry, state="waiting")})
    )
    assert (finding.counts["returned_queue"], finding.witnesses[0].key) == (1, post)


def test_what_was_there_before_the_drill_is_nobodys_fault() -> None:
    older = Story()
    post = older.upload("r-0")
    older.does("like", post, {"user": "bob"}, "r-l")
    older.does("view", post, {"user": "bob"}, "r-v")
    before = older.platform.stores("east")
    story = Story()
    story.platform = older.platform
    story.does("view", post, {"user": "bob"}, "r-1")
    story.does("get", post, None, "r-2")
    for checker in ("acknowledged", "attached", "no_ghosts", "read_honesty"):
        finding = story.judged_by(checker, story.evidence(before=before))
        assert finding.verdict is Verdict.HELD, finding


def test_a_drill_without_one_acknowledged_write_shows_nothing() -> None:
    assert Story().judged_by("acknowledged").verdict is Verdict.INCONCLUSIVE


def test_an_unknown_edit_may_stand_last_or_not() -> None:
    for arrives in (True, False):
        story = Story()
        post = story.upload("r-1")
        asked = story.begin("edit", post, edited("maybe"), "r-2")
        story.end(asked, Outcome.UNKNOWN)
        story.does("edit", post, edited("surely"), "r-3")
        if arrives:
            story.platform.apply(asked)
        assert story.judged_by("acknowledged").verdict is Verdict.HELD


@pytest.mark.parametrize(
    ("damage", "table", "key"),
    [(lost_post, "posts", "post"), (lost_comment, "comments", "comment"), (lost_earning, "ledger", "entry")],
)
def test_what_is_acknowledged_and_in_quarantine_is_hidden_neither_held_nor_lost(
    damage: Damage, table: str, key: str
) -> None:
    tale = told()
    found = tale.story.evidence()
    keys = {"post": tale.post, "comment": str(comment_of(found).id), "entry": str(entry_of(found).id)}
    found = changed(damage(tale, found), hidden={table: {keys[key]: "both sides changed it"}})
    if damage is lost_post:
        queue = {number: row for number, row in serving_of(found).queue.items() if row.post_id != tale.post}
        found = changed(found, likes={}, queue=queue)
    finding = tale.story.judged_by("acknowledged", found)
    assert finding.verdict is Verdict.INCONCLUSIVE, finding
    assert finding.counts[f"hidden_{table}"] == 1
    assert damage is lost_earning or tale.story.judged_by("no_ghosts", found).verdict is Verdict.INCONCLUSIVE
    assert "both sides changed it" in finding.witnesses[0].what


def _objects(found: Evidence, key: str, facts: ObjectFacts | None) -> dict[str, ObjectFacts]:
    objects = {k: v for k, v in serving_of(found).objects.items() if k != key}
    return {**objects, key: facts} if facts else objects


@pytest.mark.parametrize("change", [changed, changed_other], ids=["at the serving site", "at the other site"])
@pytest.mark.parametrize(
    "facts",
    [None, ObjectFacts(size=3, sha256=digest(b"xyz")), ObjectFacts(size=2, sha256=digest(b"r-1"))],
    ids=["no object", "other bytes", "another size"],
)
def test_a_row_parted_from_its_bytes_is_found_at_either_site(
    change: Callable[..., Evidence], facts: ObjectFacts | None
) -> None:
    tale = told()
    found = tale.story.evidence()
    key = f"objects/{digest(b'r-1')}"
    finding = tale.story.judged_by("attached", change(found, objects=_objects(found, key, facts)))
    assert finding.verdict is Verdict.VIOLATED
    assert finding.witnesses[0].key == tale.post


def test_wrong_bytes_under_a_key_are_found_without_any_row() -> None:
    story = Story()
    story.platform.objects[f"objects/{digest(b'a')}"] = ObjectFacts(size=1, sha256=digest(b"b"))
    assert story.judged_by("attached").verdict is Verdict.VIOLATED


def test_an_object_whose_acknowledged_row_is_missing_is_an_orphan_of_ours() -> None:
    tale = told()
    finding = tale.story.judged_by("attached", lost_post(tale, tale.story.evidence()))
    assert finding.verdict is Verdict.VIOLATED
    assert "has no row" in finding.witnesses[0].what


def test_an_orphan_of_ours_is_found_at_the_site_that_follows_and_at_no_other() -> None:
    tale = told()
    found = changed_other(tale.story.evidence(), posts={})
    assert tale.story.judged_by("attached", found).verdict is Verdict.VIOLATED
    for stage in ("backfill", "complete", "rolled_back"):
        assert tale.story.judged_by("attached", replace(found, stage=stage)).verdict is Verdict.HELD


def test_an_object_that_an_unanswered_upload_left_is_for_the_reaper() -> None:
    story = Story()
    story.upload("r-1")
    asked = story.begin("upload", post_id("r-2"), uploaded("r-2"), "r-2")
    story.platform.put_object(asked.value or {})
    story.end(asked, Outcome.UNKNOWN)
    assert story.judged_by("attached").verdict is Verdict.HELD
    assert story.judged_by("attached", story.evidence(reaped=True)).verdict is Verdict.VIOLATED
    held = changed(
        story.evidence(reaped=True), hidden={"objects": {f"objects/{digest(b'r-2')}": "its row was refused"}}
    )
    assert story.judged_by("attached", held).verdict is Verdict.HELD


def test_deleting_one_of_two_posts_with_equal_bytes_leaves_no_orphan() -> None:
    story = Story()
    story.upload("r-1", data=b"same")
    twin = story.upload("r-2", data=b"same")
    story.does("delete", twin, {"user": "ann"}, "r-3")
    assert story.judged_by("attached").verdict is Verdict.HELD


def test_a_post_that_vanished_without_a_users_delete_is_a_ghost() -> None:
    tale = told()
    finding = tale.story.judged_by("no_ghosts", lost_post(tale, tale.story.evidence()))
    assert finding.verdict is Verdict.VIOLATED
    assert "no user asked for its deletion" in finding.witnesses[0].what


def test_a_comment_that_vanished_without_a_users_delete_is_a_ghost() -> None:
    tale = told()
    finding = tale.story.judged_by("no_ghosts", lost_comment(tale, tale.story.evidence()))
    assert finding.verdict is Verdict.VIOLATED


@pytest.mark.parametrize("f", ["get", "list", "feed"])
def test_a_post_that_was_only_seen_is_a_ghost_when_it_vanishes(f: str) -> None:
    story = Story()
    asked = story.begin("upload", post_id("r-1"), uploaded("r-1"), "r-1")
    story.platform.apply(asked)
    story.end(asked, Outcome.UNKNOWN)
    story.does(f, post_id("r-1") if f == "get" else None, None, "r-2")
    assert story.judged_by("no_ghosts").verdict is Verdict.HELD
    finding = story.judged_by("no_ghosts", changed(story.evidence(), posts={}))
    assert finding.verdict is Verdict.VIOLATED


@pytest.mark.parametrize("outcome", [Outcome.OK, Outcome.UNKNOWN])
def test_a_post_whose_user_asked_for_its_deletion_is_no_ghost(outcome: Outcome) -> None:
    story = Story()
    post = story.upload("r-1")
    asked = story.begin("delete", post, {"user": "ann"}, "r-2")
    story.platform.apply(asked)
    story.end(asked, outcome)
    assert story.judged_by("no_ghosts").verdict is Verdict.HELD


def test_a_post_whose_deletion_was_refused_is_a_ghost_when_it_is_gone() -> None:
    story = Story()
    post = story.upload("r-1")
    asked = story.begin("delete", post, {"user": "ann"}, "r-2")
    story.platform.apply(asked)
    story.end(asked, Outcome.FAILED)
    assert story.judged_by("no_ghosts").verdict is Verdict.VIOLATED


def test_two_sites_that_acknowledge_in_one_epoch_are_found() -> None:
    story = Story()
    story.upload("r-1")
    story.platform.site = "west"
    story.upload("r-2")
    finding = story.judged_by("one_writer")
    assert finding.verdict is Verdict.VIOLATED
    assert "epoch 1" in finding.witnesses[0].what


def test_a_site_that_acknowledges_after_it_was_relieved_is_found() -> None:
    story = Story()
    story.upload("r-1")
    story.platform.cut_over()
    story.upload("r-2")
    story.platform.site, story.platform.epoch = "east", 1
    story.upload("r-3")
    finding = story.judged_by("one_writer")
    assert finding.verdict is Verdict.VIOLATED
    assert (len(finding.witnesses), finding.witnesses[0].key) == (1, post_id("r-3"))


def test_an_acknowledgement_that_was_on_its_way_during_the_cutover_is_none_of_it() -> None:
    story = Story()
    asked = story.begin("like", "p", {"user": "bob"}, "r-1", process="c2")
    story.platform.cut_over()
    story.upload("r-2")
    story.platform.site, story.platform.epoch = "east", 1
    story.end(asked, Outcome.OK)
    assert story.judged_by("one_writer").verdict is Verdict.HELD


def test_the_next_epoch_may_name_the_first_site_again() -> None:
    story = Story()
    for request in ("r-1", "r-2", "r-3"):
        story.upload(request)
        story.platform.cut_over()
    assert story.judged_by("one_writer").verdict is Verdict.HELD


def like_acknowledged_by(story: Story, site: str | None, epoch: int | None) -> None:
    asked = story.begin("like", "p", {"user": "bob"}, f"r-{len(story.lines)}")
    story.lines.append(story.writer.complete(asked, Outcome.OK, site=site, epoch=epoch))


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ([("east", None), ("east", 1), ("east", None)], Verdict.HELD),
        ([("east", None), ("east", 1), ("west", 2), ("west", None)], Verdict.HELD),
        ([("east", None), ("west", None)], Verdict.VIOLATED),
        ([("east", 1), ("west", None)], Verdict.VIOLATED),
        ([("east", 1), ("west", 2), ("east", None)], Verdict.VIOLATED),
        ([(None, 1)], Verdict.INCONCLUSIVE),
    ],
)
def test_answers_without_an_epoch_come_from_before_there_was_a_fence_or_from_who_serves(
    answers: list[tuple[str | None, int | None]], verdict: Verdict
) -> None:
    story = Story()
    for site, epoch in answers:
        like_acknowledged_by(story, site, epoch)
    assert story.judged_by("one_writer").verdict is verdict


@pytest.mark.parametrize(
    "table", ["users", "sessions", "posts", "likes", "comments", "ledger", "queue", "requests"]
)
def test_sites_that_differ_in_any_table_have_not_converged(table: str) -> None:
    tale = told()
    found = tale.story.evidence()
    assert getattr(serving_of(found), table)
    for change in (changed, changed_other):
        finding = tale.story.judged_by("converged", change(found, **{table: {}}))
        assert finding.verdict is Verdict.VIOLATED


def test_a_counter_that_differs_is_named_with_both_values() -> None:
    tale = told()
    found = tale.story.evidence()
    row = replace(serving_of(found).posts[tale.post], views=7)
    finding = tale.story.judged_by(
        "converged", changed_other(found, posts={**serving_of(found).posts, tale.post: row})
    )
    assert finding.verdict is Verdict.VIOLATED
    assert "views (1 at west, 7 at east)" in finding.witnesses[0].what


def test_a_difference_that_is_held_back_is_not_concluded_from() -> None:
    tale = told()
    found = changed_other(tale.story.evidence(), ledger={})
    number = str(entry_of(found).id)
    finding = tale.story.judged_by(
        "converged", changed_other(found, hidden={"ledger": {number: "a constraint refused it"}})
    )
    assert finding.verdict is Verdict.INCONCLUSIVE


def test_after_complete_the_old_site_may_fall_behind_but_nothing_may_be_left_there() -> None:
    tale = told()
    found = tale.story.evidence(stage="soak", complete=True)
    assert tale.story.judged_by("converged", changed_other(found, posts={})).verdict is Verdict.HELD
    finding = tale.story.judged_by("converged", lost_post(tale, found))
    assert finding.verdict is Verdict.VIOLATED
    assert "left behind at east" in finding.witnesses[0].what
    rolled_back = lost_post(tale, tale.story.evidence(stage="rolled_back"))
    assert tale.story.judged_by("converged", rolled_back).verdict is Verdict.VIOLATED


def test_a_migration_that_never_caught_up_is_not_compared() -> None:
    tale = told()
    found = tale.story.evidence(stage="backfill")
    assert tale.story.judged_by("converged", found).verdict is Verdict.INCONCLUSIVE
    assert tale.story.judged_by("converged", replace(found, stage="")).verdict is Verdict.HELD
    missing = replace(found, stage="soak", other=None)
    assert tale.story.judged_by("converged", missing).verdict is Verdict.INCONCLUSIVE


def test_a_fault_that_hit_nothing_in_flight_shows_nothing() -> None:
    story = Story()
    story.strike("kill", "east", None)
    finding = story.judged_by("bite")
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "hit nothing in flight" in finding.witnesses[0].what


def test_a_fault_whose_point_was_never_reached_shows_nothing() -> None:
    story = Story()
    story.strike("kill", "east", {"operations": 3})
    planned = Scheduled(fault="kill", victim="east", point="drain/close-site:during")
    assert story.judged_by("bite", story.evidence(scheduled=(planned,))).verdict is Verdict.HELD
    twice = story.evidence(scheduled=(planned, planned))
    assert story.judged_by("bite", twice).verdict is Verdict.INCONCLUSIVE


FILE = ContentFile(
    path="a/b.mp4",
    sha256=digest(b"r-1"),
    size=3,
    title="first",
    caption="a caption",
    tags=("one", "two"),
    audio="a sound",
    author="ann",
)


def test_the_users_own_files_are_there_with_all_that_was_said_of_them() -> None:
    story = Story()
    manifest = {story.upload("r-1"): FILE}
    assert story.judged_by("content", story.evidence(content=manifest)).verdict is Verdict.HELD


@pytest.mark.parametrize(
    "file",
    [replace(FILE, sha256=digest(b"x")), replace(FILE, size=4)]
    + [replace(FILE, **{name: "other"}) for name in ("title", "caption", "audio", "author")]  # type: ignore[arg-type]
    + [replace(FILE, tags=("one",))],
)
def test_any_difference_from_the_disk_is_found(file: ContentFile) -> None:
    story = Story()
    manifest = {story.upload("r-1"): file}
    finding = story.judged_by("content", story.evidence(content=manifest))
    assert finding.verdict is Verdict.VIOLATED
    assert "'a/b.mp4'" in finding.witnesses[0].what


def test_a_file_without_row_or_without_bytes_is_found() -> None:
    story = Story()
    found = story.evidence(content={story.upload("r-1"): FILE})
    found = replace(found, serving=story.platform.stores("east"))
    assert story.judged_by("content", found).verdict is Verdict.HELD
    assert story.judged_by("content", changed(found, posts={})).verdict is Verdict.VIOLATED
    assert story.judged_by("content", changed(found, objects={})).verdict is Verdict.VIOLATED
