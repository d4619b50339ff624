"""Reads the stores of a real site for the checkers, by plain SQL and plain S3.

Nothing of the engine is used here, its verifier least of all: what the engine
set aside is the one thing asked of it, by a query that the caller gives.
"""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, TypeVar

import boto3
import psycopg
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from psycopg import AsyncConnection, IsolationLevel
from psycopg.rows import class_row

from drill.stores import (
    CommentRow,
    FenceFacts,
    LedgerRow,
    LikeRow,
    ObjectFacts,
    PostRow,
    QueueRow,
    RequestRow,
    SessionRow,
    SiteStores,
    UserRow,
)

OBJECT_THREADS = 8
"""Objects read at the same time: enough to keep one small server busy, whatever their number."""

CHUNK_BYTES = 1 << 20
"""How much of an object is in memory at a time, for each thread."""

PAGE_KEYS = 1_000
"""Keys in a page of a listing: the most that S3 gives."""

ANSWER_SECONDS_MAX = 30
"""Longest wait for one answer of a store (seconds): reading happens when all is healed."""

Row = TypeVar("Row")
Key = TypeVar("Key")


class StoresUnreadable(OSError):
    """A store of a site did not let itself be read, so nothing can be concluded from it."""

    def __init__(self, *, site: str, store: str, why: str) -> None:
        super().__init__(
            f"{store} of site {site!r} cannot be read: {why}. "
            f"Checkers conclude nothing without it; see whether the site was healed."
        )
        self.site, self.store = site, store


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseAccess:
    """One database of one site, and the role that may read all of it."""

    host: str
    port: int
    database: str
    user: str
    password: str

    def __repr__(self) -> str:
        return f"DatabaseAccess({self.user}@{self.host}:{self.port}/{self.database})"


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketAccess:
    """One bucket of one site, and the key that may read all of it."""

    endpoint: str  #: URL
    bucket: str
    region: str
    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        return f"BucketAccess({self.access_key}@{self.endpoint}/{self.bucket})"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineQueries:
    """What to ask a site's database of what the engine did there; each may be left out.

    `hidden` and `kept` return rows of (table, key, reason) as text, a key as itself or as a JSON list of
    its columns; `fence` returns one row of (role, epoch).
    A query of what is not there counts as left out: the engine is not installed.
    """

    hidden: str | None = None
    kept: str | None = None
    fence: str | None = None


INSTALLED = EngineQueries(
    hidden="select table_name, key::text, reason from cutover.set_aside order by 1, 2",
    kept="select table_name, key::text, reason from cutover.quarantine order by number",
    fence="""
        select case last_value % 2 when 1 then 'open' else 'closed' end, last_value / 2
        from cutover.fence_state
    """,
)
"""The questions to an engine of this repository: what it set aside, and how its fence stands."""


@dataclass(frozen=True, slots=True)
class LiveStoreReader:
    """Reads one site. Fulfils StoreReader; raises StoresUnreadable."""

    site: str
    database: DatabaseAccess
    bucket: BucketAccess
    queries: EngineQueries = INSTALLED

    async def read(self) -> SiteStores:
        """Return all rows, as of one moment, and then every object, read to its last byte.

        Rows first: an object is put before its row is committed, so a row that
        was read has its object in the listing that follows.
        """
        tables = await self._rows()
        objects = await asyncio.to_thread(self._objects)
        return SiteStores(site=self.site, objects=objects, **tables)

    async def _rows(self) -> dict[str, Any]:
        try:
            async with await self._connect() as connection:
                await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
                await connection.set_read_only(True)
                return {
                    **await _tables(connection),
                    "hidden": await _hidden(connection, self.queries.hidden),
                    "kept": await _hidden(connection, self.queries.kept),
                    "fence": await _fence(connection, self.queries.fence),
                }
        except psycopg.Error as error:
            why = " ".join(str(error).split())
            raise StoresUnreadable(site=self.site, store=f"PostgreSQL {self.database}", why=why) from error

    async def _connect(self) -> AsyncConnection:
        return await AsyncConnection.connect(
            host=self.database.host,
            port=self.database.port,
            dbname=self.database.database,
            user=self.database.user,
            password=self.database.password,
            connect_timeout=ANSWER_SECONDS_MAX,
            application_name="cutover-drill checker",
            options="-c timezone=UTC -c datestyle=ISO",
        )

    def _objects(self) -> dict[str, ObjectFacts]:
        try:
            return read_bucket(self.bucket)
        except (BotoCoreError, ClientError) as error:
            raise StoresUnreadable(site=self.site, store=f"bucket {self.bucket}", why=str(error)) from error


