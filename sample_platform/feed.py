"""What to watch next, decided from what a user likes."""

from collections import Counter
from collections.abc import Iterable, Sequence

from sample_platform.model import Taste

FEED_LENGTH = 20
"""Most posts in one feed."""

POOL_LENGTH = 100
"""How many of the newest posts a feed is chosen from."""

LIKES_MAX = 200
"""How many of a user's likes are weighed."""

AUTHOR_WEIGHT = 2
"""A liked author counts as much as two liked tags."""


def personal(user: str, liked: Iterable[Taste], pool: Iterable[Taste]) -> tuple[str, ...]:
    """Rank posts by shared tags and authors, newest first among equals.

    `pool` comes newest first. The user's own posts and those already liked are left out,
    and no post comes twice.
    """
    liked = tuple(liked)
    tags = Counter(tag for taste in liked for tag in set(taste.tags))
    authors = Counter(taste.author for taste in liked)
    seen = {taste.post for taste in liked}
    fresh = [taste for taste in pool if taste.post not in seen and taste.author != user]
    fresh.sort(key=lambda taste: -_score(taste, tags, authors))
    return _once(fresh)


def impersonal(pool: Iterable[Taste]) -> tuple[str, ...]:
    """The newest posts, for when nobody can say what the user likes."""
    return _once(list(pool))


def _score(taste: Taste, tags: Counter[str], authors: Counter[str]) -> int:
    return AUTHOR_WEIGHT * authors[taste.author] + sum(tags[tag] for tag in set(taste.tags))


def _once(tastes: Sequence[Taste]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(taste.post for taste in tastes))[:FEED_LENGTH]
