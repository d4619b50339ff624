"""Waiting for a server that says nothing itself: until it serves, or until its process ends."""

import asyncio
from collections.abc import Awaitable, Callable

from infra.embedded.errors import ProcessFailed

LOOK_SECONDS = 0.02  #: between two looks at a port


async def ready_or_ended(ready: Awaitable[None], ended: Awaitable[int], told: Callable[[int], str]) -> None:
    """Return when `ready` does; raise ProcessFailed with what is `told` of the status if it ends instead."""
    readying, ending = asyncio.ensure_future(ready), asyncio.ensure_future(ended)
    try:
        await asyncio.wait((readying, ending), return_when=asyncio.FIRST_COMPLETED)
        if not readying.done():
            raise ProcessFailed(told(ending.result()))
        readying.result()
    finally:
        for task in (readying, ending):
            task.cancel()
        await asyncio.gather(readying, ending, return_exceptions=True)


async def until_it_listens(host: str, port: int, seconds: float) -> None:
    """Return once the port takes connections; raise ProcessFailed when `seconds` are over."""
    try:
        async with asyncio.timeout(seconds):
            while not await _listens(host, port):
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise ProcessFailed(f"nothing listened on {host}:{port} within {seconds:.0f} s") from None


async def _listens(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True
