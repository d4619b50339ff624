"""Starting and ending the programs that hold packets back (`infra.containers.holding`)."""

import importlib.util
import os
import random
import select
import signal
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

from infra.containers.claims import KEPT, Claim
from infra.containers.holding import Pace
from infra.embedded.errors import StackError
from infra.embedded.processes import MARKER, identify, marked_with, send, wait_gone

READY_SECONDS_MAX = 15.0
"""Longest wait for a program to hold its queue (seconds): a cold interpreter on a busy machine."""

GONE_SECONDS_MAX = 5.0
"""Longest wait for a program to let its packets go and end (seconds)."""

_QUEUES = range(1024, 65536)  #: low numbers are what other software takes
_IN_USE = Path("/proc/net/netfilter/nfnetlink_queue")


class HoldingUnavailable(StackError):
    """Packets cannot be held back here; the message says what is missing."""


def mark_of(stack: str) -> str:
    """Return what the environment of a stack's programs carries."""
    return f"containers/{stack}"


class Holders:
    """The programs that hold back packets of one stack's links.

    They end with the process that started them, unless the stack is kept; the
    packets of a queue without a program pass.
    """

    def __init__(self, claim: Claim) -> None:
        self._claim = claim
        self._mine: dict[int, subprocess.Popen[str]] = {}

    def begin(self, pace: Pace) -> int:
        """Start a program and return the number of its queue. Raises HoldingUnavailable."""
        check_available()
        queue = _free_queue()
        program = self._start(queue, pace)
        if not _says_ready(program):
            program.kill()
            _, said = program.communicate()
            raise HoldingUnavailable(f"nothing holds packet queue {queue}: {said.strip()[-400:]}")
        self._mine[queue] = program
        return queue

    def _start(self, queue: int, pace: Pace) -> "subprocess.Popen[str]":
        kept = ["--kept"] if self._claim.owner == KEPT else []
        settings = ["--queue", str(queue), *pace.arguments()]
        return subprocess.Popen(
            [sys.executable, "-m", "infra.containers.holding", *settings, *kept],
            env={**os.environ, MARKER: mark_of(self._claim.stack)},
            stdin=subprocess.DEVNULL if kept else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def end(self, queues: Collection[int] | None) -> None:
        """End the programs that hold these queues, or all of the stack, also ones started by others.

        Raises HoldingUnavailable afterwards if one of ours, of whatever queue, had ended
        by itself: nothing tells since when packets were not held back any more.
        """
        lost = [queue for queue, program in self._mine.items() if program.poll() is not None]
        end_programs(self._claim.stack, queues)
        ended = [queue for queue in self._mine if queues is None or queue in queues or queue in lost]
        said = {queue: self._reap(queue) for queue in ended}
        if lost:
            raise HoldingUnavailable(
                "what held packets back ended before it was told to, so that they passed, or were lost: "
                + "; ".join(f"queue {queue}: {said[queue]}" for queue in lost)
            )

    def _reap(self, queue: int) -> str:
        """Wait for the end of a program; return its exit status and its last words."""
        program = self._mine.pop(queue)
        _, said = program.communicate()
        return f"exit status {program.returncode} {said.strip()[-400:]}".strip()


def end_programs(stack: str, queues: Collection[int] | None = None) -> int:
    """End the programs of a stack that hold these queues, or all; return how many there were."""
    wanted = None if queues is None else {str(queue) for queue in queues}
    found = [who for pid in marked_with(mark_of(stack)) if _holds(pid, wanted) and (who := identify(pid))]
    send((who.pid for who in found), signal.SIGTERM)
    send((who.pid for who in wait_gone(found, GONE_SECONDS_MAX)), signal.SIGKILL)
    return len(found)


def check_available() -> None:
    """Raise HoldingUnavailable where packets cannot be held back."""
    if importlib.util.find_spec("fnfqueue") is None:
        raise HoldingUnavailable(
            "the modes delay, slow and narrow need the package fnfqueue: pip install fnfqueue"
        )
    if not _IN_USE.exists():
        raise HoldingUnavailable(
            "the modes delay, slow and narrow need a kernel with NFQUEUE (nfnetlink_queue)"
        )


def _free_queue() -> int:
    taken = {int(line.split()[0]) for line in _IN_USE.read_text().splitlines()}
    return random.choice([queue for queue in _QUEUES if queue not in taken])


def _says_ready(program: "subprocess.Popen[str]") -> bool:
    if program.stdout is None:
        return False
    readable, _, _ = select.select([program.stdout], [], [], READY_SECONDS_MAX)
    return bool(readable) and program.stdout.readline() == "ready\n"


def _holds(pid: int, queues: Collection[str] | None) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:  # gone meanwhile
        return False
    return "--queue" in words and (queues is None or words[words.index("--queue") + 1] in queues)
