"""What the platform's logic needs of the world.

Every adapter of `Records`, `Objects` and `ServingCheck` passes
resilience_tests/contract/platform/. They raise only what stands in errors.py:
`Refused` and its kinds when nothing was done, `Unknown` when it may have been.
"""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Protocol

from sample_platform.model import (
    Answer,
    Comment,
    Counts,
    FeedPage,
    NewPost,
    Post,
    QueueEntry,
    QueuePage,
    Registration,
    Revision,
    Seen,
    Served,
    Standing,
    Taste,
    Written,
)


class Body(Protocol):
    """Bytes of an upload, of any size, that can be read more than once."""

    @property
    def sha256(self) -> str:
        """Digest of all the bytes, lower-case hex."""

    @property
    def size(self) -> int:
        """Bytes."""

    @property
    def path(self) -> Path | None:
        """Where they lie as a file; None when they are small and in memory."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Read them from the beginning."""


class Download(Protocol):
    """An object that is being read."""

    @property
    def size(self) -> int:
        """Bytes."""

    def chunks(self) -> AsyncIterator[bytes]:
        """Read it, once; raises Unavailable when the store fails half-way."""

    async def close(self) -> None:
        """Give back what the reading holds, also when it was not read to its end."""


class Objects(Protocol):
    """The bucket. The platform never deletes from it: two posts may own equal bytes."""

    async def put_if_absent(self, key: str, body: Body) -> bool:
        """Store the bytes; True if this call did, False if equal bytes were there.

        An occupied key is read and compared: other bytes raise OtherBytes, and are never
        taken for done. When it returns, the bytes are durable. Unavailable: they may have
        been stored, which does no harm as long as no row names them.
        """

    async def open(self, key: str) -> Download:
        """Begin to read; raises NotFound or Unavailable."""

    async def size(self, key: str) -> int | None:
        """Bytes under the key, None if there are none; raises Unavailable."""


class ServingCheck(Protocol):
    """Who serves, as this site's own database knows it."""

    async def epoch(self) -> int | None:
        """The epoch under which this site serves now.

        None when it does not serve, or when no engine is installed. Raises Unavailable.
        """

    async def still_serving(self, epoch: int | None) -> bool:
        """Whether the site serves under this epoch, by a read that begins now.

        With epoch None: true while no engine is installed, and true if one has been
        installed meanwhile and says that this site serves. Raises Unavailable.
        """


