"""What stood in the stores of one site when a drill ended, read by nobody's verifier but our own.

The engine compares sites with its own code; a mistake in that code would hide
its own damage. So checkers see this instead: rows and bytes as a reader of
`drill` found them, with nothing inferred.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class PostRow:
    """A row of `posts`."""

    id: str
    author: str
    title: str
    caption: str
    tags: tuple[str, ...]
    audio: str
    object_key: str
    sha256: str  #: hex, of the bytes as the platform received them
    size: int  #: bytes
    likes: int = 0
    views: int = 0
    request_id: str = ""
    created_at: str = ""
    updated_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommentRow:
    """A row of `comments`."""

    id: int
    post_id: str
    author: str
    body: str
    request_id: str = ""
    created_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    """A row of `ledger`: money that outlives its post."""

    id: int
    post_id: str
    account: str
    cents: int
    request_id: str = ""
    created_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LikeRow:
    """A row of `post_likes`."""

    post_id: str
    user_name: str
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """A row of `queue`."""

    id: int
    post_id: str
    state: str  #: `waiting` or `done`
    request_id: str = ""
    created_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """A row of `sessions`."""

    token: str
    user_name: str
    opened_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserRow:
    """A row of `users`."""

    name: str
    created_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """A row of `requests`: a call whose effect may happen once only."""

    request_id: str
    made_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectFacts:
    """One object, as it was read to its last byte."""

    size: int  #: bytes that were read
    sha256: str  #: hex, of the bytes that were read, whatever the store's metadata say
    etag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FenceFacts:
    """What a site's database says of its own right to accept writes."""

    role: str
    epoch: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteStores:
    """Both stores of one site, read while nothing wrote to them."""

    site: str
    users: Mapping[str, UserRow] = field(default_factory=dict)
    sessions: Mapping[str, SessionRow] = field(default_factory=dict)
    posts: Mapping[str, PostRow] = field(default_factory=dict)
    likes: Mapping[tuple[str, str], LikeRow] = field(default_factory=dict)  #: by (post, user)
    comments: Mapping[int, CommentRow] = field(default_factory=dict)
    ledger: Mapping[int, LedgerRow] = field(default_factory=dict)
    queue: Mapping[int, QueueRow] = field(default_factory=dict)
    requests: Mapping[str, RequestRow] = field(default_factory=dict)
    objects: Mapping[str, ObjectFacts] = field(default_factory=dict)
    hidden: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Table -> key -> reason of what the engine set aside or holds in quarantine.

    Table names are the schema's (`posts`, `post_likes`, ...), or `objects`; a key
    is the row's primary key as text, several columns joined by `/`.
    """
    kept: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """The same of versions that ever came to quarantine here, also when somebody has decided on them."""
    fence: FenceFacts | None = None


def with_quarantine_of(serving: SiteStores | None, other: SiteStores | None) -> SiteStores | None:
    """The serving site's stores, and as hidden there what either site keeps: both have served."""
    if serving is None:
        return None
    hidden: dict[str, dict[str, str]] = {table: dict(held) for table, held in serving.hidden.items()}
    for stores in (other, serving):
        for table, held in (stores.kept if stores else {}).items():
            hidden[table] = dict(held) | hidden.get(table, {})
    return replace(serving, hidden=hidden)


class StoreReader(Protocol):
    """Reads one site's stores for the checkers; live and memory readers exist."""

    async def read(self) -> SiteStores:
        """Return everything that both stores hold; raise OSError when a store cannot be read."""
        ...
