"""The sample platform's database ports over a memory server, with all the moments of its transactions.

Rows are kept as text, column by column as in the platform's schema, so that
the engine moves them as it moves rows of PostgreSQL. What the schema does by
itself - cascades, defaults, unique keys - is written out here, as the log of a
real server shows it.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from cutover.adapters.memory.server import Fenced, MemoryServer
from cutover.adapters.memory.session import MemorySession, Work
from cutover.errors import CutoverError, Inconclusive
from cutover.model.change import Key, Row
from cutover.model.merge import Reference
from sample_platform.errors import (
    BadInput,
    NotAuthor,
    NotFound,
    NotServing,
    Refused,
    RequestReused,
    Unavailable,
    Unknown,
)
from sample_platform.model import (
    Comment,
    Counts,
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

T = TypeVar("T")

USERS = "public.users"
SESSIONS = "public.sessions"
POSTS = "public.posts"
LIKES = "public.post_likes"
REQUESTS = "public.requests"
COMMENTS = "public.comments"
LEDGER = "public.ledger"
QUEUE = "public.queue"
REFERENCES = (
    Reference(child=SESSIONS, columns=("user_name",), parent=USERS),
    Reference(child=POSTS, columns=("author",), parent=USERS),
    *(Reference(child=table, columns=("post_id",), parent=POSTS) for table in (LIKES, COMMENTS, QUEUE)),
)
"""What the schema's foreign keys say, for a merge."""
UNIQUE: dict[str, tuple[str, ...]] = dict.fromkeys((POSTS, COMMENTS, LEDGER, QUEUE), ("request_id",))
"""Columns whose values differ from row to row."""
SEQUENCES = ("queue_id", f"{COMMENTS}_id", f"{LEDGER}_id")
"""They are there before they are used first."""
HANGS_ON_A_POST = (LIKES, COMMENTS, QUEUE)
"""Tables whose rows a delete of their post takes with it."""

Body = Callable[[Work], tuple[T, bool]]
"""One transaction: its item, and whether it is new."""


def standing(server: MemoryServer) -> Standing:
    """Who serves, as the engine's function in this database says; nobody says it before it is there."""
    if not server.prepared:
        return Standing(epoch=None, serves=True)
    epoch = server.epoch if server.accepts_writes() else None
    return Standing(epoch=epoch, serves=epoch is not None)


@dataclass(frozen=True, slots=True)
class SimulatedServingCheck:
    """ServingCheck by what the memory server's fence says."""

    server: MemoryServer

    async def epoch(self) -> int | None:
        """As the port says."""
        return (await self._standing()).epoch

    async def still_serving(self, epoch: int | None) -> bool:
        """As the port says; what was written before the first epoch stands in it."""
        now = await self._standing()
        if epoch is None:
            return now.serves
        return now.epoch == epoch or (epoch == 0 and now.epoch == 1)

    async def _standing(self) -> Standing:
        return await _answered(MemorySession(self.server).read(standing))


