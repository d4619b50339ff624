"""One site's objects in an S3 bucket."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from cutover.adapters.memory.objects import BLOCK_BYTES, MemoryBody
from cutover.adapters.s3.address import Limits, S3Address
from cutover.adapters.s3.again import Slow, Unclear, again, ask_again
from cutover.adapters.s3.answers import BROKEN, SLOW, Answer, refusal
from cutover.adapters.s3.bodies import FileBody, received
from cutover.adapters.s3.carried import equal, info_of
from cutover.adapters.s3.conditions import prove
from cutover.adapters.s3.paths import check_key
from cutover.adapters.s3.upload import WHOLE_BYTES, Upload
from cutover.adapters.s3.wire import Request, Wire, lowered
from cutover.errors import Inconclusive, Missing, Refused, SiteUnreachable
from cutover.model.objects import ObjectInfo
from cutover.ports.objects import Body

THREADS = 4
FIRST_BYTE = {"Range": "bytes=0-0"}
WRONG_DIGEST = ("BadDigest", "XAmzContentSHA256Mismatch", "XAmzContentChecksumMismatch", "InvalidDigest")


class S3Objects:
    """Objects of one site, by the exact bytes of their keys."""

    def __init__(self, address: S3Address, site: str, limits: Limits | None = None) -> None:
        self._site = site
        self._wire = Wire(address, site, limits or Limits())
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=f"objects-{site}")

    @property
    def site(self) -> str:
        """Whose objects these are."""
        return self._site

    async def head(self, key: str, *, bucket: str | None = None) -> ObjectInfo | None:
        """What the store says of an object; None when it answers that there is none."""
        self._check_key(key)
        answer = await ask_again(self._wire, Request(method="HEAD", key=key, bucket=bucket))
        if answer.status == 404:
            await self._check_bucket(key, bucket)
            return None
        if answer.status != 200:
            raise self._refusal(answer, f"look at object {key!r}", bucket)
        return info_of(answer.headers, what=self._what(key))

    @asynccontextmanager
    async def fetch(self, key: str, *, bucket: str | None = None) -> AsyncIterator[Body]:
        """Read an object; raises Missing when the store answers that there is none."""
        body = await self._read_again(key, bucket)
        try:
            yield body
        finally:
            body.close()

    async def put_if_absent(self, key: str, body: Body, *, bucket: str | None = None) -> bool:
        """Store the bytes with their metadata; False when the key was there before."""
        self._check_key(key)
        if body.info.size > WHOLE_BYTES and await self.head(key, bucket=bucket) is not None:
            return False
        upload = Upload(wire=self._wire, key=key, bucket=bucket, body=body)
        attempts = _Attempts(self, upload)
        try:
            return await again(self._wire.limits, Unclear, Slow)(attempts.next)
        except Slow as last:
            raise SiteUnreachable(self._site, str(last)) from None

    async def sha256(self, key: str, *, bucket: str | None = None) -> tuple[str, int] | None:
        """Read the bytes; return their digest (hex) and size, or None when there is no such object."""

        async def once() -> tuple[str, int]:
            async with self._opened(key, bucket) as reply:
                digest, size = hashlib.sha256(), 0
                async for block in reply.content.iter_chunked(BLOCK_BYTES):
                    digest.update(block)
                    size += len(block)
                return digest.hexdigest(), size

        try:
            return await again(self._wire.limits, Inconclusive, Slow)(once)
        except Missing:
            return None
        except (Inconclusive, Slow) as last:
            raise SiteUnreachable(self._site, str(last)) from None

    async def prove_conditions(self) -> list[str]:
        """Try, race and remove a scratch object; name each condition that the store gets wrong."""
        return await prove(self._wire)

    async def close(self) -> None:
        """Close all connections and join the threads."""
        await self._wire.close()
        await asyncio.to_thread(self._threads.shutdown)

    async def equals(self, key: str, body: Body, bucket: str | None) -> bool | None:
        """Whether the store holds just this body and metadata; None when it has no such object."""
        info = await self.head(key, bucket=bucket)
        if info is None:
            return None
        return equal(info, body.info) and await self.sha256(key, bucket=bucket) == (body.sha256, info.size)

    def refuse(self, answer: Answer, upload: Upload) -> Refused:
        """The error for an upload that the store will not have."""
        if answer.code in WRONG_DIGEST:
            return Refused(
                f"{self._what(upload.key)}: the bytes that arrived are not those of sha256 "
                f"{upload.body.sha256} ({answer.code}). Nothing was stored. Read the object again."
            )
        return self._refusal(answer, f"store object {upload.key!r}", upload.bucket)

    @property
    def wire(self) -> Wire:
        """The connections to the store."""
        return self._wire

    async def _read_again(self, key: str, bucket: str | None) -> MemoryBody | FileBody:
        async def once() -> MemoryBody | FileBody:
            async with self._opened(key, bucket) as reply:
                return await received(reply, self._threads, what=self._what(key))

        try:
            return await again(self._wire.limits, Inconclusive, Slow)(once)
        except (Inconclusive, Slow) as last:
            raise SiteUnreachable(self._site, str(last)) from None

    @asynccontextmanager
    async def _opened(self, key: str, bucket: str | None) -> AsyncIterator[aiohttp.ClientResponse]:
        """An object's answer, its body unread; raises Missing, Refused or Slow."""
        self._check_key(key)
        async with self._wire.open(Request(method="GET", key=key, bucket=bucket)) as reply:
            if reply.status != 200:
                raise self._no_object(Answer(reply.status, lowered(reply), await reply.read()), key, bucket)
            yield reply

    def _no_object(self, answer: Answer, key: str, bucket: str | None) -> Exception:
        if answer.status in SLOW:
            return Slow(answer)
        if answer.status == 404 and answer.code != "NoSuchBucket":
            return Missing(site=self._site, key=key)
        return self._refusal(answer, f"read object {key!r}", bucket)

    async def _check_bucket(self, key: str, bucket: str | None) -> None:
        """Tell a missing bucket from a missing object: the answer to HEAD has no body to say so."""
        answer = await ask_again(
            self._wire, Request(method="GET", key=key, bucket=bucket, headers=FIRST_BYTE)
        )
        if answer.status == 404 and answer.code == "NoSuchBucket":
            raise self._refusal(answer, f"look at object {key!r}", bucket)

    def _refusal(self, answer: Answer, what: str, bucket: str | None) -> Refused:
        return refusal(self._wire.address, bucket or self._wire.address.bucket, answer, what)

    def _check_key(self, key: str) -> None:
        check_key(self._wire.address.keys, key, what=self._what(key))

    def _what(self, key: str) -> str:
        return f"object {key!r} at site {self._site!r}"


