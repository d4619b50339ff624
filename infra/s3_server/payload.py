"""The body of a request: received in pieces, decoded, digested, never held whole when large."""

import asyncio
import base64
import binascii
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infra.s3_server.bodies import BodyStore, disk_full, write_all
from infra.s3_server.checksums import ALGORITHMS, CHECKSUM_PREFIX, Digest, encoded
from infra.s3_server.chunked import ChunkedDecoder
from infra.s3_server.errors import ClientGone, S3Error
from infra.s3_server.request import Request
from infra.s3_server.signature import UNSIGNED, Signed

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

SPILL_BYTES: Final = 256 * 1024
"""A body below this size (bytes) is held in memory and written with its commit; a larger one in a file."""

BODY_BYTES_MAX: Final = 5 * 1024**3
"""Largest body of one put or part (bytes), as S3 documents it."""

DOCUMENT_BYTES_MAX: Final = 8 * 1024**2
"""Largest XML document in a request (bytes): 10,000 parts with checksums take about 2 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """A received and verified body: small ones in memory, large ones in a synced incoming file."""

    content: bytes | Path
    size: int
    md5: str
    checksums: dict[str, str] = field(default_factory=dict)

    def discard(self) -> None:
        """Remove the incoming file of a body that was not taken into the store."""
        if isinstance(self.content, Path):
            self.content.unlink(missing_ok=True)


async def pieces(receive: Receive) -> AsyncIterator[bytes]:
    """Yield a body as it comes in; raise ClientGone when it breaks off."""
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        more = message.get("more_body", False)
        if message.get("body"):
            yield message["body"]


async def receive_body(
    request: Request, signed: Signed, receive: Receive, bodies: BodyStore, *, full: bool = False
) -> Body:
    """Receive the body of a put or a part and verify all that is claimed of it.

    Raises S3Error when a digest, a signature or the length differs, OSError
    when there is no room (`full` makes there be none).
    """
    decoder = _decoder(request, signed)
    sink = _Sink(bodies, _digests(request, signed), full=full)
    try:
        async for piece in pieces(receive):
            await sink.add(decoder.decode(piece) if decoder else piece)
        trailers = decoder.finish() if decoder else {}
        _check_length(request, sink.size, chunked=decoder is not None)
        sink.digest_held()
        return await sink.finish(_check_digests(request, signed, sink.digests, trailers))
    except BaseException:
        sink.discard()
        raise


async def receive_document(request: Request, signed: Signed, receive: Receive) -> bytes:
    """Receive an XML document, verified like a body."""
    decoder = _decoder(request, signed)
    digests = _digests(request, signed)
    document = bytearray()
    async for piece in pieces(receive):
        document += decoder.decode(piece) if decoder else piece
        if len(document) > DOCUMENT_BYTES_MAX:
            raise S3Error("EntityTooLarge", f"The document is larger than {DOCUMENT_BYTES_MAX} bytes.")
    trailers = decoder.finish() if decoder else {}
    for digest in digests.values():
        digest.update(bytes(document))
    _check_digests(request, signed, digests, trailers)
    return bytes(document)


async def copy_body(source: AsyncIterator[bytes], bodies: BodyStore, *, full: bool = False) -> Body:
    """Make a body of its own from bytes that are already in the store."""
    sink = _Sink(bodies, {"md5": hashlib.md5(usedforsecurity=False)}, full=full)
    try:
        async for piece in source:
            await sink.add(piece)
        sink.digest_held()
        return await sink.finish({})
    except BaseException:
        sink.discard()
        raise


class _Sink:
    """Digests a body and keeps it, in memory at first, in a file when it grows."""

    def __init__(self, bodies: BodyStore, digests: dict[str, Digest], *, full: bool) -> None:
        self.digests = digests
        self.size = 0
        self._bodies = bodies
        self._full = full
        self._held = bytearray()
        self._path: Path | None = None
        self._descriptor = -1

    async def add(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > BODY_BYTES_MAX:
            raise S3Error(
                "EntityTooLarge", f"A body has at most {BODY_BYTES_MAX} bytes; use a multipart upload."
            )
        self._held += data
        if len(self._held) >= SPILL_BYTES:
            await asyncio.to_thread(self._spill)

    async def finish(self, checksums: dict[str, str]) -> Body:
        content: bytes | Path = bytes(self._held)
        if self._path is not None:
            await asyncio.to_thread(self._sync)
            content = self._path
        return Body(
            content=content, size=self.size, md5=self.digests["md5"].digest().hex(), checksums=checksums
        )

    def digest_held(self) -> None:
        for digest in self.digests.values():
            digest.update(self._held)

    def discard(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if self._path is not None:
            self._path.unlink(missing_ok=True)

    def _spill(self) -> None:
        if self._path is None:
            self._path = self._bodies.incoming_path()
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.digest_held()
        write_all(self._descriptor, self._held)
        self._held = bytearray()
        if self._full:
            raise disk_full()

    def _sync(self) -> None:
        write_all(self._descriptor, self._held)
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1


def _decoder(request: Request, signed: Signed) -> ChunkedDecoder | None:
    claimed = signed.content_sha256
    if not claimed.startswith("STREAMING-"):
        return None
    kinds = {
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER": (False, True),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD": (True, False),
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER": (True, True),
    }
    if claimed not in kinds:
        raise S3Error("NotImplemented", f"Payloads of kind {claimed!r} are not supported.")
    chunks_signed, trailing = kinds[claimed]
    if "x-amz-decoded-content-length" not in request.headers:
        raise S3Error("MissingContentLength", "A chunked body needs the header x-amz-decoded-content-length.")
    return ChunkedDecoder(signed if chunks_signed else None, trailing=trailing)


def _digests(request: Request, signed: Signed) -> dict[str, Digest]:
    """Return the digests to compute: MD5 for the ETag, and each that is claimed or will trail."""
    names = {
        name.removeprefix(CHECKSUM_PREFIX) for name in request.headers if name.startswith(CHECKSUM_PREFIX)
    }
    names |= {
        name.strip().lower().removeprefix(CHECKSUM_PREFIX)
        for name in request.headers.get("x-amz-trailer", "").split(",")
        if name.strip()
    }
    unknown = names - ALGORITHMS.keys() - {"algorithm", "type", "mode"}
    if unknown:
        raise S3Error("InvalidRequest", f"Unknown checksum algorithm {sorted(unknown)[0]!r}.")
    digests: dict[str, Digest] = {"md5": hashlib.md5(usedforsecurity=False)}
    if signed.content_sha256 != UNSIGNED and not signed.content_sha256.startswith("STREAMING-"):
        digests["content"] = hashlib.sha256()
    return digests | {name: ALGORITHMS[name]() for name in sorted(names & ALGORITHMS.keys())}


def _check_length(request: Request, size: int, *, chunked: bool) -> None:
    declared = request.headers.get("x-amz-decoded-content-length" if chunked else "content-length")
    if declared is not None and (not declared.isdigit() or int(declared) != size):
        raise S3Error("IncompleteBody", f"{declared!r} bytes were announced and {size} came.")


def _check_digests(
    request: Request, signed: Signed, digests: dict[str, Digest], trailers: dict[str, str]
) -> dict[str, str]:
    """Compare every claim with what was computed; return the claimed checksums by algorithm."""
    if "content" in digests and digests["content"].digest().hex() != signed.content_sha256:
        raise S3Error(
            "XAmzContentSHA256Mismatch", "The provided x-amz-content-sha256 is not that of the body."
        )
    _check_md5(request.headers.get("content-md5"), digests["md5"].digest())
    checksums = {}
    for name in digests.keys() & ALGORITHMS.keys():
        header = CHECKSUM_PREFIX + name
        claimed = trailers.get(header, request.headers.get(header))
        if claimed is None:
            raise S3Error("MalformedTrailerError", f"The announced trailer {header} did not come.")
        checksums[name] = encoded(digests[name].digest())
        if claimed != checksums[name]:
            raise S3Error(
                "BadDigest", f"The {name.upper()} you specified did not match the calculated checksum."
            )
    return checksums


def _check_md5(claimed: str | None, computed: bytes) -> None:
    if claimed is None:
        return
    try:
        digest = base64.b64decode(claimed, validate=True)
    except binascii.Error:
        digest = b""
    if len(digest) != len(computed):
        raise S3Error("InvalidDigest", f"The Content-MD5 {claimed!r} is not the base64 form of an MD5.")
    if digest != computed:
        raise S3Error("BadDigest", "The Content-MD5 you specified did not match what we received.")
