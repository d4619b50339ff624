"""An event loop without real time: it runs what is ready in a seeded order, and jumps to the next timer."""

import asyncio
import random
from asyncio import base_events
from collections.abc import Callable, Coroutine
from contextvars import Context, copy_context
from heapq import heappop, heappush
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class NothingLeft(RuntimeError):
    """Every task waits for another one: a real run would hang here."""


class Handle:
    """What asyncio asks of a callback's handle, and no more: most of what a run makes are these."""

    __slots__ = ("_args", "_callback", "_cancelled", "_context", "_when")
    _source_traceback = None

    def __init__(
        self, when: float, callback: Callable[..., object], args: tuple[Any, ...], context: Context | None
    ) -> None:
        self._when, self._callback, self._args = when, callback, args
        self._context = copy_context() if context is None else context
        self._cancelled = False

    def cancel(self) -> None:
        """Never run it."""
        self._cancelled = True

    def cancelled(self) -> bool:
        """Whether it is not to be run."""
        return self._cancelled

    def when(self) -> float:
        """The loop's time at which it is due (s)."""
        return self._when


class VirtualLoop(base_events.BaseEventLoop):
    """Runs one ready callback at a time, chosen by `chance` among all that are ready.

    Time stands still while anything is ready, and then jumps to the next timer.
    There are no sockets, no threads and no signals: whatever asks for one fails,
    for it could not be repeated.
    """

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._ready: list[Any] = []  # a list: one in the middle is taken out by a swap
        self._scheduled: list[tuple[float, int, Any]] = []  # compared without a call
        self._timers = 0
        self._chance = chance
        self._now = 0.0
        self.steps = 0  #: callbacks run so far

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """As asyncio's, without the checks of its debug mode."""
        handle = Handle(self._now, callback, args, context)
        self._ready.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> Handle:
        """As asyncio's, without the checks of its debug mode."""
        handle = Handle(when, callback, args, context)
        self.due(when, handle)
        return handle

    def due(self, when: float, handle: Any) -> None:
        """Run a handle at a time of the loop (s), after all that are due then already."""
        self._timers += 1
        heappush(self._scheduled, (when, self._timers, handle))

    def _run_once(self) -> None:
        """Run what is ready until the loop is told to stop."""
        ready, scheduled, draw = self._ready, self._scheduled, self._chance.random
        while not self._stopping:  # type: ignore[attr-defined]
            while scheduled and scheduled[0][0] <= self._now:
                handle = heappop(scheduled)[2]
                if not handle._cancelled:
                    ready.append(handle)
            if not ready:
                self._jump()
                continue
            last = len(ready) - 1
            if last > 0:
                at = int(draw() * (last + 1))
                ready[at], ready[last] = ready[last], ready[at]
            handle = ready.pop()
            if not handle._cancelled:
                self.steps += 1
                try:
                    handle._context.run(handle._callback, *handle._args)
                except Exception as error:  # a task keeps its own: so this is a callback's
                    self.call_exception_handler({"message": f"{handle._callback!r}", "exception": error})

    def _jump(self) -> None:
        scheduled = self._scheduled
        while scheduled and scheduled[0][2]._cancelled:
            heappop(scheduled)
        if not scheduled:
            raise NothingLeft(f"at {self._now:.3f} virtual seconds every task waits for another")
        self._now = scheduled[0][0]

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
    loop.set_exception_handler(_told_elsewhere)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(main())
    finally:
        _cancel_what_is_left(loop)
        asyncio.set_event_loop(None)
        loop.close()


def _told_elsewhere(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """What a dead process had still under way fails, and nobody is left to hear of it."""
    if "never retrieved" not in context["message"]:
        loop.default_exception_handler(context)


def _cancel_what_is_left(loop: VirtualLoop) -> None:
    left = sorted(asyncio.all_tasks(loop), key=lambda task: task.get_name())
    for task in left:
        task.cancel()
    for task in left:
        loop.run_until_complete(asyncio.wait([task]))