@dataclass(slots=True)
class _Attempts:
    """The attempts at one upload, which remember that one of them went unanswered."""

    store: S3Objects
    upload: Upload
    unclear: Unclear | None = None

    async def next(self) -> bool:
        """Try once more; raises Unclear or Slow when another attempt is worth it."""
        answer = await self._send()
        if answer is not None and answer.status == 200:
            return True
        if answer is not None and answer.status == 412 and self.unclear is None:
            return False
        same = await self._read_back()
        if same is not None:
            return same
        if self.unclear is None and answer is not None and answer.status in SLOW:
            raise Slow(answer)
        raise self.unclear or Unclear(
            f"object {self.upload.key!r} was neither stored nor found. Look before retrying."
        )

    async def _send(self) -> Answer | None:
        try:
            answer = await self.upload.send()
        except SiteUnreachable as unreachable:
            raise self.unclear or unreachable from None
        except Inconclusive as lost:
            self.unclear = Unclear(str(lost))
            return None
        if answer.status not in (200, 409, 412, *SLOW):
            raise self.unclear or self.store.refuse(answer, self.upload)
        if answer.status in BROKEN:
            self.unclear = self.unclear or Unclear(f"object {self.upload.key!r}: {Slow(answer)}.")
        return answer

    async def _read_back(self) -> bool | None:
        """Whether our very object is there; None when there is none."""
        try:
            return await self.store.equals(self.upload.key, self.upload.body, self.upload.bucket)
        except (SiteUnreachable, Refused) as unread:
            raise self.unclear or unread from None
