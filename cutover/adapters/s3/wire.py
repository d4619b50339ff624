"""One signed request, and what is known when its answer does not come.

Each failure is one of two: `SiteUnreachable` when nothing was sent, or
`Inconclusive` when the request may have been carried out. Nothing is sent
twice here; whoever calls knows whether that is safe.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from cutover.adapters.s3.address import Limits, S3Address
from cutover.adapters.s3.answers import Answer
from cutover.adapters.s3.signing import Signer
from cutover.errors import Inconclusive, SiteUnreachable

NOTHING = hashlib.sha256(b"").hexdigest()
KEEP_ALIVE_SECONDS = 4.0
"""Shorter than servers keep an idle connection (5 s is usual), so that a request rarely
meets one that is being closed."""

BLOCK_BYTES = 1 << 18

HEADER_BYTES_MAX = 1 << 17
"""Longest header that is read: stores that keep metadata in a file system take up to 64 KiB of it."""

SLOWEST_BYTES = 1 << 20
"""Slowest link that we bear (bytes a second), for a block that we send."""

AUTOMATIC = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is asked of the server."""

    method: str
    key: str | None = None  #: None: the bucket itself
    bucket: str | None = None  #: None: the address's own
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | AsyncIterator[bytes] = b""
    sha256: str | None = None  #: of the body (hex); needed when it is a stream
    size: int = 0  #: of the body (bytes); needed when it is a stream

    @property
    def length(self) -> int:
        """How many bytes the body has."""
        return len(self.body) if isinstance(self.body, bytes) else self.size


class Wire:
    """Connections to one server, made when they are first needed."""

    def __init__(self, address: S3Address, place: str, limits: Limits) -> None:
        self.address, self.place, self.limits = address, place, limits
        self._signer = Signer(address)
        self._session: aiohttp.ClientSession | None = None

    async def ask(self, request: Request) -> Answer:
        """Send it and read the whole answer, whatever its status."""
        async with self.open(request) as reply:
            return Answer(reply.status, lowered(reply), await reply.read())

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """Send it and leave the answer's body to be read inside."""
        url = self._signer.url(request.bucket or self.address.bucket, request.key, request.query)
        try:
            async with (
                asyncio.timeout(None) as patience,
                self._opened().request(
                    request.method,
                    URL(url, encoded=True),
                    data=self._sent(request.body, patience),
                    headers=self._headers(request, url),
                    allow_redirects=False,  # elsewhere nothing is promised: a page to log in is no object
                    timeout=self._patience(request),
                ) as reply,
            ):
                yield reply
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise SiteUnreachable(self.place, f"{self.address.endpoint}: {_said(error)}") from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise Inconclusive(
                f"{self.place!r} gave no whole answer to {request.method} {request.key!r} at "
                f"{self.address.endpoint}: {_said(error)}. Look before trying again."
            ) from None

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _headers(self, request: Request, url: str) -> dict[str, str]:
        digest = request.sha256
        if digest is None:
            digest = hashlib.sha256(request.body).hexdigest() if isinstance(request.body, bytes) else NOTHING
        signed = self._signer.sign(request.method, url, request.headers, sha256=digest)
        if request.method in ("PUT", "POST"):
            signed["Content-Length"] = str(request.length)
        return signed

    def _patience(self, request: Request) -> aiohttp.ClientTimeout:
        """Bound silence, and for a body that is sent at once the whole call: nobody may ever take it."""
        limits = self.limits
        whole = limits.connect_seconds + limits.answer_seconds + request.length / SLOWEST_BYTES
        return aiohttp.ClientTimeout(
            total=whole if request.length and _is_short(request.body) else None,
            sock_connect=limits.connect_seconds,
            sock_read=limits.answer_seconds,
        )

    def _sent(
        self, body: bytes | AsyncIterator[bytes], patience: asyncio.Timeout
    ) -> bytes | AsyncIterator[bytes] | None:
        """The body as aiohttp takes it; a large one in blocks, so that others get their turn."""
        if isinstance(body, bytes) and _is_short(body):
            return body or None
        return self._paced(_blocks(body) if isinstance(body, bytes) else body, patience)

    async def _paced(self, blocks: AsyncIterator[bytes], patience: asyncio.Timeout) -> AsyncIterator[bytes]:
        """Bound the time in which each block is taken: of all of them together nobody can say how long
        they need, for other bodies are on the same link.
        """
        limits, clock = self.limits, asyncio.get_running_loop().time
        async for block in blocks:
            seconds = limits.connect_seconds + limits.answer_seconds + len(block) / SLOWEST_BYTES
            patience.reschedule(clock() + seconds)
            yield block
        patience.reschedule(clock() + limits.connect_seconds + limits.answer_seconds)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self.limits.connections, keepalive_timeout=KEEP_ALIVE_SECONDS
                ),
                auto_decompress=False,
                max_field_size=HEADER_BYTES_MAX,
                skip_auto_headers=AUTOMATIC,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
            # aiohttp would send an unanswered PUT a second time by itself, and our own first
            # attempt would then look like somebody else's.
            self._session._retry_connection = False
        return self._session


def lowered(reply: aiohttp.ClientResponse) -> dict[str, str]:
    """The answer's headers with names in lower case; repeated ones joined by commas."""
    headers: dict[str, str] = {}
    for name, value in reply.headers.items():
        low = name.lower()
        headers[low] = f"{headers[low]},{value}" if low in headers else value
    return headers


def _is_short(body: bytes | AsyncIterator[bytes]) -> bool:
    return isinstance(body, bytes) and len(body) <= BLOCK_BYTES


async def _blocks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), BLOCK_BYTES):
        yield body[start : start + BLOCK_BYTES]


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
