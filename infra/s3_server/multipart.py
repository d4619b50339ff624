"""Multipart uploads: parts are bodies of their own, and completing only names them."""

import hashlib
import itertools
import re
import secrets
from functools import partial
from typing import Final

from starlette.responses import Response

from infra.s3_server.call import Call, milliseconds, quoted, shown, xml
from infra.s3_server.committer import Transaction
from infra.s3_server.conditions import check_write
from infra.s3_server.documents import Node, children, parse, timestamp
from infra.s3_server.errors import S3Error
from infra.s3_server.index import Index, Part, Segment, StoredObject, Upload, after_prefix
from infra.s3_server.objects import (
    Span,
    checksum_headers,
    copy_source,
    read_pieces,
    replace_object,
    source_object,
)
from infra.s3_server.payload import Body, copy_body
from infra.s3_server.request import Request, octets
from infra.s3_server.store import require_bucket

PART_BYTES_MIN: Final = 5 * 1024**2
"""Smallest part but the last (bytes), as S3 documents it."""

PARTS_MAX: Final = 10_000
PAGE_MAX: Final = 1000


def require_upload(index: Index, request: Request) -> Upload:
    upload = index.upload(request.bucket, request.key, request.query["uploadId"])
    if upload is None:
        require_bucket(index, request.bucket)
        raise S3Error("NoSuchUpload", "The upload does not exist: it may have been completed or aborted.")
    return upload


async def create_upload(call: Call) -> Response:
    request = call.request
    upload = Upload(
        bucket=request.bucket,
        key=request.key,
        id=secrets.token_hex(16),
        initiated=milliseconds(),
        headers=request.object_headers(),
    )
    await call.commit(partial(_create, upload))
    fields = (("Bucket", request.bucket), ("Key", shown(request.key, "")), ("UploadId", upload.id))
    return xml(("InitiateMultipartUploadResult", fields))


def _create(upload: Upload, transaction: Transaction) -> None:
    require_bucket(transaction.index, upload.bucket)
    transaction.index.add_upload(upload)


async def upload_part(call: Call) -> Response:
    number = _part_number(call.request)
    require_upload(call.store.index, call.request)
    body = await call.body()
    await _keep_part(call, number, body)
    return Response(headers={"etag": quoted(body.md5)} | checksum_headers(body.checksums))


async def upload_part_copy(call: Call) -> Response:
    request, store = call.request, call.store
    number = _part_number(request)
    require_upload(store.index, request)
    original = source_object(request, copy_source(request), store)
    span = _copy_span(request, original)
    with store.holding(original):
        body = await copy_body(read_pieces(store, original, span), store.bodies, full=call.full)
    await _keep_part(call, number, body)
    return xml(("CopyPartResult", (("LastModified", timestamp(milliseconds())), ("ETag", quoted(body.md5)))))


def _copy_span(request: Request, original: StoredObject) -> Span:
    asked = request.headers.get("x-amz-copy-source-range")
    if asked is None:
        return Span(start=0, end=original.size, partial=False)
    match = re.fullmatch(r"bytes=(\d+)-(\d+)", asked, re.ASCII)
    if match is None or not int(match[1]) <= int(match[2]) < original.size:
        raise S3Error("InvalidArgument", f"The range {asked!r} is not in the source's {original.size} bytes.")
    return Span(start=int(match[1]), end=int(match[2]) + 1, partial=True)


def _part_number(request: Request) -> int:
    value = request.query.get("partNumber", "")
    if not (value.isascii() and value.isdigit() and 1 <= int(value) <= PARTS_MAX):
        raise S3Error("InvalidArgument", f"partNumber must be 1 to {PARTS_MAX}, not {value!r}.")
    return int(value)


async def _keep_part(call: Call, number: int, body: Body) -> None:
    try:
        await call.commit(partial(_put_part, call.request, number, body))
    except BaseException:
        body.discard()
        raise


