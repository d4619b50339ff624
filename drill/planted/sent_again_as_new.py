"""A call is sent again under a new request id, so that both attempts count.

Once because it takes too long, and once because nobody knows what became of it.
"""

import asyncio

from drill.planted.plant import Plant
from drill.planted.troubles import ANSWERS_LOST
from sample_platform.errors import Unknown
from sample_platform.model import Answer
from sample_platform.platform import Platform

PATIENCE_SECONDS = 0.004


class Hedging(Platform):
    """The platform, with little patience and no memory of what it has asked for."""

    async def earn(self, *, account: str, cents: int, request: str, post: str | None = None) -> Answer[int]:
        """Book it, and if no answer comes, book it again."""
        first = asyncio.ensure_future(super().earn(account=account, cents=cents, request=request, post=post))
        done, _ = await asyncio.wait({first}, timeout=PATIENCE_SECONDS)
        if not done:
            again = f"{request}/again"
            await asyncio.wait(
                {asyncio.ensure_future(super().earn(account=account, cents=cents, request=again, post=post))}
            )
        return await first


class TakenForFailed(Platform):
    """The platform, for which a transaction whose answer is lost has not happened."""

    async def earn(self, *, account: str, cents: int, request: str, post: str | None = None) -> Answer[int]:
        """Book it, and if that came to nothing, book it again."""
        try:
            return await super().earn(account=account, cents=cents, request=request, post=post)
        except Unknown:
            return await super().earn(account=account, cents=cents, request=f"{request}/again", post=post)


SENT_AGAIN_AS_NEW = Plant(
    name="sent-again-as-new",
    rule="S10",
    checker="ledger",
    about="a retry of an earning carries another request id, so that both are booked",
    symptom="earnings lost",
    processes=frozenset({"platform"}),
    platform=Hedging,
)

UNKNOWN_TAKEN_FOR_FAILED = Plant(
    name="unknown-taken-for-failed",
    rule="S10",
    checker="ledger",
    about="an earning whose answer was lost is taken for one that was not booked, and booked anew",
    symptom="earnings lost",
    processes=frozenset({"platform"}),
    under=ANSWERS_LOST,
    platform=TakenForFailed,
)
