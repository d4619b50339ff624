"""An event loop without real time: it runs what is ready in a seeded order, and jumps to the next timer."""

import asyncio
import heapq
import random
from asyncio import base_events
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class NothingLeft(RuntimeError):
    """Every task waits for another one: a real run would hang here."""


class VirtualLoop(base_events.BaseEventLoop):
    """Runs one ready callback at a time, chosen by `chance` among all that are ready.

    Time stands still while anything is ready, and then jumps to the next timer.
    There are no sockets, no threads and no signals: whatever asks for one fails,
    for it could not be repeated.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._now = 0.0
        self.steps = 0  #: callbacks run so far

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        self._take_due(ready)
        if not ready:
            self._jump()
            self._take_due(ready)
        at = self._chance.randrange(len(ready))
        handle = ready[at]
        del ready[at]
        if not handle._cancelled:
            self.steps += 1
            handle._run()

    def _take_due(self, ready: Any) -> None:
        scheduled: Any = self._scheduled  # type: ignore[attr-defined]
        while scheduled and (scheduled[0]._cancelled or scheduled[0]._when <= self._now):
            handle = heapq.heappop(scheduled)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)

    def _jump(self) -> None:
        scheduled: Any = self._scheduled  # type: ignore[attr-defined]
        if not scheduled:
            raise NothingLeft(f"at {self._now:.3f} virtual seconds every task waits for another")
        self._now = scheduled[0]._when

    def _process_events(self, event_list: object) -> None:
        raise NotImplementedError("a virtual loop has no selector")

    def _write_to_self(self) -> None:
        """Nobody waits in a selector that would have to be woken."""

    def run_in_executor(self, *_: object, **__: object) -> Any:
        """Threads have an order of their own, so they are refused."""
        raise RuntimeError("a thread was asked for in a simulated run: it could not be repeated")


def run(seed: int, main: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
    """Run `main` to its end on a loop of its own; the same seed gives the same run."""
    loop = VirtualLoop(random.Random(f"order {seed}"))
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main())
    finally:
        _cancel_what_is_left(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _cancel_what_is_left(loop: VirtualLoop) -> None:
    left = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    for task in left:
        task.cancel()
    for task in left:
        loop.run_until_complete(asyncio.wait([task]))
