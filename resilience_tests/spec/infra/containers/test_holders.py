"""A program that holds packets back and is gone before its time is no fault that was injected."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.containers import holders
from infra.containers.claims import Claim
from infra.containers.holders import Holders, HoldingUnavailable, mark_of
from infra.containers.holding import Pace
from infra.embedded.processes import MARKER, marked_with

SECONDS = 60.0  #: only a failure waits this long
STACK = f"test-holders-{os.getpid()}"

WAITS = "import sys; print('ready', flush=True); sys.stdin.read()"
"""A program that holds no packet, and ends as a real one does."""

QUEUE = """
import time

COPY_PACKET = 2

class BufferOverflowException(Exception):
    pass

class Packet:
    payload = bytes([0x45]) + bytes(39)
    def accept(self):
        {on_accept}

class Queue:
    def set_maxlen(self, packets):
        pass
    def set_mode(self, size, mode):
        pass

class Connection:
    def __init__(self, packet_size):
        pass
    def bind(self, queue):
        return Queue()
    def reset(self):
        pass
    def __iter__(self):
        {on_take}
"""
"""What stands in for the kernel's queue."""


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[Holders]:
    """Holders whose programs wait and hold nothing, with a queue for each."""
    free = iter(range(2000, 3000))

    def start(self: Holders, queue: int, pace: Pace) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-c", WAITS, "--queue", str(queue)],
            env={**os.environ, MARKER: mark_of(STACK)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    monkeypatch.setattr(holders, "check_available", lambda: None)
    monkeypatch.setattr(holders, "_free_queue", lambda: next(free))
    monkeypatch.setattr(Holders, "_start", start)
    made = Holders(Claim(stack=STACK))
    yield made
    made.end(None)


def pid_of(queue: int) -> int:
    (pid,) = (
        pid
        for pid in marked_with(mark_of(STACK))
        if f"--queue\0{queue}" in Path(f"/proc/{pid}/cmdline").read_text()
    )
    return pid


def kill(queue: int) -> None:
    """Kill the program of a queue, and wait for its end without taking notice of it."""
    pid = pid_of(queue)
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


def test_programs_that_held_to_the_end_are_ended_and_nothing_is_said(held: Holders) -> None:
    first, second = held.begin(Pace()), held.begin(Pace())
    held.end([first])
    assert pid_of(second)
    held.end([second])
    assert not marked_with(mark_of(STACK))


def test_a_program_that_was_killed_meanwhile_fails_the_heal_once_everything_is_ended(held: Holders) -> None:
    lost, other = held.begin(Pace()), held.begin(Pace())
    kill(lost)
    with pytest.raises(HoldingUnavailable, match=f"queue {lost}: exit status -9"):
        held.end([lost, other])
    assert not marked_with(mark_of(STACK))


def test_it_is_told_once_and_by_the_next_heal_of_any_link(held: Holders) -> None:
    """A fault of two links is not healed further once the first of them fails to."""
    lost, other = held.begin(Pace()), held.begin(Pace())
    kill(lost)
    with pytest.raises(HoldingUnavailable, match=f"queue {lost}"):
        held.end([other])
    held.end([lost])


@pytest.mark.parametrize(
    ("on_take", "on_accept"),
    [
        pytest.param("raise OSError('no longer')", "pass", id="taking fails"),
        pytest.param("return iter(())", "pass", id="nothing more to take"),
        pytest.param("yield Packet(); time.sleep(1000)", "raise OSError('no longer')", id="letting go fails"),
    ],
)
def test_a_program_that_cannot_go_on_ends(tmp_path: Path, on_take: str, on_accept: str) -> None:
    """Else packets would wait for ever: it is kept, so that nothing else ends it."""
    (tmp_path / "fnfqueue.py").write_text(QUEUE.format(on_take=on_take, on_accept=on_accept))
    ended = subprocess.run(
        [sys.executable, "-m", "infra.containers.holding", "--queue", "7", "--seconds", "0", "--kept"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert ended.stdout == "ready\n", ended.stderr
    assert ("no longer" in ended.stderr) is ("OSError" in on_take + on_accept)
