"""How often a request that was definitely not done is sent again.

Retries are paid from a budget that successes fill, so that a dead database gets a tenth
more load than a living one, and not twice as much.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TypeVar

from sample_platform.errors import Unavailable

T = TypeVar("T")

ATTEMPTS_MAX = 3
"""Attempts of one request, the first included."""

PAUSE_S = 0.02
"""Longest pause before the second attempt (seconds); it doubles after that."""

WITHIN_S = 1.0
"""No attempt begins later than this after the first (seconds): a slow part is not asked again."""

BUDGET_MAX = 10.0
"""Most retries that can be saved up."""

BUDGET_SHARE = 0.1
"""Retries that one success pays for."""


class RetryBudget:
    """Repeats what raised Unavailable, as long as there is budget."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._left = BUDGET_MAX

    async def spend(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Run `attempt` until it does not raise Unavailable, or the bound is met."""
        clock = asyncio.get_running_loop().time
        began = clock()
        for nth in range(1, ATTEMPTS_MAX + 1):
            try:
                result = await attempt()
            except Unavailable:
                if nth == ATTEMPTS_MAX or self._left < 1 or clock() - began > WITHIN_S:
                    raise
                self._left -= 1
                await asyncio.sleep(self._random.uniform(0, PAUSE_S * 2 ** (nth - 1)))
            else:
                self._left = min(BUDGET_MAX, self._left + BUDGET_SHARE)
                return result
        raise AssertionError("the last attempt returns or raises")
