"""Objects on any S3-compatible store, in a bounded set of threads.

obstore does what a drill does thousands of times, at a tenth of boto3's cost; boto3 puts
files, which it streams and obstore would hold in memory. Keys are content-addressed, so
all of them come through obstore unchanged. The digest of a body is its payload's
signature: the server refuses bytes that were damaged on the way. A thread outlives a
cancelled coroutine; `close` waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from typing import Any, Protocol, TypeVar

import boto3
import obstore
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from obstore.exceptions import AlreadyExistsError, BaseError, NotFoundError
from obstore.store import S3Store

from sample_platform.body import CHUNK_BYTES
from sample_platform.errors import NotFound, OtherBytes, Unavailable
from sample_platform.ports import Body, Download

T = TypeVar("T")

THREADS_MAX = 8
"""Requests to the store at once."""

CONNECT_S = 2
"""Longest connection attempt (seconds)."""

QUICK_S = 5
"""Longest silence of the store in an ordinary request (seconds)."""

PATIENT_S = 120
"""Longest silence while the store makes a file durable (seconds)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Which bucket, where, and with whose rights."""

    endpoint: str
    bucket: str
    region: str
    access_key: str
    secret_key: str


class _Taken(Exception):
    """The key has an object already, or another put of it is under way."""


class S3Objects:
    """One bucket."""

    def __init__(self, store: Store) -> None:
        self._where = store
        self._quick = _quick(store)
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="platform-s3")

    async def close(self) -> None:
        """End the threads, waiting for requests that are under way."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        if "_patient" in self.__dict__:
            self._patient.close()

    @cached_property
    def _patient(self) -> Any:
        return _patient(self._where)

    async def put_if_absent(self, key: str, body: Body) -> bool:
        """As the port says."""
        if body.path is not None:
            put = partial(self._put_file, key, body)
        else:
            put = partial(self._put, key, b"".join([chunk async for chunk in body.chunks()]))
        try:
            await self._run(put)
        except _Taken as taken:
            if not await self._same(key, body):
                raise OtherBytes(
                    f"the store holds other bytes under {key!r} than their name says; "
                    f"nothing was changed. Look at that object before anything else."
                ) from taken
            return False
        return True

    async def open(self, key: str) -> Download:
        """As the port says."""
        return await self._run(partial(self._get, key))

    async def size(self, key: str) -> int | None:
        """As the port says."""
        try:
            return (await self._run(partial(obstore.head, self._quick, key)))["size"]
        except NotFound:
            return None

    def _put(self, key: str, data: bytes) -> None:
        try:
            obstore.put(self._quick, key, data, mode="create", use_multipart=False)
        except AlreadyExistsError as error:
            raise _Taken from error

    def _put_file(self, key: str, body: Body) -> None:
        assert body.path is not None
        with body.path.open("rb") as file:
            try:
                self._patient.put_object(Bucket=self._where.bucket, Key=key, Body=file, IfNoneMatch="*")
            except ClientError as error:
                if _status(error) in (409, 412):
                    raise _Taken from error
                raise

    def _get(self, key: str) -> Download:
        found = obstore.get(self._quick, key)
        size = found.meta["size"]
        if size <= CHUNK_BYTES:
            return _Whole(bytes(found.bytes()))
        return _Streamed(size=size, key=key, pieces=iter(found.stream(CHUNK_BYTES)), run=self._run)

    async def _same(self, key: str, body: Body) -> bool:
        """Read what is there and compare. A 409 may come while another put is under way."""
        try:
            there = await self.open(key)
        except NotFound as error:
            raise Unavailable(f"{key!r} was taken and is not there: another put is under way") from error
        digest, size = sha256(), 0
        try:
            async for chunk in there.chunks():
                digest.update(chunk)
                size += len(chunk)
        finally:
            await there.close()
        return size == body.size and digest.hexdigest() == body.sha256

    async def _run(self, call: Callable[[], T]) -> T:
        """Run in a thread; raises NotFound, _Taken, or Unavailable for all else."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except (NotFoundError, FileNotFoundError) as error:
            raise NotFound(f"the store has no such object: {_said(error)}") from error
        except (BaseError, ClientError, BotoCoreError, HTTPClientError, OSError) as error:
            raise Unavailable(f"the store did not do it: {_said(error)}") from error


class _Run(Protocol):
    """Runs a call in one of the store's threads."""

    def __call__(self, call: Callable[[], T], /) -> Awaitable[T]: ...


@dataclass(frozen=True, slots=True)
class _Whole:
    """A small object, read already."""

    data: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)

    async def chunks(self) -> AsyncIterator[bytes]:
        """All at once."""
        if self.data:
            yield self.data

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True, kw_only=True)
class _Streamed:
    """A large object, read as it is asked for."""

    size: int
    key: str
    pieces: Iterator[Any] | None
    run: _Run

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read the object; a body that ends early raises Unavailable."""
        left = self.size
        while self.pieces is not None and left > 0:
            chunk = await self.run(partial(_next, self.pieces))
            if not chunk:
                raise Unavailable(f"{self.key!r} ended {left} bytes early")
            left -= len(chunk)
            yield chunk

    async def close(self) -> None:
        """Let go of the connection."""
        self.pieces = None


def _next(pieces: Iterator[Any]) -> bytes:
    return bytes(next(pieces, b""))


def _quick(store: Store) -> S3Store:
    return S3Store(
        store.bucket,
        endpoint=store.endpoint,
        region=store.region,
        access_key_id=store.access_key,
        secret_access_key=store.secret_key,
        virtual_hosted_style_request=False,
        client_options={
            "allow_http": True,
            "connect_timeout": f"{CONNECT_S}s",
            "read_timeout": f"{QUICK_S}s",
            "timeout": "1h",
        },
        retry_config={"max_retries": 0},
    )


def _patient(store: Store) -> Any:
    session = boto3.session.Session(
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        region_name=store.region,
    )
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=PATIENT_S,
        retries={"total_max_attempts": 1},
        max_pool_connections=THREADS_MAX,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
    )
    return session.client("s3", endpoint_url=store.endpoint, config=config)


def _status(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