class Records(Protocol):
    """The database, as transactions of the domain.

    Each write is one transaction that first sets `cutover.request_id` to its request,
    and makes its item at most once for a request: a retry returns the item with
    `fresh=False` and changes nothing, also when the first attempt is still running.
    `Written.epoch` was read inside that transaction. Writes raise NotServing when the
    database does not accept them, Unavailable when nothing was committed, and Unknown
    when the connection was lost after COMMIT was sent. Reads raise Unavailable.
    """

    async def open_session(self, *, user: str, token: str, request: str) -> Written[str]:
        """Make the user, unless there is one, and the session; the item is the token.

        RequestReused: the token belongs to another user.
        """

    async def session_user(self, token: str) -> Seen[str | None]:
        """Who opened this session; None if nobody did."""

    async def register_upload(self, *, post: str, made: Registration, request: str) -> Written[str]:
        """Make the post row and its queue entry; the item is the post's id.

        The request is remembered apart from the row, so that a late retry does not bring
        back a post that was deleted meanwhile. BadInput: the author is no user.
        RequestReused: the post stands, with other bytes or another author.
        """

    async def edit(self, *, post: str, user: str, revision: Revision, request: str) -> Written[str]:
        """Replace title, caption and tags. NotFound, NotAuthor.

        A retry does not undo an edit that came after the first attempt.
        """

    async def delete(self, *, post: str, user: str, request: str) -> Written[str]:
        """Delete the row, with its likes, comments and queue entry. NotFound, NotAuthor."""

    async def like(self, *, post: str, user: str, request: str) -> Written[str]:
        """Count a like once for a user, whatever the request. NotFound."""

    async def view(self, *, post: str, request: str) -> Written[str]:
        """Count a view once for a request. NotFound."""

    async def comment(self, *, post: str, user: str, body: str, request: str) -> Written[int]:
        """Add a comment; the item is its id. NotFound, RequestReused."""

    async def earn(self, *, account: str, cents: int, post: str | None, request: str) -> Written[int]:
        """Add a ledger entry; the item is its id. RequestReused."""

    async def finish(self, *, entries: Sequence[int], request: str) -> Written[int]:
        """Mark waiting queue entries done; the item is how many were waiting."""

    async def post(self, post: str) -> Seen[Post | None]:
        """One post."""

    async def newest(self, *, limit: int, after: str | None) -> Seen[tuple[str, ...]]:
        """Ids of posts, newest first, beginning behind the post `after` (none if it is gone)."""

    async def comments(self, post: str, *, limit: int) -> Seen[tuple[Comment, ...]]:
        """Comments of a post, oldest first."""

    async def likes_of(self, user: str, *, limit: int) -> Seen[tuple[Taste, ...]]:
        """Posts that the user likes."""

    async def recent(self, *, limit: int) -> Seen[tuple[Taste, ...]]:
        """The newest posts, newest first."""

    async def queue(self, *, limit: int) -> Seen[QueuePage]:
        """The oldest waiting and the newest done entries, up to `limit` of each."""

    async def waiting(self, *, limit: int) -> Seen[tuple[QueueEntry, ...]]:
        """The oldest waiting entries with what they deliver."""

    async def counts(self) -> Seen[Counts]:
        """Totals, all at one moment."""


class PlatformApi(Protocol):
    """The platform as its users see it: `Platform` itself, or `Client` over HTTP.

    Each call returns an Answer or raises `Refused` (not done) or `Unknown` (may have
    happened; for a read: not known).
    """

    async def log_in(self, *, user: str, request: str) -> Answer[str]:
        """Open a session; the value is its token."""

    async def session(self, token: str) -> Answer[str]:
        """The user who opened the session; NotFound."""

    async def upload(self, new: NewPost, body: Body, *, request: str) -> Answer[str]:
        """Store the bytes, register the post, queue it; the value is the post's id."""

    async def edit(self, post: str, revision: Revision, *, user: str, request: str) -> Answer[str]:
        """Replace title, caption and tags of one's own post; the value is its id."""

    async def delete(self, post: str, *, user: str, request: str) -> Answer[str]:
        """Delete one's own post; its bytes stay."""

    async def get(self, post: str) -> Answer[Served]:
        """Metadata, and the bytes read to their end."""

    async def look(self, post: str) -> Answer[Post]:
        """Metadata alone."""

    async def list(self, *, limit: int = 100, after: str | None = None) -> Answer[tuple[str, ...]]:
        """Ids of posts, newest first."""

    async def like(self, post: str, *, user: str, request: str) -> Answer[str]:
        """Like a post, once for a user."""

    async def view(self, post: str, *, user: str, request: str) -> Answer[str]:
        """Count a view."""

    async def comment(self, post: str, *, user: str, body: str, request: str) -> Answer[int]:
        """Comment on a post; the value is the comment's id."""

    async def comments(self, post: str) -> Answer[tuple[Comment, ...]]:
        """The comments of a post, oldest first."""

    async def earn(self, *, account: str, cents: int, request: str, post: str | None = None) -> Answer[int]:
        """Book cents on an account; the value is the entry's id."""

    async def feed(self, user: str) -> Answer[FeedPage]:
        """What to watch next."""

    async def queue(self) -> Answer[QueuePage]:
        """The distribution queue."""

    async def counts(self) -> Answer[Counts]:
        """Totals of the site's database."""

    async def health(self) -> Answer[Standing]:
        """Whether the site serves, and under which epoch."""
