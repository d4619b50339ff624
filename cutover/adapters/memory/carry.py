"""How a client's request reaches what a server holds in memory, and how the answer comes back."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

Answer = TypeVar("Answer")

Pause = Callable[[], Awaitable[None]]
"""Awaited before and after each effect: it may delay, raise SiteUnreachable before, or
Inconclusive on either side, as a network does."""


class Carry(Protocol):
    """A way to one server."""

    async def __call__(self, act: Callable[[], Answer], *, effect: bool) -> Answer:
        """Let the server do `act` at one moment, and bring its answer.

        Raises SiteUnreachable when nothing can have happened, or when no answer
        came to what has no `effect`; Inconclusive when it may have happened.
        """


def paused(pause: Pause | None) -> Carry:
    """A way that pauses on both legs (None: not at all)."""

    async def carry(act: Callable[[], Answer], *, effect: bool) -> Answer:
        if pause is None:
            return act()
        await pause()
        answer = act()
        await pause()
        return answer

    return carry
