"""Put, get, head, delete and copy of one object, and delete of many."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final
from urllib.parse import unquote_to_bytes

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from infra.s3_server.bodies import BodyStore
from infra.s3_server.call import Call, http_date, milliseconds, quoted, xml
from infra.s3_server.checksums import CHECKSUM_PREFIX
from infra.s3_server.committer import Transaction
from infra.s3_server.conditions import check_copy_source, check_match, check_read, check_write
from infra.s3_server.documents import Node, children, parse, timestamp
from infra.s3_server.errors import S3Error
from infra.s3_server.index import Segment, StoredObject
from infra.s3_server.payload import Body
from infra.s3_server.request import KEY_BYTES_MAX, Request, octets, text
from infra.s3_server.store import Store, require_bucket

PIECE_BYTES: Final = 1024 * 1024
"""Bytes read and sent at a time."""

DIRECT_BYTES: Final = 64 * 1024
"""A body up to this size (bytes) is read on the loop: a thread would cost more than the read."""

DELETE_MANY_MAX: Final = 1000
DEFAULT_TYPE: Final = "binary/octet-stream"
OVERRIDES: Final = {
    f"response-{name}": name
    for name in (
        "content-type",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "expires",
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The bytes of an object to send: from `start` up to, not including, `end`."""

    start: int
    end: int
    partial: bool


async def put_object(call: Call) -> Response:
    request = call.request
    require_bucket(call.store.index, request.bucket)
    headers = request.object_headers()
    body = await call.body()
    try:
        await call.commit(partial(_put, request, headers, body))
    except BaseException:
        body.discard()
        raise
    return Response(headers={"etag": quoted(body.md5)} | checksum_headers(body.checksums))


def _put(request: Request, headers: dict[str, str], body: Body, transaction: Transaction) -> None:
    require_bucket(transaction.index, request.bucket)
    current = transaction.index.find_object(request.bucket, request.key)
    check_write(request.headers, current.etag if current else None)
    stored = StoredObject(
        key=request.key,
        size=body.size,
        etag=body.md5,
        modified=milliseconds(),
        segments=(Segment(name=transaction.take(body.content), size=body.size),),
        headers=headers,
        checksums=body.checksums,
    )
    replace_object(transaction, request.bucket, stored, current)


def replace_object(
    transaction: Transaction, bucket: str, stored: StoredObject, current: StoredObject | None
) -> None:
    """Put `stored` where `current` is, and give up the bodies of `current`."""
    transaction.index.put_object(bucket, stored)
    _give_up(transaction, current)


def _give_up(transaction: Transaction, stored: StoredObject | None) -> None:
    for segment in stored.segments if stored else ():
        transaction.give_up(segment.name)


def checksum_headers(checksums: dict[str, str]) -> dict[str, str]:
    return {CHECKSUM_PREFIX + name: value for name, value in checksums.items()}


async def get_object(call: Call) -> Response:
    stored = call.store.find_object(call.request.bucket, call.request.key)
    check_read(call.request.headers, stored.etag, stored.modified / 1000)
    span = wanted_span(call.request, stored)
    headers = _answer_headers(call.request, stored, span)
    status = 206 if span.partial else 200
    if span.end - span.start <= DIRECT_BYTES:
        return Response(_read_now(call.store.bodies, stored, span), status, headers)
    return Sending(call.store, stored, span, status, headers)


async def head_object(call: Call) -> Response:
    stored = call.store.find_object(call.request.bucket, call.request.key)
    check_read(call.request.headers, stored.etag, stored.modified / 1000)
    span = wanted_span(call.request, stored)
    return Response(None, 206 if span.partial else 200, _answer_headers(call.request, stored, span))


