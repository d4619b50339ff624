"""What a client does next, chosen by its own random source from what it knows of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from sample_platform.feed import FEED_LENGTH, POOL_LENGTH
from sample_platform.limits import PAGE_MAX

USERS = 24
TAGS = ("dance", "cats", "news", "cooking", "fitness", "travel", "music", "diy", "football", "art")
SOUNDS = ("", "rain on tin", "drum loop 7", "crowd", "original sound")
WORDS = ("a day", "in the kitchen", "behind the scenes", "part two", "why it works", "ünder wasser", "日常")

SHARES = {
    "view": 26,
    "like": 16,
    "comment": 14,
    "earn": 9,
    "get": 14,
    "feed": 6,
    "list": 3,
    "edit": 6,
    "delete": 3,
    "log_in": 2,
    "queue": 1,
}
"""How often each operation comes among those that are not uploads (in the hundred)."""

BODY_BYTES_MAX = 12_000
"""Largest upload of the workload; random bytes, so that no store can make them smaller."""
SAME_BYTES_ONE_IN = 12
"""One upload in so many owns bytes that another post owns already."""


LIST_POSTS = 50
"""Most posts that a client asks for at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One operation, before it is sent."""

    f: str
    user: str
    key: str = ""  #: post, or account for `earn`
    value: dict[str, object] = field(default_factory=dict)
    body: bytes = b""


@dataclass(slots=True)
class Known:
    """What the clients of one workload know of: the posts that were answered to any of them."""

    authors: dict[str, str] = field(default_factory=dict)  #: by post, in the order of their answers
    bodies: list[bytes] = field(default_factory=list)

    def add(self, post: str, author: str) -> None:
        """A post was acknowledged."""
        self.authors[post] = author

    def drop(self, post: str) -> None:
        """A user has asked for its deletion."""
        self.authors.pop(post, None)


def shuffled_kinds(random: Random, uploads: int, others: int) -> list[str]:
    """The kinds of all operations in a seeded order, with a few uploads first."""
    names, weights = list(SHARES), list(SHARES.values())
    kinds = ["upload"] * uploads + random.choices(names, weights, k=others)
    random.shuffle(kinds)
    early = min(uploads, 8)
    return ["upload"] * early + _without(kinds, early)


def more(random: Random) -> str:
    """One more kind, when all are used up and the clients shall go on."""
    return random.choices(list(SHARES), list(SHARES.values()))[0]


def _without(kinds: Sequence[str], uploads: int) -> list[str]:
    kept = []
    for kind in kinds:
        if kind == "upload" and uploads:
            uploads -= 1
        else:
            kept.append(kind)
    return kept


def first_log_ins() -> list[Wish]:
    """Every user logs in once before anything else: only a user can own a post."""
    return [Wish(f="log_in", user=f"user-{n}", key=f"user-{n}") for n in range(USERS)]


def wish(kind: str, random: Random, known: Known) -> Wish:
    """One operation of this kind; a log-in when it would need a post and none is known."""
    user = f"user-{random.randrange(USERS)}"
    if kind == "upload":
        return _upload(user, random, known)
    if kind == "log_in":
        return Wish(f="log_in", user=user, key=user)
    if kind == "feed":
        return Wish(f="feed", user=user, key=user, value={"page": FEED_LENGTH, "of": POOL_LENGTH})
    if kind == "list":
        return Wish(f="list", user=user, value={"page": LIST_POSTS})
    if kind == "queue":
        return Wish(f="queue", user=user, value={"page": PAGE_MAX})
    if not known.authors:
        return Wish(f="log_in", user=user, key=user)
    return _on_a_post(kind, user, random, known)


def _upload(user: str, random: Random, known: Known) -> Wish:
    if known.bodies and random.randrange(SAME_BYTES_ONE_IN) == 0:
        body = random.choice(known.bodies)
    else:
        body = random.randbytes(random.randrange(BODY_BYTES_MAX))
        known.bodies.append(body)
    return Wish(
        f="upload", user=user, value=_text(user, random) | {"audio": random.choice(SOUNDS)}, body=body
    )


def _text(user: str, random: Random) -> dict[str, object]:
    return {
        "user": user,
        "title": f"{random.choice(WORDS)} {random.randrange(10**6)}",
        "caption": " ".join(random.choices(WORDS, k=3)),
        "tags": random.sample(TAGS, random.randrange(4)),
    }


def _on_a_post(kind: str, user: str, random: Random, known: Known) -> Wish:
    post = random.choice(list(known.authors))
    author = known.authors[post]
    match kind:
        case "edit":
            return Wish(f="edit", user=author, key=post, value=_text(author, random))
        case "delete":
            known.drop(post)
            return Wish(f="delete", user=author, key=post, value={"user": author})
        case "comment":
            body = f"{random.choice(WORDS)} {random.randrange(10**9)}"
            return Wish(f="comment", user=user, key=post, value={"user": user, "body": body})
        case "earn":
            cents = random.randrange(1, 5_000)
            return Wish(
                f="earn", user=author, key=author, value={"account": author, "cents": cents, "post": post}
            )
        case "get":
            return Wish(f="get", user=user, key=post)
        case _:
            return Wish(f=kind, user=user, key=post, value={"user": user})
