"""Objects on any S3-compatible store, by boto3 in a bounded set of threads.

The digest of a body is its payload's signature, so that the server refuses bytes that
were damaged on the way. A thread outlives a cancelled coroutine; `close` waits for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

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
"""Longest silence while the store makes a large body durable (seconds)."""

LARGE_BYTES = 1 << 25
"""A body of this size or more is put with patience."""

ABSENT_CODES = {"NoSuchKey", "404", "NotFound"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Which bucket, where, and with whose rights."""

    endpoint: str
    bucket: str
    region: str
    access_key: str
    secret_key: str


class S3Objects:
    """One bucket."""

    def __init__(self, store: Store) -> None:
        self._bucket = store.bucket
        session = _session(store)
        self._quick = _client(session, store.endpoint, QUICK_S)
        self._patient = _client(session, store.endpoint, PATIENT_S)
        self._threads = ThreadPoolExecutor(THREADS_MAX, thread_name_prefix="platform-s3")

    async def close(self) -> None:
        """End the threads, waiting for requests that are under way."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._quick.close()
        self._patient.close()

    async def put_if_absent(self, key: str, body: Body) -> bool:
        """As the port says."""
        if body.path is not None:
            put = partial(self._put_file, key, body)
        else:
            put = partial(self._put, self._quick, key, b"".join([chunk async for chunk in body.chunks()]))
        try:
            await self._run(put)
        except ClientError as error:
            if _status(error) not in (409, 412):
                raise _unavailable("put", key, error) from error
            if not await self._same(key, body):
                raise OtherBytes(
                    f"the store holds other bytes under {key!r} than their name says; "
                    f"nothing was changed. Look at that object before anything else."
                ) from error
            return False
        return True

    async def open(self, key: str) -> Download:
        """As the port says."""
        try:
            answer = await self._run(partial(self._quick.get_object, Bucket=self._bucket, Key=key))
        except ClientError as error:
            raise _absent_or_unavailable("get", key, error) from error
        return _S3Download(size=answer["ContentLength"], stream=answer["Body"], run=self._run, key=key)

    async def size(self, key: str) -> int | None:
        """As the port says."""
        try:
            answer = await self._run(partial(self._quick.head_object, Bucket=self._bucket, Key=key))
        except ClientError as error:
            if isinstance(_absent_or_unavailable("head", key, error), NotFound):
                return None
            raise _unavailable("head", key, error) from error
        size: int = answer["ContentLength"]
        return size

    def _put(self, client: Any, key: str, data: Any) -> None:
        client.put_object(Bucket=self._bucket, Key=key, Body=data, IfNoneMatch="*")

    def _put_file(self, key: str, body: Body) -> None:
        assert body.path is not None
        client = self._patient if body.size >= LARGE_BYTES else self._quick
        with body.path.open("rb") as file:
            self._put(client, key, file)

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
        """Run in a thread; raises ClientError for an answer, Unavailable for none."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except (BotoCoreError, HTTPClientError, OSError) as error:
            raise Unavailable(f"the store did not answer: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class _S3Download:
    size: int
    key: str
    stream: Any
    run: Callable[[Callable[[], Any]], Any]

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read the object; a body that ends early raises Unavailable."""
        left = self.size
        while left > 0:
            chunk: bytes = await self.run(partial(self.stream.read, CHUNK_BYTES))
            if not chunk:
                raise Unavailable(f"{self.key!r} ended {left} bytes early")
            left -= len(chunk)
            yield chunk

    async def close(self) -> None:
        """Give the connection back when all was read, close it when not."""
        self.stream.close()


def _session(store: Store) -> Any:
    return boto3.session.Session(
        aws_access_key_id=store.access_key,
        aws_secret_access_key=store.secret_key,
        region_name=store.region,
    )


def _client(session: Any, endpoint: str, read_s: int) -> Any:
    config = Config(
        connect_timeout=CONNECT_S,
        read_timeout=read_s,
        retries={"total_max_attempts": 1},
        max_pool_connections=THREADS_MAX,
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path"},
    )
    return session.client("s3", endpoint_url=endpoint, config=config)


def _status(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status


def _unavailable(verb: str, key: str, error: ClientError) -> Unavailable:
    return Unavailable(f"{verb} of {key!r} failed: {error}")


def _absent_or_unavailable(verb: str, key: str, error: ClientError) -> NotFound | Unavailable:
    if error.response.get("Error", {}).get("Code") in ABSENT_CODES:
        return NotFound(f"no object {key!r}")
    return _unavailable(verb, key, error)
