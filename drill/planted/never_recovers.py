"""A platform that was refused once refuses nine calls of ten from then on, whatever is wrong or not."""

from collections.abc import Awaitable
from typing import TypeVar

from drill.planted.plant import Plant
from drill.planted.troubles import MANY_OPERATIONS
from sample_platform.errors import NotServing, PlatformError, Unavailable
from sample_platform.platform import Platform

T = TypeVar("T")

LET_THROUGH_ONE_IN = 10


class NeverRecovers(Platform):
    """The platform, with a breaker that nothing closes."""

    _broken = False

    async def _told(self, work: Awaitable[T]) -> T:
        """Refuse by habit."""
        if self._broken and self._random.randrange(LET_THROUGH_ONE_IN):
            getattr(work, "close", lambda: None)()
            raise Unavailable("overloaded", site=self.site)
        try:
            return await super()._told(work)
        except (NotServing, Unavailable):
            self._broken = True
            raise
        except PlatformError:
            raise


NEVER_RECOVERS = Plant(
    name="never-recovers",
    rule="S9",
    checker="cascade",
    about="one refusal opens a breaker that nothing closes, and clients send everything ten times",
    symptom="one failure becomes many",
    processes=frozenset({"platform"}),
    under=MANY_OPERATIONS,
    platform=NeverRecovers,
)