def _put_part(request: Request, number: int, body: Body, transaction: Transaction) -> None:
    upload = require_upload(transaction.index, request)
    previous = transaction.index.part(upload.id, number)
    part = Part(
        number=number,
        name=transaction.take(body.content),
        size=body.size,
        etag=body.md5,
        modified=milliseconds(),
        checksums=body.checksums,
    )
    transaction.index.put_part(upload.id, part)
    if previous:
        transaction.give_up(previous.name)


async def complete_upload(call: Call) -> Response:
    request = call.request
    root = parse(await call.document(), "CompleteMultipartUpload")
    wanted = [_wanted_part(fields) for fields in children(root, "Part", PARTS_MAX)]
    stored = await call.commit(partial(_complete, request, wanted))
    fields = (
        ("Location", request.resource),
        ("Bucket", request.bucket),
        ("Key", shown(request.key, "")),
        ("ETag", quoted(stored.etag)),
    )
    return xml(("CompleteMultipartUploadResult", fields))


def _wanted_part(fields: dict[str, str]) -> tuple[int, str, dict[str, str]]:
    """Return (number, bare ETag, checksums) of one part that a completion names."""
    number = fields.get("PartNumber", "").strip()
    if not (number.isascii() and number.isdigit()):
        raise S3Error("MalformedXML", f"{number!r} is not the number of a part.")
    checksums = {
        name.removeprefix("Checksum").lower(): value.strip()
        for name, value in fields.items()
        if name.startswith("Checksum")
    }
    return int(number), fields.get("ETag", "").strip().strip('"'), checksums


def _complete(
    request: Request, wanted: list[tuple[int, str, dict[str, str]]], transaction: Transaction
) -> StoredObject:
    index = transaction.index
    current = index.find_object(request.bucket, request.key)
    if current is not None and current.upload == request.query["uploadId"]:
        return current  # completed before, and the answer was lost
    upload = require_upload(index, request)
    uploaded = {part.number: part for part in index.parts(upload.id)}
    chosen = _chosen_parts(wanted, uploaded)
    check_write(request.headers, current.etag if current else None)
    stored = StoredObject(
        key=request.key,
        size=sum(part.size for part in chosen),
        etag=_composite_etag(chosen),
        modified=milliseconds(),
        segments=tuple(Segment(name=part.name, size=part.size) for part in chosen),
        headers=upload.headers,
        upload=upload.id,
    )
    for part in uploaded.values():
        if part not in chosen:
            transaction.give_up(part.name)
    index.remove_upload(upload)
    replace_object(transaction, request.bucket, stored, current)
    return stored


def _chosen_parts(wanted: list[tuple[int, str, dict[str, str]]], uploaded: dict[int, Part]) -> list[Part]:
    numbers = [number for number, _, _ in wanted]
    if any(later <= earlier for earlier, later in itertools.pairwise(numbers)):
        raise S3Error("InvalidPartOrder", "The parts must be named in ascending order.")
    chosen = [_chosen_part(uploaded.get(number), number, etag, sums) for number, etag, sums in wanted]
    for part in chosen[:-1]:
        if part.size < PART_BYTES_MIN:
            raise S3Error(
                "EntityTooSmall", f"Part {part.number} has {part.size} bytes, fewer than {PART_BYTES_MIN}."
            )
    return chosen


def _chosen_part(part: Part | None, number: int, etag: str, checksums: dict[str, str]) -> Part:
    if part is None or part.etag != etag:
        raise S3Error("InvalidPart", f"Part {number} was not uploaded, or its ETag is not {etag!r}.")
    for name, value in checksums.items():
        if part.checksums.get(name, value) != value:
            raise S3Error("InvalidPart", f"Part {number} has another {name} than {value!r}.")
    return part


def _composite_etag(parts: list[Part]) -> str:
    digest = hashlib.md5(b"".join(bytes.fromhex(part.etag) for part in parts), usedforsecurity=False)
    return f"{digest.hexdigest()}-{len(parts)}"