def _answer_headers(request: Request, stored: StoredObject, span: Span) -> dict[str, str]:
    headers = {"content-type": DEFAULT_TYPE} | stored.headers
    headers |= {name: request.query[asked] for asked, name in OVERRIDES.items() if asked in request.query}
    headers |= {
        "etag": quoted(stored.etag),
        "last-modified": http_date(stored.modified),
        "accept-ranges": "bytes",
        "content-length": str(span.end - span.start),
    }
    if span.partial:
        headers["content-range"] = f"bytes {span.start}-{span.end - 1}/{stored.size}"
    elif request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED":
        headers |= checksum_headers(stored.checksums)
    return headers


def wanted_span(request: Request, stored: StoredObject) -> Span:
    """Return what the Range header asks for; all of it when there is none that S3 understands."""
    whole = Span(start=0, end=stored.size, partial=False)
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("range", "").replace(" ", ""), re.ASCII)
    if match is None or match.groups() == ("", ""):
        return whole
    if "if-range" in request.headers and request.headers["if-range"] != quoted(stored.etag):
        return whole
    first, last = match.groups()
    if first and last and int(last) < int(first):
        return whole
    start = int(first) if first else max(0, stored.size - int(last))
    end = min(int(last) + 1, stored.size) if first and last else stored.size
    if start >= end:
        raise S3Error(
            "InvalidRange",
            f"The requested range {request.headers['range']!r} is not in the object's {stored.size} bytes.",
            headers={"content-range": f"bytes */{stored.size}"},
        )
    return Span(start=start, end=end, partial=True)


def _slices(stored: StoredObject, span: Span) -> Iterator[tuple[str, int, int]]:
    """Yield (body, offset, count) for each body that holds bytes of `span`."""
    position = 0
    for segment in stored.segments:
        start = max(span.start - position, 0)
        end = min(span.end - position, segment.size)
        if start < end:
            yield segment.name, start, end - start
        position += segment.size


def _read_now(bodies: BodyStore, stored: StoredObject, span: Span) -> bytes:
    return b"".join(_read(bodies, *place) for place in _slices(stored, span))


def _read(bodies: BodyStore, name: str, offset: int, count: int) -> bytes:
    descriptor = os.open(bodies.path(name), os.O_RDONLY)
    try:
        data = os.pread(descriptor, count, offset)
    finally:
        os.close(descriptor)
    if len(data) != count:
        raise OSError(f"body {name} is {count - len(data)} bytes short")
    return data


async def read_pieces(store: Store, stored: StoredObject, span: Span) -> AsyncIterator[bytes]:
    """Yield the bytes of `span`, read in a thread. The caller holds `stored`."""
    for name, offset, count in _slices(stored, span):
        for start in range(offset, offset + count, PIECE_BYTES):
            yield await asyncio.to_thread(
                _read, store.bodies, name, start, min(PIECE_BYTES, offset + count - start)
            )


class Sending(Response):
    """An answer whose body is read while it is sent.

    Called in the same step of the loop that read the object from the index.
    """

    def __init__(
        self, store: Store, stored: StoredObject, span: Span, status: int, headers: dict[str, str]
    ) -> None:
        super().__init__(None, status, headers)
        self._store, self._stored, self._span = store, stored, span

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._store.holding(self._stored):
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            async for piece in read_pieces(self._store, self._stored, self._span):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})


async def delete_object(call: Call) -> Response:
    await call.commit(partial(_delete, call.request))
    return Response(status_code=204)


def _delete(request: Request, transaction: Transaction) -> None:
    require_bucket(transaction.index, request.bucket)
    remove_key(transaction, request.bucket, request.key, request.headers.get("if-match"))


def remove_key(transaction: Transaction, bucket: str, key: bytes, match: str | None) -> None:
    current = transaction.index.find_object(bucket, key)
    check_match(match, current.etag if current else None)
    transaction.index.remove_object(bucket, key)
    _give_up(transaction, current)


