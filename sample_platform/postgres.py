"""Records and ServingCheck on PostgreSQL."""

from collections.abc import Sequence
from pathlib import Path

from sample_platform.database import Connection, Database, Query, Row
from sample_platform.errors import NotAuthor, NotFound, RequestReused
from sample_platform.model import (
    Comment,
    Counts,
    Post,
    QueueEntry,
    QueuePage,
    Registration,
    Revision,
    Seen,
    Taste,
    Written,
)

SCHEMA = Path(__file__).with_name("schema.sql")
"""The platform's tables, for whoever prepares a database."""

_WITH_STANDING = "with standing as materialized (select {standing}) "

_POST_COLUMNS = (
    "p.id, p.author, p.title, p.caption, p.tags, p.audio, p.object_key, p.sha256, p.size,"
    " p.likes, p.views, p.created_at, p.updated_at"
)

_SESSION = Query(
    _WITH_STANDING + "select s.*, x.user_name from standing s left join sessions x on x.token = %s"
)

_POST = Query(_WITH_STANDING + f"select s.*, {_POST_COLUMNS} from standing s left join posts p on p.id = %s")

_NEWEST = Query(
    _WITH_STANDING + "select s.*, array(select id from posts order by created_at desc, id desc limit %s)"
    " from standing s"
)

_NEWEST_AFTER = Query(
    _WITH_STANDING + "select s.*, array(select id from posts where (created_at, id) <"
    " (select created_at, id from posts where id = %s) order by created_at desc, id desc limit %s)"
    " from standing s"
)

_COMMENTS = Query(
    _WITH_STANDING + "select s.*, c.id, c.author, c.body from standing s"
    " left join (select * from comments where post_id = %s order by id limit %s) c on true order by c.id"
)

_LIKES_OF = Query(
    _WITH_STANDING + "select s.*, p.id, p.author, p.tags from standing s"
    " left join (select x.id, x.author, x.tags, x.created_at"
    " from post_likes l join posts x on x.id = l.post_id"
    " where l.user_name = %s order by x.created_at desc, x.id desc limit %s) p on true"
    " order by p.created_at desc, p.id desc"
)

_RECENT = Query(
    _WITH_STANDING + "select s.*, p.id, p.author, p.tags from standing s"
    " left join (select id, author, tags, created_at from posts order by created_at desc, id desc limit %s) p"
    " on true order by p.created_at desc, p.id desc"
)

_QUEUE = Query(
    _WITH_STANDING + "select s.*,"
    " array(select post_id from queue where state = 'waiting' order by id limit %s),"
    " array(select post_id from (select id, post_id from queue where state = 'done'"
    " order by id desc limit %s) d order by id)"
    " from standing s"
)

_WAITING = Query(
    _WITH_STANDING + "select s.*, q.id, q.post_id, q.object_key, q.size from standing s"
    " left join (select e.id, e.post_id, p.object_key, p.size from queue e join posts p on p.id = e.post_id"
    " where e.state = 'waiting' order by e.id limit %s) q on true order by q.id"
)

_COUNTS = Query(
    _WITH_STANDING + "select s.*, (select count(*) from users), (select count(*) from sessions),"
    " p.posts, p.likes, p.views, (select count(*) from comments), l.entries, l.cents,"
    " (select count(*) from queue where state = 'waiting')"
    " from standing s,"
    " (select count(*) as posts, coalesce(sum(likes), 0)::bigint as likes,"
    " coalesce(sum(views), 0)::bigint as views from posts) p,"
    " (select count(*) as entries, coalesce(sum(cents), 0)::bigint as cents from ledger) l"
)

_REMEMBER = b"insert into requests (request_id) values (%s) on conflict do nothing"

_OPEN_SESSION = b"""
    with made as (insert into users (name) values (%(user)s) on conflict do nothing)
    insert into sessions (token, user_name) values (%(token)s, %(user)s) on conflict do nothing"""

_REGISTER = b"""
    with fresh as (
        insert into requests (request_id) values (%(request)s) on conflict do nothing returning request_id
    ), made as (
        insert into posts (id, author, title, caption, tags, audio, object_key, sha256, size, request_id)
        select %(post)s, %(author)s, %(title)s, %(caption)s, %(tags)s::text[], %(audio)s, %(key)s,
               %(sha256)s, %(size)s::bigint, request_id
        from fresh
        returning id, request_id
    )
    insert into queue (post_id, state, request_id) select id, 'waiting', request_id from made"""

_EDIT = b"""
    update posts set title = %s, caption = %s, tags = %s::text[], updated_at = now()
    where id = %s and author = %s"""

_LIKE = b"""
    insert into post_likes (post_id, user_name, request_id)
    select id, %s, %s from posts where id = %s for no key update
    on conflict do nothing"""

