"""Packets that are held back go when they should, in the order of their flow."""

import random
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.containers.holding import Head, Line, Pace, head_of


def head(flow: str = "a", size: int = 1000, way: str = "w") -> Head:
    """Return the head of a packet."""
    return Head(flow.encode(), way.encode(), size)


def line(pace: Pace) -> tuple[Line, list[str]]:
    """Return a line and what it has let go."""
    return Line(pace, random.Random(7)), []


def run(held: Line, until: float) -> None:
    """Let go what is due."""
    for let_go in held.due(until):
        let_go()


def test_each_packet_goes_as_much_later_as_was_asked() -> None:
    held, gone = line(Pace(seconds=0.5))
    held.put(head(), 10.0, lambda: gone.append("first"))
    held.put(head(), 10.2, lambda: gone.append("second"))
    run(held, 10.4)
    assert gone == []
    run(held, 10.6)
    assert gone == ["first"]
    run(held, 10.8)
    assert gone == ["first", "second"]


@given(seed=st.integers(), gaps=st.lists(st.floats(0, 0.1), min_size=2, max_size=30))
def test_jitter_never_changes_the_order_of_a_flow(seed: int, gaps: list[float]) -> None:
    held = Line(Pace(seconds=0.2, jitter=0.1), random.Random(seed))
    gone: list[int] = []
    now = 0.0
    for number, gap in enumerate(gaps):
        now += gap
        due = held.put(head(), now, partial(gone.append, number))
        assert now + 0.1 <= due
    run(held, now + 0.3)
    assert gone == list(range(len(gaps)))


def test_a_flow_does_not_wait_for_another() -> None:
    held, gone = line(Pace(seconds=1.0))
    held.put(head("slow"), 0.0, lambda: gone.append("slow"))
    held.put(head("other"), 0.0, lambda: gone.append("other"))
    run(held, 1.0)
    assert sorted(gone) == ["other", "slow"]


def test_a_narrow_line_takes_the_time_of_its_bytes_and_each_way_its_own() -> None:
    held, _ = line(Pace(rate=1000))
    assert held.put(head(size=500), 0.0, lambda: None) == pytest.approx(0.5)
    assert held.put(head("b", size=500), 0.0, lambda: None) == pytest.approx(1.0), (
        "the same way, another flow"
    )
    assert held.put(head("c", size=500, way="back"), 0.0, lambda: None) == pytest.approx(0.5)
    assert held.put(head(size=500), 9.0, lambda: None) == pytest.approx(9.5), "it was idle meanwhile"


def test_when_the_line_ends_everything_goes_at_once_and_in_order() -> None:
    held, gone = line(Pace(seconds=100.0))
    for name in ("first", "second", "third"):
        held.put(head(), 0.0, partial(gone.append, name))
    held.end()
    held.run()
    assert gone == ["first", "second", "third"]


@pytest.mark.parametrize("options", [0, 8])
def test_a_head_is_read_with_and_without_options(options: int) -> None:
    fixed = bytes([0x45 + options // 4, 0]) + (1500).to_bytes(2, "big") + bytes(8)
    addresses, ports = bytes([198, 51, 100, 1, 198, 51, 100, 2]), bytes([0x15, 0x38, 0xC0, 0x01])
    assert head_of(fixed + addresses + bytes(options) + ports) == Head(addresses + ports, addresses, 1500)
