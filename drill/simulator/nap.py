"""A sleep that costs one callback: a simulated run consists of little else."""

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context, copy_context
from typing import Any, cast

from drill.simulator.loop import VirtualLoop

Wake = Callable[["Nap"], object]


class Nap:
    """Awaited by one task, it lets `seconds` of the virtual loop's time pass.

    It speaks to the task as a future does, and to the loop as the handle of the
    task's waking: a future's timer would only order another callback to do so.
    """

    __slots__ = (
        "_args",
        "_asyncio_future_blocking",
        "_callback",
        "_cancelled",
        "_context",
        "_loop",
        "seconds",
    )
    _source_traceback = None

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._asyncio_future_blocking = False
        self._cancelled = False
        self._loop = cast(VirtualLoop, asyncio.get_running_loop())
        self._callback: Wake | None = None
        self._args: tuple[Nap, ...] = ()

    def __await__(self) -> Generator[Any, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop whose time passes."""
        return self._loop

    def add_done_callback(self, wake: Wake, *, context: Context | None = None) -> None:
        """Set the timer: the task is ready to sleep."""
        self._callback, self._args = wake, (self,)
        self._context = copy_context() if context is None else context
        self._loop.due(self._loop.time() + self.seconds, self)

    def cancel(self, msg: object = None) -> bool:
        """Wake the task at once, with CancelledError."""
        if self._cancelled or self._callback is None:
            return False
        self._cancelled = True
        self._loop.call_soon(self._callback, self, context=self._context)
        return True

    def result(self) -> None:
        """Raise CancelledError when it was cut short."""
        self._callback, self._args = None, ()  # a ring, which only the collector would find
        if self._cancelled:
            raise asyncio.CancelledError