_COMMENT = b"""
    insert into comments (post_id, author, body, request_id)
    select id, %s, %s, %s from posts where id = %s for key share
    on conflict (request_id) do nothing returning id"""

_EARN = b"""
    insert into ledger (account, cents, post_id, request_id) values (%s, %s, %s, %s)
    on conflict (request_id) do nothing returning id"""


class PostgresServingCheck:
    """ServingCheck by the functions that the engine puts into this database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def epoch(self) -> int | None:
        """As the port says."""
        return (await self._database.standing()).epoch

    async def still_serving(self, epoch: int | None) -> bool:
        """As the port says."""
        return await self._database.still_serving(epoch)


class PostgresRecords:
    """Records in the tables of schema.sql.

    Locks are taken in one order (requests, posts, then what hangs on a post), so that a
    like and a delete of the same post wait for each other and never both.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def open_session(self, *, user: str, token: str, request: str) -> Written[str]:
        """As the port says."""

        async def work(connection: Connection) -> tuple[str, bool]:
            made = await connection.execute(_OPEN_SESSION, {"user": user, "token": token})
            if made.rowcount == 1:
                return token, True
            owner = await _one(connection, b"select user_name from sessions where token = %s", token)
            _check_same("log-in", request, owner, (user,))
            return token, False

        return await self._database.write(request, work)

    async def session_user(self, token: str) -> Seen[str | None]:
        """As the port says."""
        rows, standing = await self._database.read(_SESSION, (token,))
        return Seen(value=rows[0][2], standing=standing)

    async def register_upload(self, *, post: str, made: Registration, request: str) -> Written[str]:
        """As the port says."""
        row = {
            "request": request,
            "post": post,
            "author": made.new.author,
            "title": made.new.title,
            "caption": made.new.caption,
            "tags": list(made.new.tags),
            "audio": made.new.audio,
            "key": made.key,
            "sha256": made.sha256,
            "size": made.size,
        }

        async def work(connection: Connection) -> tuple[str, bool]:
            registered = await connection.execute(_REGISTER, row)
            if registered.rowcount == 1:
                return post, True
            found = await _one(connection, b"select author, sha256 from posts where id = %s", post)
            if found is not None:
                _check_same("upload", request, found, (made.new.author, made.sha256))
            return post, False

        return await self._database.write(request, work)

    async def edit(self, *, post: str, user: str, revision: Revision, request: str) -> Written[str]:
        """As the port says."""
        values = (revision.title, revision.caption, list(revision.tags), post, user)

        async def work(connection: Connection) -> tuple[str, bool]:
            if not await _first_time(connection, request):
                return post, False
            if (await connection.execute(_EDIT, values)).rowcount == 0:
                raise await _why_not(connection, post, user)
            return post, True

        return await self._database.write(request, work)

    async def delete(self, *, post: str, user: str, request: str) -> Written[str]:
        """As the port says."""

        async def work(connection: Connection) -> tuple[str, bool]:
            if not await _first_time(connection, request):
                return post, False
            gone = await connection.execute(b"delete from posts where id = %s and author = %s", (post, user))
            if gone.rowcount == 0:
                raise await _why_not(connection, post, user)
            return post, True

        return await self._database.write(request, work)

    async def like(self, *, post: str, user: str, request: str) -> Written[str]:
        """As the port says."""

        async def work(connection: Connection) -> tuple[str, bool]:
            if (await connection.execute(_LIKE, (user, request, post))).rowcount == 1:
                await connection.execute(b"update posts set likes = likes + 1 where id = %s", (post,))
                return post, True
            if await _one(connection, b"select id from posts where id = %s", post) is None:
                raise _no_post(post)
            return post, False

        return await self._database.write(request, work)

    async def view(self, *, post: str, request: str) -> Written[str]:
        """As the port says."""

        async def work(connection: Connection) -> tuple[str, bool]:
            if not await _first_time(connection, request):
                return post, False
            counted = await connection.execute(b"update posts set views = views + 1 where id = %s", (post,))
            if counted.rowcount == 0:
                raise _no_post(post)
            return post, True

        return await self._database.write(request, work)

    async def comment(self, *, post: str, user: str, body: str, request: str) -> Written[int]:
        """As the port says."""

        async def work(connection: Connection) -> tuple[int, bool]:
            cursor = await connection.execute(_COMMENT, (user, body, request, post))
            if (row := await cursor.fetchone()) is not None:
                return row[0], True
            same = b"select id, post_id, author, body from comments where request_id = %s"
            found = await _one(connection, same, request)
            if found is None:
                raise _no_post(post)
            _check_same("comment", request, found[1:], (post, user, body))
            return found[0], False

        return await self._database.write(request, work)

    async def earn(self, *, account: str, cents: int, post: str | None, request: str) -> Written[int]:
        """As the port says."""

        async def work(connection: Connection) -> tuple[int, bool]:
            cursor = await connection.execute(_EARN, (account, cents, post, request))
            if (row := await cursor.fetchone()) is not None:
                return row[0], True
            same = b"select id, account, cents, post_id from ledger where request_id = %s"
            found = await _one(connection, same, request)
            assert found is not None
            _check_same("ledger entry", request, found[1:], (account, cents, post))
            return found[0], False

        return await self._database.write(request, work)

    async def finish(self, *, entries: Sequence[int], request: str) -> Written[int]:
        """As the port says."""

        async def work(connection: Connection) -> tuple[int, bool]:
            mark = b"update queue set state = 'done' where id = any(%s::bigint[]) and state = 'waiting'"
            marked = await connection.execute(mark, (list(entries),))
            return marked.rowcount, marked.rowcount > 0

        return await self._database.write(request, work)

    async def post(self, post: str) -> Seen[Post | None]:
        """As the port says."""
        rows, standing = await self._database.read(_POST, (post,))
        return Seen(value=_post(rows[0][2:]), standing=standing)

    async def newest(self, *, limit: int, after: str | None) -> Seen[tuple[str, ...]]:
        """As the port says."""
        if after is None:
            rows, standing = await self._database.read(_NEWEST, (limit,))
        else:
            rows, standing = await self._database.read(_NEWEST_AFTER, (after, limit))
        return Seen(value=tuple(rows[0][2]), standing=standing)

    async def comments(self, post: str, *, limit: int) -> Seen[tuple[Comment, ...]]:
        """As the port says."""
        rows, standing = await self._database.read(_COMMENTS, (post, limit))
        found = tuple(
            Comment(id=row[2], post=post, author=row[3], body=row[4]) for row in rows if row[2] is not None
        )
        return Seen(value=found, standing=standing)

    async def likes_of(self, user: str, *, limit: int) -> Seen[tuple[Taste, ...]]:
        """As the port says."""
        rows, standing = await self._database.read(_LIKES_OF, (user, limit))
        return Seen(value=_tastes(rows), standing=standing)

    async def recent(self, *, limit: int) -> Seen[tuple[Taste, ...]]:
        """As the port says."""
        rows, standing = await self._database.read(_RECENT, (limit,))
        return Seen(value=_tastes(rows), standing=standing)

    async def queue(self, *, limit: int) -> Seen[QueuePage]:
        """As the port says."""
        rows, standing = await self._database.read(_QUEUE, (limit, limit))
        page = QueuePage(waiting=tuple(rows[0][2]), done=tuple(rows[0][3]))
        return Seen(value=page, standing=standing)

    async def waiting(self, *, limit: int) -> Seen[tuple[QueueEntry, ...]]:
        """As the port says."""
        rows, standing = await self._database.read(_WAITING, (limit,))
        found = tuple(
            QueueEntry(id=row[2], post=row[3], object_key=row[4], size=row[5])
            for row in rows
            if row[2] is not None
        )
        return Seen(value=found, standing=standing)

    async def counts(self) -> Seen[Counts]:
        """As the port says."""
        rows, standing = await self._database.read(_COUNTS)
        users, sessions, posts, likes, views, comments, entries, cents, waiting = rows[0][2:]
        found = Counts(
            users=users,
            sessions=sessions,
            posts=posts,
            likes=likes,
            views=views,
            comments=comments,
            entries=entries,
            cents=cents,
            waiting=waiting,
        )
        return Seen(value=found, standing=standing)


