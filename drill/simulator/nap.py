"""A sleep that costs one callback: a simulated run consists of little else."""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import Any

Wake = Callable[["Nap"], object]


class Nap:
    """Awaited by one task, it lets `seconds` of the loop's time pass.

    It speaks to the task as a future does, but its timer wakes the task itself;
    a future's timer would only order another callback to do so.
    """

    __slots__ = ("_asyncio_future_blocking", "_cancelled", "_context", "_loop", "_timer", "_wake", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._asyncio_future_blocking = False
        self._cancelled = False
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._wake: Wake | None = None
        self._context: Context | None = None

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop whose time passes."""
        return self._loop

    def add_done_callback(self, wake: Wake, *, context: Context | None = None) -> None:
        """Set the timer: the task is ready to sleep."""
        self._wake, self._context = wake, context
        when = self._loop.time() + self.seconds
        self._timer = self._loop.call_at(when, wake, self, context=context)

    def cancel(self, msg: object = None) -> bool:
        """Wake the task at once, with CancelledError."""
        if self._cancelled or self._timer is None or self._wake is None:
            return False
        self._cancelled = True
        self._timer.cancel()
        self._loop.call_soon(self._wake, self, context=self._context)
        return True

    def result(self) -> None:
        """Raise CancelledError when it was cut short."""
        self._timer = self._wake = None  # a ring, which only the collector would find
        if self._cancelled:
            raise asyncio.CancelledError
