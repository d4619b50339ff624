"""The agent's decisions, over every fence and every grant."""

from dataclasses import replace
from itertools import product

from cutover.model.action import Guard
from cutover.model.observation import Fence, FenceState
from cutover.protocol.attend import EndDrain, RenewLease, Reopen, Shut, Watch, attend
from resilience_tests.spec.protocol.worlds import GRANT, PLAN, drain_of

SEEN = Guard(1, 8)
OPEN = Fence(state=FenceState.OPEN, epoch=1, lease_live=True, guard=SEEN)
CLOSED = Fence(state=FenceState.CLOSED, epoch=1, guard=SEEN)


def test_only_the_site_that_the_register_names_renews_or_opens() -> None:
    for fence, drain, age in product((OPEN, CLOSED), (None, drain_of("east")), (0.0, 99.0)):
        duties = attend(PLAN, "west", fence, replace(GRANT, drain=drain), Watch(drain_age=age))
        assert not any(isinstance(duty, RenewLease | Reopen | EndDrain) for duty in duties)


def test_a_site_that_was_left_while_it_slept_shuts_its_fence() -> None:
    left = replace(GRANT, serving="west", epoch=2)
    assert attend(PLAN, "east", OPEN, left, Watch(drain_age=0.0)) == (Shut(SEEN),)
    assert attend(PLAN, "east", CLOSED, left, Watch(drain_age=0.0)) == ()


def test_a_drain_is_ended_only_after_its_deadline() -> None:
    draining = replace(GRANT, drain=drain_of("east"))
    assert EndDrain() not in attend(PLAN, "east", CLOSED, draining, Watch(drain_age=4.9))
    assert EndDrain() in attend(PLAN, "east", CLOSED, draining, Watch(drain_age=5.1))


def test_a_closed_fence_is_never_opened_while_a_drain_stands() -> None:
    for age in (0.0, 99.0):
        duties = attend(PLAN, "east", CLOSED, replace(GRANT, drain=drain_of("east")), Watch(drain_age=age))
        assert not any(isinstance(duty, Reopen) for duty in duties)


def test_a_site_is_reopened_with_the_guard_that_its_fence_showed() -> None:
    """A drain that begins after the look has a newer one, so the site refuses the reopening."""
    assert attend(PLAN, "east", CLOSED, GRANT, Watch(drain_age=0.0)) == (Reopen(1, SEEN),)