async def _one(connection: Connection, statement: bytes, key: object) -> Row | None:
    return await (await connection.execute(statement, (key,))).fetchone()


async def _first_time(connection: Connection, request: str) -> bool:
    """Remember the request; waits for another attempt of it that is under way."""
    return (await connection.execute(_REMEMBER, (request,))).rowcount == 1


async def _why_not(connection: Connection, post: str, user: str) -> NotFound | NotAuthor:
    if await _one(connection, b"select id from posts where id = %s", post) is None:
        return _no_post(post)
    return NotAuthor(f"post {post!r} is not {user!r}'s: only its author may change it")


def _no_post(post: str) -> NotFound:
    return NotFound(f"no post {post!r}")


def _check_same(what: str, request: str, found: Row | None, wanted: Row) -> None:
    if found != wanted:
        raise RequestReused(f"request {request!r} has already made another {what}: use a new request id")


def _post(row: Row) -> Post | None:
    if row[0] is None:
        return None
    return Post(
        id=row[0],
        author=row[1],
        title=row[2],
        caption=row[3],
        tags=tuple(row[4]),
        audio=row[5],
        object_key=row[6],
        sha256=row[7],
        size=row[8],
        likes=row[9],
        views=row[10],
        created_at=row[11],
        updated_at=row[12],
    )


def _tastes(rows: Sequence[Row]) -> tuple[Taste, ...]:
    return tuple(Taste(post=row[2], author=row[3], tags=tuple(row[4])) for row in rows if row[2] is not None)
