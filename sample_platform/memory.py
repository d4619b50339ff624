"""Records, Objects and ServingCheck in dictionaries, for tests and for runs without servers.

Each write is one step without a wait inside, so it is a transaction.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeVar

from sample_platform.errors import BadInput, NotAuthor, NotFound, NotServing, OtherBytes, RequestReused
from sample_platform.model import (
    Comment,
    Counts,
    LedgerEntry,
    Post,
    QueueEntry,
    QueuePage,
    Registration,
    Revision,
    Seen,
    Standing,
    Taste,
    Written,
)
from sample_platform.ports import Body, Download

T = TypeVar("T")


def _loop_time() -> datetime:
    return datetime.fromtimestamp(asyncio.get_running_loop().time(), UTC)


@dataclass(slots=True, kw_only=True)
class MemoryOffice:
    """What the engine's functions would say in this database. Also a ServingCheck."""

    installed: bool = False
    serving: int | None = None  #: the epoch, None when another site serves
    writable: bool = True  #: False: every write is refused, as by a closed fence

    def standing(self) -> Standing:
        """Who serves, now."""
        if not self.installed:
            return Standing(epoch=None, serves=True)
        return Standing(epoch=self.serving, serves=self.serving is not None)

    async def epoch(self) -> int | None:
        """As the port says."""
        return self.standing().epoch

    async def still_serving(self, epoch: int | None) -> bool:
        """As the port says."""
        standing = self.standing()
        return standing.serves if epoch is None else standing.epoch == epoch


@dataclass(slots=True, kw_only=True)
class _Queued:
    id: int
    post: str
    done: bool = False


