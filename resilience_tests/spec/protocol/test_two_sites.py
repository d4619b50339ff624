"""Every order in which two sites, their agents and coordinators can act, at small scale."""

from dataclasses import replace

import pytest

from cutover.model.action import Guard
from cutover.model.register import Grant
from cutover.protocol.promote import promoted
from resilience_tests.spec.protocol.two_sites import (
    Process,
    Rules,
    Step,
    Two,
    opening,
    search,
    started,
)

OLD, NEW = Guard(1, 8), Guard(3, 20)
DRAINS = (
    Step("declare", "east", OLD),
    Step("close", "east", OLD),
    Step("drained", "west", Guard(1, 12)),
    Step("grant", "west", Guard(1, 12)),
    opening("west", Guard(1, 12)),
    Step("follow", "east", Guard(1, 13)),
)
GIVES_UP = (Step("give up", "east", Guard(1, 12)), opening("east", Guard(1, 12)))
BRINGS_HOME = (
    Step("unfollow", "east", NEW),
    Step("close", "east", NEW),
    Step("merge", "west", NEW),
    Step("follow", "east", NEW),
    Step("end parting", "east", NEW),
)


def two_writers(_: Two, now: Two) -> str | None:
    """S1."""
    return "two writers" if now.accepts(0) and now.accepts(1) else None


def too_soon(before: Two, now: Two) -> str | None:
    """S1c: no site is named while the one that was named before it takes writes without a drain."""
    parted = now.grant.parted
    if parted is None or now.grant.epoch == before.grant.epoch:
        return None
    left = 0 if parted.left == "east" else 1
    return "promoted while the other takes writes" if before.accepts(left) else None


def flapping(before: Two, now: Two) -> str | None:
    """Nobody is named again before the parting has ended, nor before it is home."""
    if now.grant.epoch == before.grant.epoch:
        return None
    if before.grant.parted is not None:
        return "named while they are parted"
    named = 0 if now.grant.serving == "east" else 1
    unsent = now.sites[named].written > now.sites[1 - named].had
    return "named before it was home" if unsent else None


def overwritten(_: Two, now: Two) -> str | None:
    """S7: what a site has not sent is merged; nothing of its peer's is applied over it."""
    return "applied over what was not sent" if any(site.lost for site in now.sites) else None


def judged(before: Two, now: Two) -> str | None:
    """All of it."""
    for judge in (two_writers, too_soon, flapping, overwritten, not_home):
        objection = judge(before, now)
        if objection is not None:
            return objection
    return None


def with_coordinators(first: Two, *orders: tuple[Step, ...]) -> Two:
    """The same with coordinators that carry these orders out, as late as they like."""
    return replace(first, coordinators=tuple(Process(todo=todo) for todo in orders))


def not_home(before: Two, now: Two) -> str | None:
    """A parting ends once what was stranded is in what the survivor serves."""
    if before.grant.parted is None or now.grant.parted is not None:
        return None
    return "ended before it was merged" if now.sites[1].had < now.sites[0].written else None


def parted(rules: Rules) -> Two:
    """West was promoted, and has not taken office; east has just come back."""
    first = started(rules)
    grant = promoted(first.grant, "west", lease_count=1, by="agent")
    return replace(first, grant=grant, over=1)


def _given_up(rules: Rules) -> Two:
    """A drain was given up; nobody has opened east again yet, and the next coordinator drains at once."""
    first = started(rules, drain=True)
    return replace(first, grant=replace(first.grant, drain=None))


def stories(rules: Rules) -> dict[str, Two]:
    """Where a search begins."""
    return {
        "left": started(rules),
        "drained": with_coordinators(started(rules), DRAINS),
        "given up": with_coordinators(started(rules, drain=True), DRAINS[2:], GIVES_UP),
        "reopened": with_coordinators(_given_up(rules), DRAINS),
        "brought home": with_coordinators(parted(rules), DRAINS, BRINGS_HOME),
    }


def objection_to(rules: Rules, story: str) -> str:
    """The shortest run of a story that goes wrong, over all of them."""
    found, objection = search(rules, stories(rules)[story], judged, most=MOST)
    assert found < MOST, f"{story}: there are more orders than are looked at"
    return objection


MOST = 60_000
HELD = Rules(agents_die=False, close_holds_the_worker=True)
STORIES = tuple(stories(HELD))
MORTAL = ("left", "brought home")
"""Stories in which agents die, too: with a coordinator beside them there are four times as many orders."""


@pytest.mark.parametrize("story", STORIES)
def test_in_no_order_two_sites_write_or_anything_is_overwritten(story: str) -> None:
    assert not objection_to(replace(HELD, agents_die=story in MORTAL), story)


def _believing(grant: Grant, site: str, *, lease_count: int, by: str) -> Grant:
    """Does not ask whether the lease was renewed meanwhile."""
    return promoted(grant, site, lease_count=grant.lease_count, by=by)


def _at_once_eligible(grant: Grant, site: str, *, lease_count: int, by: str) -> Grant:
    """The site that was left may be promoted before it is home."""
    new = promoted(grant, site, lease_count=lease_count, by=by)
    return replace(new, eligible=(grant.serving,), parted=None)


PLANTED = {
    "a site that is closed by a drain follows on": (
        replace(HELD, close_holds_the_worker=False),
        "drained",
        "applied over",
    ),
    "an agent promotes without waiting": (replace(HELD, waits_for_lease=False), "left", "promoted while"),
    "a renewal meanwhile does not forbid it": (replace(HELD, promoted=_believing), "left", "promoted while"),
    "stands down in the wrong order": (
        replace(HELD, stands_down=("close", "unfollow"), close_holds_the_worker=False),
        "left",
        "applied over",
    ),
    "an open site applies": (replace(HELD, applies_when_open=True), "left", "applied over"),
    "takes office in the wrong order": (
        replace(HELD, office=("open", "unfollow"), applies_when_open=True),
        "left",
        "applied over",
    ),
    "sites take orders of any age": (replace(HELD, guarded=False), "reopened", "two writers"),
    "the site that was left is eligible at once": (
        replace(HELD, promoted=_at_once_eligible),
        "left",
        "named before it was home",
    ),
}


@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found(bug: str) -> None:
    rules, story, wrong = PLANTED[bug]
    _, objection = search(rules, stories(rules)[story], judged, most=MOST)
    assert wrong in objection


def test_a_parting_that_ends_too_early_is_found() -> None:
    hasty = (BRINGS_HOME[0], BRINGS_HOME[1], BRINGS_HOME[4])
    _, objection = search(HELD, with_coordinators(parted(HELD), hasty), judged, most=MOST)
    assert "ended before it was merged" in objection