async def _tables(connection: AsyncConnection) -> dict[str, Any]:
    async def by(key: Callable[[Row], Key], row: type[Row], query: str) -> dict[Key, Row]:
        async with connection.cursor(row_factory=class_row(row)) as cursor:
            await cursor.execute(query.encode())
            return {key(found): found for found in await cursor.fetchall()}

    return {
        "users": await by(lambda row: row.name, UserRow, USERS),
        "sessions": await by(lambda row: row.token, SessionRow, SESSIONS),
        "posts": {key: _tagged(row) for key, row in (await by(lambda row: row.id, PostRow, POSTS)).items()},
        "likes": await by(lambda row: (row.post_id, row.user_name), LikeRow, LIKES),
        "comments": await by(lambda row: row.id, CommentRow, COMMENTS),
        "ledger": await by(lambda row: row.id, LedgerRow, LEDGER),
        "queue": await by(lambda row: row.id, QueueRow, QUEUE),
        "requests": await by(lambda row: row.request_id, RequestRow, REQUESTS),
    }


USERS = "select name, created_at::text from users order by name"
SESSIONS = "select token, user_name, opened_at::text from sessions order by token"
POSTS = """
    select id, author, title, caption, tags, audio, object_key, sha256, size, likes, views,
           coalesce(request_id, '') as request_id, created_at::text, updated_at::text
    from posts order by id
"""
LIKES = "select post_id, user_name, coalesce(request_id, '') as request_id from post_likes order by 1, 2"
COMMENTS = """
    select id, post_id, author, body, coalesce(request_id, '') as request_id, created_at::text
    from comments order by id
"""
LEDGER = """
    select id, coalesce(post_id, '') as post_id, account, cents, coalesce(request_id, '') as request_id,
           created_at::text
    from ledger order by id
"""
QUEUE = """
    select id, post_id, state, coalesce(request_id, '') as request_id, created_at::text
    from queue order by id
"""
REQUESTS = "select request_id, made_at::text from requests order by request_id"


def _tagged(row: PostRow) -> PostRow:
    """Return the row with its tags as a tuple: the driver gives a list."""
    return replace(row, tags=tuple(row.tags))


async def _hidden(connection: AsyncConnection, query: str | None) -> dict[str, dict[str, str]]:
    hidden: dict[str, dict[str, str]] = {}
    for table, key, reason in await _asked(connection, query):
        hidden.setdefault(str(table).removeprefix("public."), {})[_key(str(key))] = str(reason)
    return hidden


def _key(text: str) -> str:
    """Return a row's key as SiteStores has it: its columns joined by `/`."""
    return "/".join(str(column) for column in json.loads(text)) if text.startswith("[") else text


async def _fence(connection: AsyncConnection, query: str | None) -> FenceFacts | None:
    for role, epoch in await _asked(connection, query):
        return FenceFacts(role=str(role), epoch=None if epoch is None else int(epoch))
    return None


async def _asked(connection: AsyncConnection, query: str | None) -> Sequence[tuple[Any, ...]]:
    if query is None:
        return ()
    try:
        async with connection.transaction(), connection.cursor() as cursor:
            await cursor.execute(query.encode())
            return await cursor.fetchall()
    except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
        return ()


def read_bucket(access: BucketAccess) -> dict[str, ObjectFacts]:
    """Return every object of a bucket by its key, each read to its last byte; memory is bounded."""
    client = boto3.client(
        "s3",
        endpoint_url=access.endpoint,
        region_name=access.region,
        aws_access_key_id=access.access_key,
        aws_secret_access_key=access.secret_key,
        config=Config(
            signature_version="s3v4",
            s3={"addressing_style": "path"},
            connect_timeout=ANSWER_SECONDS_MAX,
            read_timeout=ANSWER_SECONDS_MAX,
            retries={"total_max_attempts": 3, "mode": "standard"},
            max_pool_connections=OBJECT_THREADS,
            response_checksum_validation="when_required",
        ),
    )
    with ThreadPoolExecutor(OBJECT_THREADS, thread_name_prefix="checker") as threads:
        found = threads.map(lambda key: _object(client, access.bucket, key), _keys(client, access.bucket))
        return {key: facts for key, facts in found if facts is not None}


def _keys(client: Any, bucket: str) -> Iterator[str]:
    pages = client.get_paginator("list_objects_v2")
    for page in pages.paginate(Bucket=bucket, PaginationConfig={"PageSize": PAGE_KEYS}):
        for item in page.get("Contents", ()):
            yield item["Key"]


def _object(client: Any, bucket: str, key: str) -> tuple[str, ObjectFacts | None]:
    """Read one object; None when it has gone since it was listed."""
    try:
        answer: Mapping[str, Any] = client.get_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") == "NoSuchKey":
            return key, None
        raise
    digest, size = sha256(), 0
    with closing(answer["Body"]) as body:
        for chunk in body.iter_chunks(CHUNK_BYTES):
            digest.update(chunk)
            size += len(chunk)
    return key, ObjectFacts(size=size, sha256=digest.hexdigest(), etag=str(answer.get("ETag", "")).strip('"'))