@dataclass(frozen=True, slots=True)
class SimulatedRecords:
    """Records in the tables of a memory server."""

    server: MemoryServer

    async def open_session(self, *, user: str, token: str, request: str) -> Written[str]:
        """As the port says."""

        def body(work: Work) -> tuple[str, bool]:
            found = work.get(SESSIONS, (token,))
            if found is not None:
                _check_same("log-in", request, (found["user_name"],), (user,))
                return token, False
            if work.get(USERS, (user,)) is None:
                work.insert(USERS, (user,), {"name": user, "created_at": self._now()})
            row: Row = {"token": token, "user_name": user, "opened_at": self._now()}
            work.insert(SESSIONS, (token,), row)
            return token, True

        return await self._write(request, body)

    async def session_user(self, token: str) -> Seen[str | None]:
        """As the port says."""

        def body(server: MemoryServer) -> str | None:
            row = server.rows(SESSIONS).get((token,))
            return None if row is None else _text(row, "user_name")

        return await self._read(body)

    async def register_upload(self, *, post: str, made: Registration, request: str) -> Written[str]:
        """As the port says."""

        def body(work: Work) -> tuple[str, bool]:
            if not _first_time(work, request, self._now()):
                found = work.get(POSTS, (post,))
                if found is not None:
                    same = (found["author"], found["sha256"])
                    _check_same("upload", request, same, (made.new.author, made.sha256))
                return post, False
            if work.get(USERS, (made.new.author,)) is None:
                raise BadInput(f"author {made.new.author!r} is no user")
            work.insert(POSTS, (post,), _new_row(post, made, request, self._now()))
            entry = str(work.next_value("queue_id"))
            queued: Row = {
                "id": entry,
                "post_id": post,
                "state": "waiting",
                "request_id": request,
                "created_at": self._now(),
            }
            work.insert(QUEUE, (entry,), queued)
            return post, True

        return await self._write(request, body)

    async def edit(self, *, post: str, user: str, revision: Revision, request: str) -> Written[str]:
        """As the port says."""
        text: Row = {
            "title": revision.title,
            "caption": revision.caption,
            "tags": json.dumps(revision.tags),
            "updated_at": self._now(),
        }

        def body(work: Work) -> tuple[str, bool]:
            if not _first_time(work, request, self._now()):
                return post, False
            work.update(POSTS, (post,), _own(work, post, user) | text)
            return post, True

        return await self._write(request, body)

    async def delete(self, *, post: str, user: str, request: str) -> Written[str]:
        """As the port says; what hangs on the post goes row by row, in the same transaction."""

        def body(work: Work) -> tuple[str, bool]:
            if not _first_time(work, request, self._now()):
                return post, False
            _own(work, post, user)
            work.delete(POSTS, (post,))
            for table in HANGS_ON_A_POST:
                for key, _ in work.find(table, "post_id", post):
                    work.delete(table, key)
            return post, True

        return await self._write(request, body)

    async def like(self, *, post: str, user: str, request: str) -> Written[str]:
        """As the port says."""

        def body(work: Work) -> tuple[str, bool]:
            row = _there(work, post)
            if work.get(LIKES, (post, user)) is not None:
                return post, False
            work.insert(LIKES, (post, user), {"post_id": post, "user_name": user, "request_id": request})
            work.update(POSTS, (post,), _raised(row, "likes"))
            return post, True

        return await self._write(request, body)

    async def view(self, *, post: str, request: str) -> Written[str]:
        """As the port says."""

        def body(work: Work) -> tuple[str, bool]:
            if not _first_time(work, request, self._now()):
                return post, False
            work.update(POSTS, (post,), _raised(_there(work, post), "views"))
            return post, True

        return await self._write(request, body)

    async def comment(self, *, post: str, user: str, body: str, request: str) -> Written[int]:
        """As the port says."""
        said: Row = {"post_id": post, "author": user, "body": body}

        def add(work: Work) -> tuple[int, bool]:
            if (found := _made_before(work, COMMENTS, "comment", request, said)) is not None:
                return found, False
            _there(work, post)
            return self._numbered(work, COMMENTS, said, request), True

        return await self._write(request, add)

    async def earn(self, *, account: str, cents: int, post: str | None, request: str) -> Written[int]:
        """As the port says."""
        said: Row = {"post_id": post, "account": account, "cents": str(cents)}

        def add(work: Work) -> tuple[int, bool]:
            if (found := _made_before(work, LEDGER, "ledger entry", request, said)) is not None:
                return found, False
            return self._numbered(work, LEDGER, said, request), True

        return await self._write(request, add)

    async def finish(self, *, entries: Sequence[int], request: str) -> Written[int]:
        """As the port says."""

        def body(work: Work) -> tuple[int, bool]:
            marked = 0
            for entry in entries:
                row = work.get(QUEUE, (str(entry),))
                if row is not None and row["state"] == "waiting":
                    work.update(QUEUE, (str(entry),), row | {"state": "done"})
                    marked += 1
            return marked, marked > 0

        return await self._write(request, body)

    async def post(self, post: str) -> Seen[Post | None]:
        """As the port says."""

        def body(server: MemoryServer) -> Post | None:
            row = server.rows(POSTS).get((post,))
            return None if row is None else _post(row)

        return await self._read(body)

    async def newest(self, *, limit: int, after: str | None) -> Seen[tuple[str, ...]]:
        """As the port says."""

        def body(server: MemoryServer) -> tuple[str, ...]:
            ids = [_text(row, "id") for row in _newest_first(server)]
            if after is not None:
                ids = ids[ids.index(after) + 1 :] if after in ids else []
            return tuple(ids[:limit])

        return await self._read(body)

    async def comments(self, post: str, *, limit: int) -> Seen[tuple[Comment, ...]]:
        """As the port says."""

        def body(server: MemoryServer) -> tuple[Comment, ...]:
            rows = [row for row in _by_id(server, COMMENTS) if row["post_id"] == post][:limit]
            return tuple(_comment(row) for row in rows)

        return await self._read(body)

    async def likes_of(self, user: str, *, limit: int) -> Seen[tuple[Taste, ...]]:
        """As the port says."""

        def body(server: MemoryServer) -> tuple[Taste, ...]:
            liked = server.rows(LIKES)
            rows = [row for row in _newest_first(server) if (_text(row, "id"), user) in liked]
            return _tastes(rows[:limit])

        return await self._read(body)

    async def recent(self, *, limit: int) -> Seen[tuple[Taste, ...]]:
        """As the port says."""
        return await self._read(lambda server: _tastes(_newest_first(server)[:limit]))

    async def queue(self, *, limit: int) -> Seen[QueuePage]:
        """As the port says."""

        def body(server: MemoryServer) -> QueuePage:
            rows = _by_id(server, QUEUE)
            waiting = tuple(_text(row, "post_id") for row in rows if row["state"] == "waiting")
            done = tuple(_text(row, "post_id") for row in rows if row["state"] == "done")
            return QueuePage(waiting=waiting[:limit], done=done[-limit:])

        return await self._read(body)

    async def waiting(self, *, limit: int) -> Seen[tuple[QueueEntry, ...]]:
        """As the port says."""

        def body(server: MemoryServer) -> tuple[QueueEntry, ...]:
            posts = server.rows(POSTS)
            waiting = [row for row in _by_id(server, QUEUE) if row["state"] == "waiting"]
            owned = [(row, posts.get((_text(row, "post_id"),))) for row in waiting]
            return tuple(_entry(row, post) for row, post in owned[:limit] if post is not None)

        return await self._read(body)

    async def counts(self) -> Seen[Counts]:
        """As the port says."""
        return await self._read(_counts)

    async def _write(self, request: str, body: Body[T]) -> Written[T]:
        epochs: list[int | None] = []

        def transaction(work: Work) -> tuple[T, bool]:
            epochs.append(standing(work.server).epoch)
            return body(work)

        try:
            item, fresh = await _answered(MemorySession(self.server).write(request, transaction))
        except Refused as refused:
            if epochs:
                refused.epoch = epochs[-1]
            raise
        return Written(item=item, fresh=fresh, epoch=epochs[-1])

    async def _read(self, body: Callable[[MemoryServer], T]) -> Seen[T]:
        found = MemorySession(self.server).read(
            lambda server: Seen(value=body(server), standing=standing(server))
        )
        try:
            return await _answered(found)
        except Unknown as lost:
            raise Unavailable(f"{lost}") from lost

    def _now(self) -> str:
        return datetime.fromtimestamp(self.server.clock(), UTC).isoformat(timespec="microseconds")

    def _numbered(self, work: Work, table: str, said: Row, request: str) -> int:
        number = work.next_value(f"{table}_id")
        row = {"id": str(number), **said, "request_id": request, "created_at": self._now()}
        work.insert(table, (str(number),), row)
        return number


