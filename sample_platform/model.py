"""What the platform speaks of."""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Generic, Literal, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Known = Literal["known", "stale"]


def post_id(request: str) -> str:
    """The id of the post that an upload's request makes, at whichever site it is made."""
    return "p-" + sha256(request.encode()).hexdigest()[:24]


def session_token(request: str) -> str:
    """The token of the session that a log-in's request opens."""
    return "s-" + sha256(b"session " + request.encode()).hexdigest()[:40]


def object_key(digest: str) -> str:
    """Where bytes with this sha256 (hex) lie in the bucket."""
    return f"objects/{digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPost:
    """What an author says about an upload; digest and size come from the bytes."""

    author: str
    title: str
    caption: str = ""
    tags: tuple[str, ...] = ()
    audio: str = ""  #: name of the sound used; empty when the post has its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """What an edit sets; all three fields are replaced."""

    title: str
    caption: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """A post row about to be made, its bytes already in the store."""

    new: NewPost
    sha256: str
    size: int  #: bytes

    @property
    def key(self) -> str:
        """The object that the row owns."""
        return object_key(self.sha256)


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """One row of `posts`, as it is served."""

    id: str
    author: str
    title: str
    caption: str
    tags: tuple[str, ...]
    audio: str
    object_key: str
    sha256: str
    size: int  #: bytes
    likes: int
    views: int
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Comment:
    """One comment; the id is the database's."""

    id: int
    post: str
    author: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """Cents earned by an account; `post` may name one that is gone."""

    id: int
    account: str
    cents: int
    post: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Taste:
    """As much of a post as a feed is made from."""

    post: str
    author: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedPage:
    """Post ids, best first, none twice; degraded when it is not personal."""

    posts: tuple[str, ...]
    degraded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueEntry:
    """A waiting entry of the distribution queue, with the object to deliver."""

    id: int
    post: str
    object_key: str
    size: int  #: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class QueuePage:
    """Post ids by the state of their queue entry, oldest first."""

    waiting: tuple[str, ...]
    done: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much of everything the site's database holds, at one moment."""

    users: int
    sessions: int
    posts: int
    likes: int
    views: int
    comments: int
    entries: int
    cents: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What the database said of its own right to serve, in the same transaction.

    Without an engine installed nobody says anything: epoch None, and it serves.
    """

    epoch: int | None
    serves: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Written(Generic[T_co]):
    """A committed write: `fresh` is False when an earlier attempt had already made the item."""

    item: T_co
    fresh: bool
    epoch: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen(Generic[T_co]):
    """What one read found, and the standing of the site at that moment."""

    value: T_co
    standing: Standing


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A post with what its bytes turned out to be when they were read to their end."""

    post: Post
    sha256: str
    size: int  #: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[T_co]):
    """A success: an acknowledged write, or a read whose value is known or stale.

    A stale value carries its age in seconds, or None where only the engine could tell
    (the site does not serve). What is unknown is raised, never answered.
    """

    value: T_co
    site: str | None
    epoch: int | None
    state: Known = "known"
    age_s: float | None = 0.0
    fresh: bool = True
