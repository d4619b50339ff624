"""Trying again, for as long and as often as the limits allow."""

from tenacity import (
    AsyncRetrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_after_delay,
    wait_random_exponential,
)

from cutover.adapters.s3.address import Limits
from cutover.adapters.s3.answers import BROKEN, SLOW, Answer
from cutover.adapters.s3.wire import Request, Wire
from cutover.errors import Inconclusive, SiteUnreachable

WAIT_FIRST, WAIT_MAX = 0.05, 1.0
"""Longest waits before the second and before any later attempt (seconds); the true one is random below."""


class Slow(Exception):
    """The server asked to be spared, or broke down; the text says with which status."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"it answered {answer.status} {answer.code}".rstrip())
        self.status = answer.status


class Unclear(Inconclusive):
    """A write went unanswered, and what it would write is not there: it may be sent again."""


def again(limits: Limits, *wanted: type[Exception]) -> AsyncRetrying:
    """Attempts, with waits between them, for as long as one of the `wanted` errors is raised."""
    return AsyncRetrying(
        retry=retry_if_exception_type(wanted),
        stop=stop_after_attempt(limits.attempts) | stop_after_delay(limits.total_seconds),
        wait=wait_random_exponential(multiplier=WAIT_FIRST, max=WAIT_MAX),
        reraise=True,
    )


async def ask_patiently(wire: Wire, request: Request) -> Answer:
    """The answer to a write that is sent once: again only where the server says that it did nothing.

    Raises SiteUnreachable when the server breaks down, or goes on asking to be
    spared; else as `Wire.ask`.
    """

    async def once() -> Answer:
        answer = await wire.ask(request)
        if answer.status in BROKEN:
            raise SiteUnreachable(wire.place, str(Slow(answer)))
        if answer.status in SLOW:
            raise Slow(answer)
        return answer

    try:
        return await again(wire.limits, Slow)(once)
    except Slow as last:
        raise SiteUnreachable(wire.place, str(last)) from None


async def ask_again(wire: Wire, request: Request) -> Answer:
    """The answer to a request that changes nothing; raises SiteUnreachable when none came."""

    async def once() -> Answer:
        answer = await wire.ask(request)
        if answer.status in SLOW:
            raise Slow(answer)
        return answer

    try:
        return await again(wire.limits, Inconclusive, Slow)(once)
    except (Inconclusive, Slow) as last:
        raise SiteUnreachable(wire.place, str(last)) from None