async def _answered(call: Awaitable[T]) -> T:
    """Await it, in the platform's own words for what goes wrong."""
    try:
        return await call
    except Fenced as refused:
        raise NotServing(f"{refused}", epoch=refused.epoch) from refused
    except Inconclusive as lost:
        raise Unknown(f"{lost}") from lost
    except CutoverError as away:
        raise Unavailable(f"{away}") from away


def _first_time(work: Work, request: str, now: str) -> bool:
    if work.get(REQUESTS, (request,)) is not None:
        return False
    work.insert(REQUESTS, (request,), {"request_id": request, "made_at": now})
    return True


def _made_before(work: Work, table: str, what: str, request: str, said: Row) -> int | None:
    """The id of the row that this request made; RequestReused when it says something else."""
    for _, row in work.find(table, "request_id", request):
        _check_same(what, request, tuple(row[name] for name in said), tuple(said.values()))
        return int(_text(row, "id"))
    return None


def _there(work: Work, post: str) -> Row:
    row = work.get(POSTS, (post,))
    if row is None:
        raise NotFound(f"no post {post!r}")
    return row


def _own(work: Work, post: str, user: str) -> Row:
    row = _there(work, post)
    if row["author"] != user:
        raise NotAuthor(f"post {post!r} is not {user!r}'s: only its author may change it")
    return row