@dataclass(slots=True, kw_only=True)
class MemoryRecords:
    """The tables of schema.sql as dictionaries in the order of insertion."""

    office: MemoryOffice = field(default_factory=MemoryOffice)
    clock: Callable[[], datetime] = _loop_time
    users: set[str] = field(default_factory=set)
    sessions: dict[str, str] = field(default_factory=dict)
    posts: dict[str, Post] = field(default_factory=dict)
    post_likes: dict[tuple[str, str], str] = field(default_factory=dict)  #: request by (post, user)
    requests: set[str] = field(default_factory=set)
    comments_by_request: dict[str, Comment] = field(default_factory=dict)
    ledger: dict[str, LedgerEntry] = field(default_factory=dict)  #: by request
    queued: list[_Queued] = field(default_factory=list)
    _ids: int = 0

    async def open_session(self, *, user: str, token: str, request: str) -> Written[str]:
        """As the port says."""
        self._check_open()
        if token in self.sessions:
            _check_same("log-in", request, self.sessions[token], user)
            return self._written(token, fresh=False)
        self.users.add(user)
        self.sessions[token] = user
        return self._written(token)

    async def session_user(self, token: str) -> Seen[str | None]:
        """As the port says."""
        return self._seen(self.sessions.get(token))

    async def register_upload(self, *, post: str, made: Registration, request: str) -> Written[str]:
        """As the port says."""
        self._check_open()
        if request in self.requests:
            if (found := self.posts.get(post)) is not None:
                same = (found.author, found.sha256)
                _check_same("upload", request, same, (made.new.author, made.sha256))
            return self._written(post, fresh=False)
        if made.new.author not in self.users:
            raise BadInput(f"author {made.new.author!r} is no user", epoch=self.office.standing().epoch)
        self.requests.add(request)
        self.posts[post] = _row(post, made, self.clock())
        self.queued.append(_Queued(id=self._next_id(), post=post))
        return self._written(post)

    async def edit(self, *, post: str, user: str, revision: Revision, request: str) -> Written[str]:
        """As the port says."""
        self._check_open()
        if request in self.requests:
            return self._written(post, fresh=False)
        self.posts[post] = replace(
            self._own(post, user),
            title=revision.title,
            caption=revision.caption,
            tags=revision.tags,
            updated_at=self.clock(),
        )
        self.requests.add(request)
        return self._written(post)

    async def delete(self, *, post: str, user: str, request: str) -> Written[str]:
        """As the port says."""
        self._check_open()
        if request in self.requests:
            return self._written(post, fresh=False)
        self._own(post, user)
        self.requests.add(request)
        self._remove(post)
        return self._written(post)

    async def like(self, *, post: str, user: str, request: str) -> Written[str]:
        """As the port says."""
        self._check_open()
        row = self._there(post)
        if (post, user) in self.post_likes:
            return self._written(post, fresh=False)
        self.post_likes[post, user] = request
        self.posts[post] = replace(row, likes=row.likes + 1)
        return self._written(post)

    async def view(self, *, post: str, request: str) -> Written[str]:
        """As the port says."""
        self._check_open()
        if request in self.requests:
            return self._written(post, fresh=False)
        row = self._there(post)
        self.requests.add(request)
        self.posts[post] = replace(row, views=row.views + 1)
        return self._written(post)

    async def comment(self, *, post: str, user: str, body: str, request: str) -> Written[int]:
        """As the port says."""
        self._check_open()
        if (found := self.comments_by_request.get(request)) is not None:
            _check_same("comment", request, (found.post, found.author, found.body), (post, user, body))
            return self._written(found.id, fresh=False)
        self._there(post)
        made = Comment(id=self._next_id(), post=post, author=user, body=body)
        self.comments_by_request[request] = made
        return self._written(made.id)

    async def earn(self, *, account: str, cents: int, post: str | None, request: str) -> Written[int]:
        """As the port says."""
        self._check_open()
        if (found := self.ledger.get(request)) is not None:
            same = (found.account, found.cents, found.post)
            _check_same("ledger entry", request, same, (account, cents, post))
            return self._written(found.id, fresh=False)
        made = LedgerEntry(id=self._next_id(), account=account, cents=cents, post=post)
        self.ledger[request] = made
        return self._written(made.id)

    async def finish(self, *, entries: Sequence[int], request: str) -> Written[int]:
        """As the port says."""
        self._check_open()
        marked = [entry for entry in self.queued if entry.id in set(entries) and not entry.done]
        for entry in marked:
            entry.done = True
        return self._written(len(marked), fresh=bool(marked))

    async def post(self, post: str) -> Seen[Post | None]:
        """As the port says."""
        return self._seen(self.posts.get(post))

    async def newest(self, *, limit: int, after: str | None) -> Seen[tuple[str, ...]]:
        """As the port says."""
        ids = [row.id for row in self._newest_first()]
        if after is not None:
            ids = ids[ids.index(after) + 1 :] if after in ids else []
        return self._seen(tuple(ids[:limit]))

    async def comments(self, post: str, *, limit: int) -> Seen[tuple[Comment, ...]]:
        """As the port says."""
        found = [comment for comment in self.comments_by_request.values() if comment.post == post]
        return self._seen(tuple(found[:limit]))

    async def likes_of(self, user: str, *, limit: int) -> Seen[tuple[Taste, ...]]:
        """As the port says."""
        liked = [row for row in self._newest_first() if (row.id, user) in self.post_likes]
        return self._seen(_tastes(liked[:limit]))

    async def recent(self, *, limit: int) -> Seen[tuple[Taste, ...]]:
        """As the port says."""
        return self._seen(_tastes(self._newest_first()[:limit]))

    async def queue(self, *, limit: int) -> Seen[QueuePage]:
        """As the port says."""
        waiting = [entry.post for entry in self.queued if not entry.done]
        done = [entry.post for entry in self.queued if entry.done]
        return self._seen(QueuePage(waiting=tuple(waiting[:limit]), done=tuple(done[-limit:])))

    async def waiting(self, *, limit: int) -> Seen[tuple[QueueEntry, ...]]:
        """As the port says."""
        found = [entry for entry in self.queued if not entry.done][:limit]
        rows = [(entry, self.posts[entry.post]) for entry in found]
        return self._seen(
            tuple(
                QueueEntry(id=entry.id, post=row.id, object_key=row.object_key, size=row.size)
                for entry, row in rows
            )
        )

    async def counts(self) -> Seen[Counts]:
        """As the port says."""
        found = Counts(
            users=len(self.users),
            sessions=len(self.sessions),
            posts=len(self.posts),
            likes=sum(row.likes for row in self.posts.values()),
            views=sum(row.views for row in self.posts.values()),
            comments=len(self.comments_by_request),
            entries=len(self.ledger),
            cents=sum(entry.cents for entry in self.ledger.values()),
            waiting=sum(not entry.done for entry in self.queued),
        )
        return self._seen(found)

    def _check_open(self) -> None:
        if not self.office.writable or not self.office.standing().serves:
            epoch = self.office.standing().epoch
            raise NotServing("the database does not accept writes: its fence is closed", epoch=epoch)

    def _there(self, post: str) -> Post:
        if post not in self.posts:
            raise NotFound(f"no post {post!r}", epoch=self.office.standing().epoch)
        return self.posts[post]

    def _own(self, post: str, user: str) -> Post:
        row = self._there(post)
        if row.author != user:
            raise NotAuthor(f"post {post!r} is not {user!r}'s: only its author may change it")
        return row

    def _remove(self, post: str) -> None:
        """Delete a row with what hangs on it, as the schema's cascades do."""
        del self.posts[post]
        self.post_likes = {key: made for key, made in self.post_likes.items() if key[0] != post}
        kept = {made: comment for made, comment in self.comments_by_request.items() if comment.post != post}
        self.comments_by_request = kept
        self.queued = [entry for entry in self.queued if entry.post != post]

    def _newest_first(self) -> list[Post]:
        return sorted(self.posts.values(), key=lambda row: (row.created_at, row.id), reverse=True)

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

    def _written(self, item: T, *, fresh: bool = True) -> Written[T]:
        return Written(item=item, fresh=fresh, epoch=self.office.standing().epoch)

    def _seen(self, value: T) -> Seen[T]:
        return Seen(value=value, standing=self.office.standing())


