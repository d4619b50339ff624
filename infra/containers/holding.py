"""A program that takes packets from a kernel queue and lets each go some time later.

What a network emulator in the kernel would do, for kernels that have none. It ends
when its standard input closes, which is when whoever started it dies, at SIGTERM, or when
it cannot go on; the packets that it holds then go at once.
"""

import argparse
import heapq
import importlib
import itertools
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

HELD_MAX = 16_384
"""Packets held at once; the kernel lets further ones pass: a long line is no cut."""

HEAD_BYTES = 24
"""How much of a packet is looked at: both addresses and both ports of one without options."""

_ROOM_BYTES = 4096  #: for one packet's head and what the kernel says about it


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How packets go on."""

    seconds: float = 0.0  #: that each is held
    jitter: float = 0.0  #: how much sooner or later (seconds), evenly spread
    rate: int = 0  #: bytes a second each way, 0 for no limit

    def arguments(self) -> list[str]:
        """Return the arguments that give a program this pace."""
        return ["--seconds", str(self.seconds), "--jitter", str(self.jitter), "--rate", str(self.rate)]


@dataclass(frozen=True, slots=True)
class Head:
    """What the first bytes of a packet say."""

    flow: bytes  #: addresses and ports: one way of one connection
    way: bytes  #: addresses: all that goes from one place to another
    size: int  #: bytes, also those that a kernel hands on as one


def head_of(packet: bytes) -> Head:
    """Read the first HEAD_BYTES of an IPv4 packet that carries TCP."""
    begin = (packet[0] & 0x0F) * 4
    way = packet[12:20]
    return Head(way + packet[begin : begin + 4], way, int.from_bytes(packet[2:4], "big"))


class Line:
    """Packets on their way; each flow keeps its order, whatever the jitter."""

    def __init__(self, pace: Pace, chance: random.Random) -> None:
        self._pace = pace
        self._chance = chance
        self._order = itertools.count()
        self._waiting: list[tuple[float, int, Callable[[], None]]] = []
        self._last: dict[bytes, float] = {}
        self._free: dict[bytes, float] = {}  #: when a way has sent all that it was given
        self._changed = threading.Condition()
        self._ended = False

    def put(self, head: Head, now: float, let_go: Callable[[], None]) -> float:
        """Hold a packet; return when it goes (monotonic seconds)."""
        delay = self._pace.seconds + self._chance.uniform(-self._pace.jitter, self._pace.jitter)
        with self._changed:
            due = max(self._sent(head, now) + delay, self._last.get(head.flow, 0.0))
            self._last[head.flow] = due
            heapq.heappush(self._waiting, (due, next(self._order), let_go))
            self._changed.notify()
        return due

    def _sent(self, head: Head, now: float) -> float:
        if not self._pace.rate:
            return now
        self._free[head.way] = max(now, self._free.get(head.way, 0.0)) + head.size / self._pace.rate
        return self._free[head.way]

    def due(self, now: float) -> list[Callable[[], None]]:
        """Take what is to go by `now`, in order; all of it once the line has ended."""
        going = []
        with self._changed:
            while self._waiting and (self._ended or self._waiting[0][0] <= now):
                going.append(heapq.heappop(self._waiting)[2])
        return going

    def run(self) -> None:
        """Let packets go when they are due, until the line has ended and is empty."""
        while not self._ended:
            for let_go in self.due(time.monotonic()):
                let_go()
            with self._changed:
                if not self._ended:
                    self._changed.wait(self._until_next())
        for let_go in self.due(time.monotonic()):
            let_go()

    def _until_next(self) -> float | None:
        return max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None

    def end(self) -> None:
        """Let everything go."""
        with self._changed:
            self._ended = True
            self._changed.notify()


def _take(connection: Any, overflow: type[Exception], line: Line) -> None:
    """Put every packet into the line until the connection closes."""
    while True:
        try:
            for packet in connection:
                line.put(head_of(packet.payload), time.monotonic(), packet.accept)
            return
        except overflow:  # the kernel dropped what found no room
            connection.reset()


def _then(do: Callable[[], None], after: Callable[[], None]) -> None:
    """Do something, and the other thing afterwards, also when it failed; say why while there is time."""
    try:
        do()
    except Exception as error:
        sys.stderr.write(f"cannot hold packets any longer: {error!r}\n")
        sys.stderr.flush()
    finally:
        after()


def _wait_for_the_end(told: threading.Event, *, kept: bool) -> None:
    signal.signal(signal.SIGTERM, lambda *_: told.set())
    if not kept:
        threading.Thread(target=_when_input_ends, args=(told.set,), daemon=True).start()
    told.wait()


def _when_input_ends(call: Callable[[], None]) -> None:
    while os.read(sys.stdin.fileno(), 4096):
        continue
    call()


def main() -> None:
    """Hold back the packets of one queue."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queue", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--jitter", type=float, default=0.0)
    parser.add_argument("--kept", action="store_true")
    parser.add_argument("--rate", type=int, default=0)
    given = parser.parse_args()
    pace = Pace(seconds=given.seconds, jitter=given.jitter, rate=given.rate)
    hold(given.queue, Line(pace, random.Random()), kept=given.kept)


def hold(queue: int, line: Line, *, kept: bool) -> None:
    """Hold back the packets of a queue until told to end; OSError when the queue is taken.

    Ends too when one of its hands does: packets that are taken and never let go, or wait
    to be taken, would make a cut of a delay.
    """
    fnfqueue = importlib.import_module("fnfqueue")  # optional, and only this program needs it
    connection = fnfqueue.Connection(packet_size=_ROOM_BYTES)
    taken = connection.bind(queue)
    taken.set_maxlen(HELD_MAX)
    taken.fail_open = True
    taken.gso = True
    taken.set_mode(HEAD_BYTES, fnfqueue.COPY_PACKET)
    told = threading.Event()
    take = partial(_take, connection, fnfqueue.BufferOverflowException, line)
    threading.Thread(target=_then, args=(take, told.set), daemon=True).start()
    going = threading.Thread(target=_then, args=(line.run, told.set))
    going.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    _wait_for_the_end(told, kept=kept)
    line.end()
    going.join()


if __name__ == "__main__":
    main()