def _check_same(what: str, request: str, found: tuple[object, ...], wanted: tuple[object, ...]) -> None:
    if found != wanted:
        raise RequestReused(f"request {request!r} has already made another {what}: use a new request id")


def _raised(row: Row, counter: str) -> Row:
    return row | {counter: str(_number(row, counter) + 1)}


def _text(row: Row, column: str) -> str:
    value = row[column]
    assert isinstance(value, str)
    return value


def _number(row: Row, column: str) -> int:
    return int(_text(row, column))


def _by_id(server: MemoryServer, table: str) -> list[Row]:
    return sorted(server.rows(table).values(), key=lambda row: _number(row, "id"))


def _newest_first(server: MemoryServer) -> list[Row]:
    rows = server.rows(POSTS).values()
    return sorted(rows, key=lambda row: (_text(row, "created_at"), _text(row, "id")), reverse=True)


def _new_row(post: str, made: Registration, request: str, now: str) -> Row:
    return {
        "id": post,
        "author": made.new.author,
        "title": made.new.title,
        "caption": made.new.caption,
        "tags": json.dumps(made.new.tags),
        "audio": made.new.audio,
        "object_key": made.key,
        "sha256": made.sha256,
        "size": str(made.size),
        "likes": "0",
        "views": "0",
        "request_id": request,
        "created_at": now,
        "updated_at": now,
    }


def _post(row: Row) -> Post:
    return Post(
        id=_text(row, "id"),
        author=_text(row, "author"),
        title=_text(row, "title"),
        caption=_text(row, "caption"),
        tags=tuple(json.loads(_text(row, "tags"))),
        audio=_text(row, "audio"),
        object_key=_text(row, "object_key"),
        sha256=_text(row, "sha256"),
        size=_number(row, "size"),
        likes=_number(row, "likes"),
        views=_number(row, "views"),
        created_at=datetime.fromisoformat(_text(row, "created_at")),
        updated_at=datetime.fromisoformat(_text(row, "updated_at")),
    )


def _comment(row: Row) -> Comment:
    return Comment(
        id=_number(row, "id"),
        post=_text(row, "post_id"),
        author=_text(row, "author"),
        body=_text(row, "body"),
    )


def _entry(row: Row, post: Row) -> QueueEntry:
    return QueueEntry(
        id=_number(row, "id"),
        post=_text(row, "post_id"),
        object_key=_text(post, "object_key"),
        size=_number(post, "size"),
    )


def _tastes(rows: Sequence[Row]) -> tuple[Taste, ...]:
    return tuple(
        Taste(post=_text(row, "id"), author=_text(row, "author"), tags=tuple(json.loads(_text(row, "tags"))))
        for row in rows
    )


def _counts(server: MemoryServer) -> Counts:
    tables: dict[str, dict[Key, Row]] = {name: server.rows(name) for name in server.tables}
    return Counts(
        users=len(tables[USERS]),
        sessions=len(tables[SESSIONS]),
        posts=len(tables[POSTS]),
        likes=sum(_number(row, "likes") for row in tables[POSTS].values()),
        views=sum(_number(row, "views") for row in tables[POSTS].values()),
        comments=len(tables[COMMENTS]),
        entries=len(tables[LEDGER]),
        cents=sum(_number(row, "cents") for row in tables[LEDGER].values()),
        waiting=sum(row["state"] == "waiting" for row in tables[QUEUE].values()),
    )
