"""Reads that answer although they do not know: zeros for a time-out, an old page as if it were new."""

import asyncio
from dataclasses import replace
from typing import Any

from drill.planted.plant import Plant
from sample_platform.model import Answer, Post
from sample_platform.platform import Platform

PATIENCE_SECONDS = 0.003
KEPT_SECONDS = 2.0


class ZeroOnTimeOut(Platform):
    """The platform, whose numbers are 0 when they do not come in time."""

    async def look(self, post: str) -> Answer[Post]:
        """The row; without its numbers when the database is slow."""
        answer = asyncio.ensure_future(super().look(post))
        done, _ = await asyncio.wait({answer}, timeout=PATIENCE_SECONDS)
        seen = await answer
        return seen if done else replace(seen, value=replace(seen.value, views=0, likes=0))


class PageFromYesterday(Platform):
    """The platform behind a cache that does not say how old a page is."""

    def __init__(self, **ports: Any) -> None:
        super().__init__(**ports)
        self._pages: dict[str, tuple[float, Answer[Post]]] = {}

    async def look(self, post: str) -> Answer[Post]:
        """The row, or what it was within the last two seconds."""
        now = asyncio.get_running_loop().time()
        kept_at, page = self._pages.get(post, (-KEPT_SECONDS, None))
        if page is None or now - kept_at >= KEPT_SECONDS:
            page = await super().look(post)
            self._pages[post] = now, page
        return page


ZERO_ON_TIME_OUT = Plant(
    name="zero-on-time-out",
    rule="S9",
    checker="read_honesty",
    about="a number that does not come in time is shown as 0",
    symptom="0 views, 0 likes, 0 earnings on time-outs",
    processes=frozenset({"platform"}),
    platform=ZeroOnTimeOut,
)

OLD_PAGE_AS_KNOWN = Plant(
    name="old-page-as-known",
    rule="S9",
    checker="read_honesty",
    about="a cached page is served as known, with no word of its age",
    symptom="0 views, 0 likes, 0 earnings on time-outs",
    processes=frozenset({"platform"}),
    platform=PageFromYesterday,
)
