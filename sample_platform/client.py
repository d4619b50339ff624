"""The platform over HTTP, as its users see it. Fulfils PlatformApi.

One call is one attempt on the wire. What did not leave this machine is refused; what left
it and was not answered is unknown.
"""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, Self, TypeVar
from urllib.parse import quote

import aiohttp
from yarl import URL

from sample_platform import limits, wire
from sample_platform.body import CHUNK_BYTES
from sample_platform.errors import Unavailable, Unknown
from sample_platform.model import (
    Answer,
    Comment,
    Counts,
    FeedPage,
    NewPost,
    Post,
    QueuePage,
    Revision,
    Served,
    Standing,
)
from sample_platform.ports import Body

T = TypeVar("T")

CONNECT_S = 2.0
"""Longest connection attempt (seconds)."""

PATIENCE_S = 10.0
"""Longest wait for an answer (seconds), beside what the bytes themselves may take."""

SLOWEST_BYTES_PER_S = 1_000_000
"""A body may take this long on top: at this rate (bytes per second)."""


class Client:
    """One user agent, with as many connections as it has calls under way."""

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S, connections: int = 100) -> None:
        self._url = url.rstrip("/")
        self._patience_s = patience_s
        self._connections = connections
        self._opened: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._opened is not None:
            await self._opened.close()

    async def log_in(self, *, user: str, request: str) -> Answer[str]:
        """As PlatformApi says."""
        return await self._write("POST", "/login", request, {"user": user}, str)

    async def session(self, token: str) -> Answer[str]:
        """As PlatformApi says."""
        limits.check_request(token)
        return await self._ask("GET", "/session", str, headers={wire.SESSION_HEADER: token})

    async def upload(self, new: NewPost, body: Body, *, request: str) -> Answer[str]:
        """As PlatformApi says; the bytes are streamed."""
        told = wire.new_post_json(new, digest=body.sha256, size=body.size)
        headers = {
            wire.REQUEST_HEADER: limits.check_request(request),
            wire.POST_HEADER: wire.header(told),
            "Content-Length": str(body.size),
        }
        data: AsyncIterator[bytes] | bytes
        data = body.chunks() if body.path is not None else b"".join([part async for part in body.chunks()])
        return await self._ask("PUT", "/posts", str, headers=headers, data=data, size=body.size)

    async def edit(self, post: str, revision: Revision, *, user: str, request: str) -> Answer[str]:
        """As PlatformApi says."""
        told = {
            "user": user,
            "title": revision.title,
            "caption": revision.caption,
            "tags": list(revision.tags),
        }
        return await self._write("PATCH", _post_path(post), request, told, str)

    async def delete(self, post: str, *, user: str, request: str) -> Answer[str]:
        """As PlatformApi says."""
        return await self._write("DELETE", _post_path(post), request, {"user": user}, str)

    async def like(self, post: str, *, user: str, request: str) -> Answer[str]:
        """As PlatformApi says."""
        return await self._write("POST", _post_path(post) + "/like", request, {"user": user}, str)

    async def view(self, post: str, *, user: str, request: str) -> Answer[str]:
        """As PlatformApi says."""
        return await self._write("POST", _post_path(post) + "/view", request, {"user": user}, str)

    async def comment(self, post: str, *, user: str, body: str, request: str) -> Answer[int]:
        """As PlatformApi says."""
        told = {"user": user, "body": body}
        return await self._write("POST", _post_path(post) + "/comments", request, told, int)

    async def earn(self, *, account: str, cents: int, request: str, post: str | None = None) -> Answer[int]:
        """As PlatformApi says."""
        told = {"account": account, "cents": cents, "post": post}
        return await self._write("POST", "/ledger", request, told, int)

    async def look(self, post: str) -> Answer[Post]:
        """As PlatformApi says."""
        return await self._ask("GET", _post_path(post), wire.post_of)

    async def get(self, post: str) -> Answer[Served]:
        """As PlatformApi says; the bytes pass through and are not kept."""
        path = _post_path(post) + "/content"
        async with _told_as_outcome(), self._send("GET", path, {}, None, None) as answer:
            if answer.status != 200:
                return wire.read_answer(await answer.read(), _never)
            digest, size = sha256(), 0
            async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
            told = wire.read_answer(wire.from_header(answer.headers[wire.POST_HEADER]), wire.post_of)
        served = Served(post=told.value, sha256=digest.hexdigest(), size=size)
        return Answer(value=served, site=told.site, epoch=told.epoch, state=told.state, age_s=told.age_s)

    async def list(self, *, limit: int = 100, after: str | None = None) -> Answer[tuple[str, ...]]:
        """As PlatformApi says."""
        behind = "" if after is None else f"&after={_quoted(after)}"
        return await self._ask("GET", f"/posts?limit={limit}{behind}", _ids)

    async def comments(self, post: str) -> Answer[tuple[Comment, ...]]:
        """As PlatformApi says."""
        return await self._ask("GET", _post_path(post) + "/comments", wire.comments_of)

    async def feed(self, user: str) -> Answer[FeedPage]:
        """As PlatformApi says."""
        return await self._ask("GET", f"/feed/{_quoted(user)}", wire.feed_of)

    async def queue(self) -> Answer[QueuePage]:
        """As PlatformApi says."""
        return await self._ask("GET", "/queue", wire.queue_of)

    async def counts(self) -> Answer[Counts]:
        """As PlatformApi says."""
        return await self._ask("GET", "/counts", wire.counts_of)

    async def health(self) -> Answer[Standing]:
        """As PlatformApi says."""
        return await self._ask("GET", "/health", wire.standing_of)

    async def _write(
        self, method: str, path: str, request: str, told: dict[str, Any], value: Callable[[Any], T]
    ) -> Answer[T]:
        headers = {wire.REQUEST_HEADER: limits.check_request(request), "Content-Type": "application/json"}
        return await self._ask(method, path, value, headers=headers, data=json.dumps(told).encode())

    async def _ask(
        self,
        method: str,
        path: str,
        value: Callable[[Any], T],
        *,
        headers: dict[str, str] | None = None,
        data: AsyncIterator[bytes] | bytes | None = None,
        size: int = 0,
    ) -> Answer[T]:
        total_s = self._patience_s + size / SLOWEST_BYTES_PER_S
        async with _told_as_outcome(), self._send(method, path, headers or {}, data, total_s) as answer:
            return wire.read_answer(await answer.read(), value)

    def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        data: AsyncIterator[bytes] | bytes | None,
        total_s: float | None,
    ) -> "aiohttp.client._RequestContextManager":
        timeout = aiohttp.ClientTimeout(
            total=total_s, sock_connect=CONNECT_S, sock_read=total_s or self._patience_s
        )
        url = URL(self._url + path, encoded=True)
        return self._session().request(method, url, headers=headers, data=data, timeout=timeout)

    def _session(self) -> aiohttp.ClientSession:
        if self._opened is None:
            self._opened = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_field_size=wire.HEADER_BYTES_MAX,
                max_line_size=wire.HEADER_BYTES_MAX,
            )
            self._opened._retry_connection = False  # an attempt on the wire is one attempt
        return self._opened


@asynccontextmanager
async def _told_as_outcome() -> AsyncIterator[None]:
    """Turn what the transport raises into an outcome."""
    try:
        yield
    except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
        raise Unavailable(f"no connection, so nothing was sent: {error}") from error
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise Unknown(f"sent, and not answered: {type(error).__name__} {error}") from error


def _post_path(post: str) -> str:
    return f"/posts/{_quoted(post)}"


def _quoted(text: str) -> str:
    return quote(limits.check_text("a name in the address", text), safe="")


def _ids(told: Any) -> tuple[str, ...]:
    return tuple(told)


def _never(_: Any) -> Any:
    raise ValueError("a success without bytes")
