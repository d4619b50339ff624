"""What a forked service does until it ends: its own loop, its own log, its entry's `serve`.

An entry is "module:function", where the function is

    async def serve(settings: Mapping[str, object], ready: Callable[[], None]) -> None

It calls `ready` once it serves, and runs until it is cancelled (SIGTERM).
"""

import asyncio
import contextlib
import importlib
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable, Mapping

import uvloop

Serve = Callable[[Mapping[str, object], Callable[[], None]], Awaitable[None]]

CRASHED = 70
"""Exit status of a service that failed: 1 and 2 are what a traceback or a command line use."""


def find_entry(entry: str) -> Serve:
    """Import what "module:function" names."""
    module, _, function = entry.partition(":")
    found: Serve = getattr(importlib.import_module(module), function)
    return found


def run_service(entry: str, settings: Mapping[str, object], ready_descriptor: int, *, fast: bool) -> int:
    """Run the entry until it returns or is cancelled; return the exit status."""
    try:
        make_loop = uvloop.new_event_loop if fast else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(_serve(find_entry(entry), settings, ready_descriptor))
    except BaseException:
        traceback.print_exc()
        return CRASHED
    return 0


async def _serve(serve: Serve, settings: Mapping[str, object], ready_descriptor: int) -> None:
    task = asyncio.ensure_future(serve(settings, lambda: _tell_ready(ready_descriptor)))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _tell_ready(descriptor: int) -> None:
    with contextlib.suppress(BrokenPipeError):  # said before: nobody listens any more
        os.write(descriptor, b"ready\n")


def leave(status: int) -> None:
    """End a forked child without running anything that the parent registered to run at its own end."""
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)
