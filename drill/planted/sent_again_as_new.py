"""A call that takes too long is sent again under a new request id, so that both attempts count."""

import asyncio

from drill.planted.plant import Plant
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


SENT_AGAIN_AS_NEW = Plant(
    name="sent-again-as-new",
    rule="S10",
    checker="ledger",
    about="a retry of an earning carries another request id, so that both are booked",
    symptom="earnings lost",
    processes=frozenset({"platform"}),
    platform=Hedging,
)
