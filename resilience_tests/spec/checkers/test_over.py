"""What is not over when the stores are read: an outage, a fault that stands, a site that is not home."""

from dataclasses import replace

import pytest

from drill.checkers import Announced
from drill.history import Outcome
from drill.stores import FenceFacts
from drill.verdict import Verdict
from resilience_tests.spec.checkers.story import Story, changed

EAST = Announced(site="east", transactions=1, epoch=1)
OUTAGE = {"reason": "not_serving", "attempts": 80}
TURNED_DOWN = {"reason": "not_found", "attempts": 1, "status": 404}
TURNED_DOWN_AFTER_ALL = {"reason": "not_found", "attempts": 2}


def switched() -> tuple[Story, str]:
    """A migration that came to soak, with a write before it."""
    story = Story()
    post = story.upload("r-1")
    story.lines.append(story.writer.move(stage="soak", direction="forward", actions=(), entry=7))
    story.platform.cut_over()
    return story, post


def viewed(story: Story, post: str, request: str, outcome: Outcome, answer: dict[str, object] | None) -> None:
    story.end(story.begin("view", post, {"user": "bob"}, request), outcome, answer)


@pytest.mark.parametrize(
    ("outcome", "answer", "verdict"),
    [
        (Outcome.FAILED, OUTAGE, Verdict.INCONCLUSIVE),
        (Outcome.UNKNOWN, {**OUTAGE, "reason": "unknown"}, Verdict.INCONCLUSIVE),
        (Outcome.UNKNOWN, None, Verdict.INCONCLUSIVE),
        (Outcome.FAILED, TURNED_DOWN, Verdict.HELD),
        (Outcome.UNKNOWN, TURNED_DOWN_AFTER_ALL, Verdict.HELD),
    ],
)
def test_users_who_can_write_no_more_after_the_switch_leave_a_doubt(
    outcome: Outcome, answer: dict[str, object] | None, verdict: Verdict
) -> None:
    """Before, a drill held whose target acknowledged nothing: the journal said that it had come to soak."""
    story, post = switched()
    viewed(story, post, "r-2", outcome, answer)
    assert story.judged_by("cascade").verdict is verdict
    kept_away = replace(story.evidence(), serving_is_up=False)
    assert story.judged_by("cascade", kept_away).verdict is Verdict.HELD


def test_one_acknowledgement_after_the_switch_is_enough() -> None:
    story, post = switched()
    viewed(story, post, "r-2", Outcome.FAILED, OUTAGE)
    story.does("view", post, {"user": "bob"}, "r-3")
    assert story.judged_by("cascade").verdict is Verdict.HELD


def test_users_who_can_write_no_more_after_the_last_healing_leave_a_doubt() -> None:
    story, post = switched()
    story.does("view", post, {"user": "bob"}, "r-2")
    story.strike("kill", "target", {"operations": 1})
    viewed(story, post, "r-3", Outcome.FAILED, OUTAGE)
    assert story.judged_by("cascade").verdict is Verdict.INCONCLUSIVE


def test_before_any_switch_or_healing_nothing_is_over() -> None:
    story = Story()
    post = story.upload("r-1")
    viewed(story, post, "r-2", Outcome.FAILED, OUTAGE)
    assert story.judged_by("cascade").verdict is Verdict.HELD


def test_a_fault_that_was_never_healed_leaves_a_doubt_though_both_sites_are_alike() -> None:
    story = Story()
    story.upload("r-1")
    story.strike("kill", "target", {"operations": 1})
    assert story.judged_by("converged").verdict is Verdict.HELD
    again = story.writer.fault(name="kill", victim="target", point="soak", bite={"operations": 1})
    story.lines.append(again)
    finding = story.judged_by("converged")
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "never healed" in finding.witnesses[0].what


def test_a_site_that_is_there_and_was_not_taken_back_leaves_a_doubt_though_nothing_is_missing() -> None:
    story, _ = switched()
    left = story.evidence(stage="parted", announced=Announced(site="east", epoch=1))
    assert story.judged_by("converged", left).verdict is Verdict.INCONCLUSIVE
    survivor_died = replace(left, serving_is_up=False)
    assert story.judged_by("converged", survivor_died).verdict is Verdict.HELD


def test_the_view_that_is_stranded_is_the_one_whose_request_did_not_arrive() -> None:
    """Taken for the latest, one that had arrived would be looked for at the site that was left."""
    story = Story()
    post = story.upload("r-1")
    story.does("view", post, {"user": "bob"}, "r-2")
    story.does("view", post, {"user": "bob"}, "r-3")
    kept, stores = story.platform, story.evidence().serving
    assert stores is not None
    requests = {request: row for request, row in stores.requests.items() if request != "r-2"}
    posts = {post: replace(stores.posts[post], views=1)}
    kept.cut_over()
    found = changed(story.evidence(other=None, announced=EAST), posts=posts, requests=requests)
    finding = story.judged_by("counters", found)
    assert (finding.verdict, finding.counts["stranded_views"]) == (Verdict.INCONCLUSIVE, 1)
    first = next(view for view in story.history().of("view") if view.invoke.request == "r-2")
    assert first.completion is not None
    assert finding.witnesses[0].acknowledged_at == first.completion.t


def test_a_fence_that_a_wipe_of_the_other_site_moved_is_a_change() -> None:
    story, _ = switched()
    found = changed(story.evidence(), fence=FenceFacts(role="open", epoch=2))
    assert found.serving is not None
    closed = replace(found.serving, fence=FenceFacts(role="closed", epoch=2))
    assert story.judged_by("unlink_safety", replace(found, after_wipe=found.serving)).verdict is Verdict.HELD
    assert story.judged_by("unlink_safety", replace(found, after_wipe=closed)).verdict is Verdict.VIOLATED
