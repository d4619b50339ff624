"""Feeds that got worse with nobody having said so."""

from dataclasses import replace

from drill.planted.plant import Plant
from sample_platform import feed
from sample_platform.model import Answer, FeedPage
from sample_platform.platform import Platform


class Generic(Platform):
    """The platform, falling back to the newest posts in silence."""

    async def feed(self, user: str) -> Answer[FeedPage]:
        """The same page for everybody, said to be personal."""
        pool = await self._read(lambda: self._records.recent(limit=feed.POOL_LENGTH))
        return self._answer(FeedPage(posts=feed.impersonal(pool.value), degraded=False), pool.standing)


class Repeating(Platform):
    """The platform, filling a short feed up with what it has shown."""

    async def feed(self, user: str) -> Answer[FeedPage]:
        """The same few videos again."""
        answer = await super().feed(user)
        again = (answer.value.posts * feed.FEED_LENGTH)[: feed.FEED_LENGTH]
        return replace(answer, value=replace(answer.value, posts=again))


FEED_GENERIC = Plant(
    name="feed-generic",
    rule="S9",
    checker="feed",
    about="the newest posts are shown to everybody as a personal feed",
    symptom="feed generic, the same few videos again",
    processes=frozenset({"platform"}),
    platform=Generic,
)

FEED_REPEATS = Plant(
    name="feed-repeats",
    rule="S9",
    checker="read_honesty",
    about="a feed that is too short is filled up with the posts that it has shown",
    symptom="feed generic, the same few videos again",
    processes=frozenset({"platform"}),
    platform=Repeating,
)
