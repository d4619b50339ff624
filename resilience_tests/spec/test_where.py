"""What a suite of live drills asks of a stack before the first of them."""

import pytest

from drill.drills import Drill
from drill.live import suite
from drill.live.stacks import Where
from drill.live.suite import Impossible, check_possible
from infra.embedded.errors import StackError

DOCKER = Where(stack="docker")


def refused(*, holding: bool) -> None:
    raise StackError(f"no packet rules here (holding: {holding})")


@pytest.mark.parametrize(
    ("fault", "victim", "holding"),
    [
        ("partition", "sites", False),
        ("isolate", "target", False),
        ("cut-then-kill", "source", False),
        ("lossy", "sites", True),
    ],
)
def test_links_that_cannot_be_cut_are_known_before_the_first_drill(
    monkeypatch: pytest.MonkeyPatch, fault: str, victim: str, *, holding: bool
) -> None:
    monkeypatch.setattr(suite, "can_cut", refused)
    breaking = Drill(seed=1, fault=fault, victim=victim, point="catch-up")
    with pytest.raises(StackError, match=f"holding: {holding}"):
        check_possible([Drill(seed=1), breaking], DOCKER)


def test_a_drill_that_breaks_no_link_is_not_refused_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "can_cut", refused)
    check_possible([Drill(seed=1, fault="kill", victim="source", point="drain")], DOCKER)


def test_single_packets_are_not_held_back_on_an_embedded_stack() -> None:
    with pytest.raises(Impossible, match="--stack docker"):
        check_possible([Drill(seed=1, fault="jitter", victim="sites", point="drain")], Where())