async def abort_upload(call: Call) -> Response:
    await call.commit(partial(_abort, call.request))
    return Response(status_code=204)


def _abort(request: Request, transaction: Transaction) -> None:
    remove_upload(transaction, require_upload(transaction.index, request))


def remove_upload(transaction: Transaction, upload: Upload) -> None:
    for part in transaction.index.parts(upload.id):
        transaction.give_up(part.name)
    transaction.index.remove_upload(upload)


async def list_parts(call: Call) -> Response:
    request = call.request
    most = request.number("max-parts", default=PAGE_MAX, most=PAGE_MAX)
    marker = request.number("part-number-marker", default=0, most=PARTS_MAX)
    upload = require_upload(call.store.index, request)
    parts = call.store.index.parts(upload.id, after=marker, limit=most + 1)
    page = parts[:most]
    fields: list[Node] = [
        ("Bucket", request.bucket),
        ("Key", shown(request.key, request.query.get("encoding-type", ""))),
        ("UploadId", upload.id),
        ("PartNumberMarker", marker),
        ("NextPartNumberMarker", page[-1].number if page else 0),
        ("MaxParts", most),
        ("IsTruncated", "true" if len(parts) > most else "false"),
        ("StorageClass", "STANDARD"),
    ]
    return xml(("ListPartsResult", fields + [_part_node(part) for part in page]))


def _part_node(part: Part) -> Node:
    fields: list[Node] = [
        ("PartNumber", part.number),
        ("LastModified", timestamp(part.modified)),
        ("ETag", quoted(part.etag)),
        ("Size", part.size),
    ]
    return "Part", fields + [(f"Checksum{name.upper()}", value) for name, value in part.checksums.items()]


async def list_uploads(call: Call) -> Response:
    request, index = call.request, call.store.index
    require_bucket(index, request.bucket)
    if "delimiter" in request.query:
        raise S3Error("NotImplemented", "Uploads are listed without a delimiter.")
    most = request.number("max-uploads", default=PAGE_MAX, most=PAGE_MAX)
    prefix = octets(request.query.get("prefix", ""))
    start = _uploads_start(request)
    if start < (prefix, ""):
        start = (prefix, "")
    found = index.uploads(request.bucket, start=start, end=after_prefix(prefix), limit=most + 1)
    return xml(
        ("ListMultipartUploadsResult", _uploads_nodes(request, found[:most], truncated=len(found) > most))
    )


def _uploads_start(request: Request) -> tuple[bytes, str]:
    """Return the (key, id) after which to list: a key marker alone passes over all ids of its key."""
    marker = octets(request.query.get("key-marker", ""))
    id_ = request.query.get("upload-id-marker", "")
    return (marker + b"\0", "") if marker and not id_ else (marker, id_)


def _uploads_nodes(request: Request, page: list[Upload], *, truncated: bool) -> list[Node]:
    encoding = request.query.get("encoding-type", "")
    nodes: list[Node] = [
        ("Bucket", request.bucket),
        ("Prefix", shown(octets(request.query.get("prefix", "")), encoding)),
        ("KeyMarker", shown(octets(request.query.get("key-marker", "")), encoding)),
        ("UploadIdMarker", request.query.get("upload-id-marker", "")),
        ("MaxUploads", request.number("max-uploads", default=PAGE_MAX, most=PAGE_MAX)),
        ("EncodingType", encoding),
        ("IsTruncated", "true" if truncated else "false"),
    ]
    if truncated:
        nodes += [("NextKeyMarker", shown(page[-1].key, encoding)), ("NextUploadIdMarker", page[-1].id)]
    return nodes + [_upload_node(upload, encoding) for upload in page]


def _upload_node(upload: Upload, encoding: str) -> Node:
    fields = (
        ("Key", shown(upload.key, encoding)),
        ("UploadId", upload.id),
        ("StorageClass", "STANDARD"),
        ("Initiated", timestamp(upload.initiated)),
    )
    return "Upload", fields