@dataclass(slots=True)
class MemoryObjects:
    """A bucket as a dictionary of bytes by key."""

    stored: dict[str, bytes] = field(default_factory=dict)

    async def put_if_absent(self, key: str, body: Body) -> bool:
        """As the port says."""
        data = b"".join([chunk async for chunk in body.chunks()])
        if key not in self.stored:
            self.stored[key] = data
            return True
        if self.stored[key] != data:
            raise OtherBytes(f"the store holds other bytes under {key!r} than their name says")
        return False

    async def open(self, key: str) -> Download:
        """As the port says."""
        if key not in self.stored:
            raise NotFound(f"no object {key!r}")
        return _MemoryDownload(self.stored[key])

    async def size(self, key: str) -> int | None:
        """As the port says."""
        return len(self.stored[key]) if key in self.stored else None


@dataclass(frozen=True, slots=True)
class _MemoryDownload:
    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    async def chunks(self) -> AsyncIterator[bytes]:
        if self.data:
            yield self.data

    async def close(self) -> None:
        return


def _row(post: str, made: Registration, now: datetime) -> Post:
    return Post(
        id=post,
        author=made.new.author,
        title=made.new.title,
        caption=made.new.caption,
        tags=made.new.tags,
        audio=made.new.audio,
        object_key=made.key,
        sha256=made.sha256,
        size=made.size,
        likes=0,
        views=0,
        created_at=now,
        updated_at=now,
    )


def _tastes(rows: Sequence[Post]) -> tuple[Taste, ...]:
    return tuple(Taste(post=row.id, author=row.author, tags=row.tags) for row in rows)


def _check_same(what: str, request: str, found: object, wanted: object) -> None:
    if found != wanted:
        raise RequestReused(f"request {request!r} has already made another {what}: use a new request id")
