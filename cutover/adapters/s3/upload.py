"""Sending a body: in one request, or in parts when it is large."""

import base64
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from xml.sax.saxutils import escape

from cutover.adapters.s3.again import ask_again
from cutover.adapters.s3.answers import Answer
from cutover.adapters.s3.bodies import MEMORY_BYTES
from cutover.adapters.s3.carried import headers_of
from cutover.adapters.s3.wire import Request, Wire
from cutover.errors import CutoverError
from cutover.ports.objects import Body

WHOLE_BYTES = 64 << 20
"""Largest body that is sent in one request; S3 itself takes up to 5 GiB."""

PART_BYTES = 8 << 20
"""Three parts are in memory at most: the one being sent, and the next being put together."""

PARTS_MAX = 10_000
"""Most parts of one upload, as S3 documents it: the parts of a very large body are larger."""

ONLY_NEW = {"If-None-Match": "*"}
CHECKSUM = "x-amz-checksum-sha256"


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of a large body: whole blocks, so that all parts but the last are equally long."""

    number: int
    data: bytes
    sha256: str

    def listed(self, tag: str) -> str:
        """How the end of the upload names it."""
        return (
            f"<Part><PartNumber>{self.number}</PartNumber><ETag>{escape(tag)}</ETag>"
            f"<ChecksumSHA256>{encoded(self.sha256)}</ChecksumSHA256></Part>"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One body on its way to one key that must not exist."""

    wire: Wire
    key: str
    bucket: str | None
    body: Body

    async def send(self) -> Answer:
        """Send it once and return the answer that decides; errors as `Wire.ask`."""
        headers = headers_of(self.body.info, what=f"object {self.key!r}")
        if self.body.info.size > WHOLE_BYTES:
            return await self.in_parts(headers)
        return await self._whole(headers)

    async def _whole(self, headers: dict[str, str]) -> Answer:
        body: bytes | AsyncIterator[bytes] = self.body.blocks()
        if self.body.info.size <= MEMORY_BYTES:
            body = b"".join([block async for block in self.body.blocks()])
        request = Request(
            method="PUT",
            key=self.key,
            bucket=self.bucket,
            headers=headers | ONLY_NEW | {CHECKSUM: encoded(self.body.sha256)},
            body=body,
            sha256=self.body.sha256,
            size=self.body.info.size,
        )
        return await self.wire.ask(request)

    async def in_parts(self, headers: dict[str, str]) -> Answer:
        """Send it in parts, whatever its size; gives the room of the parts back if it fails."""
        start = self._request("POST", {"uploads": ""}, headers | {"x-amz-checksum-algorithm": "SHA256"})
        started = await ask_again(self.wire, start)
        if started.status != 200:
            return started
        upload = started.element("UploadId")
        finished: Answer | None = None
        try:
            finished = await self._parts_and_end(upload)
            return finished
        finally:
            if finished is None or finished.status != 200:
                await self._abort(upload)

    async def _parts_and_end(self, upload: str) -> Answer:
        listed, digest = [], hashlib.sha256()
        async for part in self._parts(digest.update):
            answer = await self._send_part(upload, part)
            if answer.status != 200:
                return answer
            listed.append(part.listed(answer.tag))
        if digest.hexdigest() != self.body.sha256:
            return Answer(400, {}, b"<Error><Code>BadDigest</Code></Error>")
        return await self._end(upload, "".join(listed))

    async def _send_part(self, upload: str, part: _Part) -> Answer:
        query = {"partNumber": str(part.number), "uploadId": upload}
        request = self._request("PUT", query, {CHECKSUM: encoded(part.sha256)})
        return await ask_again(self.wire, replace(request, body=part.data, sha256=part.sha256))

    async def _end(self, upload: str, listed: str) -> Answer:
        request = self._request("POST", {"uploadId": upload}, ONLY_NEW)
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        answer = await self.wire.ask(replace(request, body=body))
        if answer.status == 200 and not answer.element("ETag"):
            return replace(answer, status=500)  # S3 may find out late, when the status is sent, or break off
        return answer

    async def _abort(self, upload: str) -> None:
        """Give the parts' room back; where that fails, the bucket's own rules must."""
        with suppress(CutoverError):
            await ask_again(self.wire, self._request("DELETE", {"uploadId": upload}, {}))

    async def _parts(self, feed: Callable[[bytes], None]) -> AsyncIterator[_Part]:
        """The body's parts; `feed` is given every block: nothing long is hashed at once."""
        size = max(PART_BYTES, -(-self.body.info.size // PARTS_MAX))
        number, held, digest = 1, bytearray(), hashlib.sha256()
        async for block in self.body.blocks():
            held += block
            feed(block)
            digest.update(block)
            if len(held) >= size:
                yield _Part(number, bytes(held), digest.hexdigest())
                number, held, digest = number + 1, bytearray(), hashlib.sha256()
        if held:
            yield _Part(number, bytes(held), digest.hexdigest())

    def _request(self, method: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Request:
        return Request(method=method, key=self.key, bucket=self.bucket, query=query, headers=headers)


def encoded(sha256: str) -> str:
    """A digest (hex) as S3 writes it."""
    return base64.b64encode(bytes.fromhex(sha256)).decode()