async def delete_objects(call: Call) -> Response:
    body = await call.document()
    if "content-md5" not in call.request.headers and not any(
        name.startswith(CHECKSUM_PREFIX) or name == "x-amz-trailer" for name in call.request.headers
    ):
        raise S3Error("InvalidRequest", "Deleting many objects needs a Content-MD5 or a checksum.")
    root = parse(body, "Delete")
    wanted = list(children(root, "Object", DELETE_MANY_MAX))
    outcomes = await call.commit(partial(_delete_many, call.request.bucket, wanted))
    quiet = root.findtext("Quiet") == "true"
    return xml(("DeleteResult", [node for node in outcomes if not (quiet and node[0] == "Deleted")]))


def _delete_many(bucket: str, wanted: list[dict[str, str]], transaction: Transaction) -> list[Node]:
    require_bucket(transaction.index, bucket)
    return [_delete_one(transaction, bucket, fields) for fields in wanted]


def _delete_one(transaction: Transaction, bucket: str, fields: dict[str, str]) -> Node:
    key = fields.get("Key", "")
    try:
        if fields.keys() - {"Key", "ETag"}:
            raise S3Error("NotImplemented", "Of an object only Key and ETag are supported.")
        remove_key(transaction, bucket, octets(key), fields.get("ETag"))
    except S3Error as refused:
        return "Error", [("Key", key), ("Code", refused.code), ("Message", refused.message)]
    return "Deleted", [("Key", key)]


async def copy_object(call: Call) -> Response:
    headers = call.request.object_headers()
    stored = await call.commit(partial(_copy, call.request, copy_source(call.request), headers))
    fields = (("LastModified", timestamp(stored.modified)), ("ETag", quoted(stored.etag)))
    return xml(("CopyObjectResult", fields))


def copy_source(request: Request) -> tuple[str, bytes]:
    """Return the bucket and key that a copy reads."""
    path, _, version = request.headers["x-amz-copy-source"].partition("?")
    if version:
        raise S3Error("NotImplemented", "Versions are not kept, so none can be copied.")
    bucket, separator, key = unquote_to_bytes(path.encode("latin-1").removeprefix(b"/")).partition(b"/")
    if not separator or not 0 < len(key) <= KEY_BYTES_MAX:
        raise S3Error("InvalidArgument", f"The copy source {path!r} is not BUCKET/KEY.")
    return text(bucket), key


def _copy(
    request: Request, source: tuple[str, bytes], headers: dict[str, str], transaction: Transaction
) -> StoredObject:
    replacing = _replaces_headers(request)
    require_bucket(transaction.index, request.bucket)
    original = source_object(request, source, transaction)
    if source == (request.bucket, request.key) and not replacing:
        raise S3Error(
            "InvalidRequest", "An object is copied onto itself only with x-amz-metadata-directive: REPLACE."
        )
    current = transaction.index.find_object(request.bucket, request.key)
    check_write(request.headers, current.etag if current else None)
    copied = replace(
        original,
        key=request.key,
        modified=milliseconds(),
        segments=tuple(replace(one, name=transaction.link(one.name)) for one in original.segments),
        headers=headers if replacing else original.headers,
        upload="",
    )
    replace_object(transaction, request.bucket, copied, current)
    return copied


def _replaces_headers(request: Request) -> bool:
    directive = request.headers.get("x-amz-metadata-directive", "COPY")
    if directive not in ("COPY", "REPLACE"):
        raise S3Error("InvalidArgument", f"x-amz-metadata-directive is COPY or REPLACE, not {directive!r}.")
    return directive == "REPLACE"


def source_object(request: Request, source: tuple[str, bytes], where: Transaction | Store) -> StoredObject:
    """Return the object that a copy reads, if the request's conditions on it hold."""
    bucket, key = source
    original = where.index.find_object(bucket, key)
    if original is None:
        require_bucket(where.index, bucket)
        raise S3Error("NoSuchKey", "The copy source does not exist.")
    check_copy_source(request.headers, original.etag, original.modified / 1000)
    return original
