"""What whoever waits may rely on, whatever clock he was given."""

import ast
import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from cutover.adapters.clock import SystemClock
from cutover.ports.clock import Clock
from drill.simulator import loop
from drill.simulator.places import Life, ProcessClock
from resilience_tests.simulated import apart
from resilience_tests.style.sources import modules

SHORT, LONGER = 0.002, 0.005  #: seconds that a test on the system's clock may wait
TIMER = 1e-6
"""Seconds by which a loop may be early: it takes a timer that is due within its clock's resolution."""

Story = Callable[[Clock], Coroutine[None, None, None]]


@dataclass(frozen=True, slots=True)
class Kind:
    """One adapter: how its clock is made, and what runs those who wait."""

    of: type
    make: Callable[[], Clock]
    virtual: bool = True

    def run(self, story: Story) -> None:
        """Tell a story on a loop of its own."""

        async def told() -> None:
            await story(self.make())

        loop.run(1, told) if self.virtual else asyncio.run(told())


def process_clock(rate: float = 1.0) -> ProcessClock:
    """Of a process in a simulated drill."""
    return ProcessClock(Life("agent east", "east"), rate)


KINDS = {
    "system": Kind(SystemClock, SystemClock, virtual=False),
    "process": Kind(ProcessClock, process_clock),
    "fast process": Kind(ProcessClock, lambda: process_clock(1.01)),
    "slow process": Kind(ProcessClock, lambda: process_clock(0.99)),
    "two sites apart": Kind(apart.Clock, apart.Clock),
}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    found: Kind = KINDS[request.param]
    return found


def test_its_seconds_only_go_forward(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is done to the wall clock: here it runs backwards."""
    monkeypatch.setattr(time, "time", lambda: -time.monotonic())

    async def story(clock: Clock) -> None:
        before = clock.monotonic()
        for turn in range(300):
            await clock.sleep(0 if turn % 100 else SHORT)
            now = clock.monotonic()
            assert now >= before
            before = now

    kind.run(story)


@pytest.mark.parametrize("seconds", [0.0, SHORT, LONGER])
def test_a_sleep_lasts_as_long_on_the_clock_as_it_was_to(
    kind: Kind, seconds: float, request: pytest.FixtureRequest
) -> None:
    if seconds and kind is KINDS["slow process"]:
        why = "a simulated process sleeps by the loop's seconds, so where its clock is slow it wakes early"
        request.applymarker(pytest.mark.xfail(reason=why, raises=AssertionError, strict=True))

    async def story(clock: Clock) -> None:
        started = clock.monotonic()
        await clock.sleep(seconds)
        assert clock.monotonic() - started >= seconds - TIMER

    kind.run(story)


def test_who_sleeps_shorter_wakes_first_and_keeps_nobody_waiting(kind: Kind) -> None:
    async def story(clock: Clock) -> None:
        woken: list[str] = []

        async def sleeper(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(name)

        await asyncio.gather(sleeper("long", LONGER), sleeper("short", SHORT), sleeper("none", 0))
        assert woken == ["none", "short", "long"]

    kind.run(story)


def test_a_sleep_can_be_given_up(kind: Kind) -> None:
    async def story(clock: Clock) -> None:
        started = clock.monotonic()
        sleeping = asyncio.ensure_future(clock.sleep(3600))
        await clock.sleep(SHORT)
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping
        assert clock.monotonic() - started < 3600

    kind.run(story)


def test_its_stamp_is_the_time_in_utc_or_nothing_where_time_is_virtual(kind: Kind) -> None:
    async def story(clock: Clock) -> None:
        stamp = clock.stamp()
        if kind.virtual:
            assert stamp == ""
            return
        read = datetime.fromisoformat(stamp)
        assert read.utcoffset() == datetime.now(UTC).utcoffset()
        assert stamp == read.isoformat(timespec="milliseconds")
        assert abs((datetime.now(UTC) - read).total_seconds()) < 60

    kind.run(story)


def test_a_paused_process_wakes_when_it_is_resumed_and_its_clock_has_gone_on() -> None:
    async def story() -> None:
        clock = process_clock()
        clock.life.pause()
        sleeping = asyncio.ensure_future(clock.sleep(SHORT))
        await process_clock().sleep(10)
        assert not sleeping.done()
        clock.life.resume()
        await sleeping
        assert clock.monotonic() >= 10

    loop.run(1, story)


def test_no_clock_is_left_out() -> None:
    found = {
        (source.path.removesuffix(".py").replace("/", "."), node.name)
        for source in modules()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
        and {"monotonic", "stamp", "sleep"} <= {getattr(item, "name", None) for item in node.body}
    }
    assert found == {(of.__module__, of.__name__) for of in (Clock, *(kind.of for kind in KINDS.values()))}
