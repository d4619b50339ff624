"""Views are acknowledged at once, by what the site was when it last asked, and written behind.

The serving check is left out, and so is the commit that it must follow: a
check that is skipped after a commit does no harm by itself in this version,
because no site is succeeded before it was closed, and closed means that no
writer is left.
"""

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from typing import Any

from drill.planted.plant import Plant
from sample_platform.errors import PlatformError
from sample_platform.model import Answer, Written
from sample_platform.platform import Platform


class WriteBehind(Platform):
    """The platform, answering a view before anybody knows what becomes of it."""

    def __init__(self, **ports: Any) -> None:
        super().__init__(**ports)
        self._last: int | None = None
        self._behind: dict[asyncio.Future[None], None] = {}

    async def view(self, post: str, *, user: str, request: str) -> Answer[str]:
        """Say yes, then try."""
        later = asyncio.ensure_future(self._later(self._records.view(post=post, request=request)))
        self._behind[later] = None
        later.add_done_callback(lambda done: self._behind.pop(done, None))
        return Answer(value=post, site=self.site, epoch=self._last)

    async def _later(self, write: Awaitable[Written[str]]) -> None:
        with suppress(PlatformError):
            self._last = (await write).epoch

    async def _confirm(self, epoch: int | None) -> None:
        """Nobody is asked."""
        self._last = epoch


ANSWER_WITHOUT_CHECK = Plant(
    name="answer-without-check",
    rule="S1b",
    checker="acknowledged",
    about="a view is acknowledged without a look at whether the site serves and the write went in",
    processes=frozenset({"platform"}),
    platform=WriteBehind,
)
