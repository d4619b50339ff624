"""Buckets, and the listings of their objects."""

import base64
import binascii
import re
from functools import partial
from typing import Final

from starlette.responses import Response

from infra.s3_server.call import Call, milliseconds, quoted, shown, xml
from infra.s3_server.committer import Transaction
from infra.s3_server.documents import Node, parse, timestamp
from infra.s3_server.errors import S3Error
from infra.s3_server.index import Index, Listed, Page, after_prefix
from infra.s3_server.multipart import remove_upload
from infra.s3_server.request import Request, octets
from infra.s3_server.store import require_bucket

KEYS_MAX: Final = 1000
"""Most keys and common prefixes in one page, as S3 documents it."""

UPLOADS_MAX: Final = 1_000_000
"""More uploads than one bucket ever has, for removing them all."""

OWNER: Final[Node] = ("Owner", (("ID", "owner"), ("DisplayName", "owner")))
BUCKET_NAME: Final = re.compile(
    r"(?!\d+\.\d+\.\d+\.\d+$)(?!.*\.\.)[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII
)
FIRST_REGION: Final = "us-east-1"  #: S3 writes it as an empty location constraint


async def list_buckets(call: Call) -> Response:
    buckets: list[Node] = [
        ("Bucket", (("Name", name), ("CreationDate", timestamp(created))))
        for name, created in call.store.index.buckets()
    ]
    return xml(("ListAllMyBucketsResult", (OWNER, ("Buckets", buckets))))


async def create_bucket(call: Call) -> Response:
    bucket = call.request.bucket
    if not BUCKET_NAME.fullmatch(bucket):
        raise S3Error("InvalidBucketName", f"{bucket!r} cannot name a bucket.")
    body = await call.document()
    wanted = parse(body, "CreateBucketConfiguration").findtext("LocationConstraint") if body else None
    if wanted not in (None, "", call.region):
        raise S3Error(
            "IllegalLocationConstraintException", f"This is region {call.region!r}, not {wanted!r}."
        )
    await call.commit(partial(_create, bucket))
    return Response(headers={"location": f"/{bucket}"})


def _create(bucket: str, transaction: Transaction) -> None:
    if transaction.index.bucket_exists(bucket):
        raise S3Error("BucketAlreadyOwnedByYou", f"The bucket {bucket!r} exists already and is yours.")
    transaction.index.add_bucket(bucket, milliseconds())


async def head_bucket(call: Call) -> Response:
    require_bucket(call.store.index, call.request.bucket)
    return Response(headers={"x-amz-bucket-region": call.region})


async def bucket_location(call: Call) -> Response:
    require_bucket(call.store.index, call.request.bucket)
    return xml(("LocationConstraint", "" if call.region == FIRST_REGION else call.region))


async def bucket_versioning(call: Call) -> Response:
    require_bucket(call.store.index, call.request.bucket)
    return xml(("VersioningConfiguration", ""))


async def delete_bucket(call: Call) -> Response:
    await call.commit(partial(_delete, call.request.bucket))
    return Response(status_code=204)


def _delete(bucket: str, transaction: Transaction) -> None:
    index = transaction.index
    require_bucket(index, bucket)
    if not index.bucket_is_empty(bucket):
        raise S3Error("BucketNotEmpty", f"The bucket {bucket!r} holds objects.")
    for upload in index.uploads(bucket, start=(b"", ""), end=after_prefix(b""), limit=UPLOADS_MAX):
        remove_upload(transaction, upload)
    index.remove_bucket(bucket)


async def list_objects_v2(call: Call) -> Response:
    request = call.request
    token, start_after = request.query.get("continuation-token"), request.query.get("start-after", "")
    start = _from_token(token) if token is not None else _past(octets(start_after))
    page = await _page(call, start)
    encoding = request.query.get("encoding-type", "")
    nodes = _common_nodes(request, page)
    nodes.append(("KeyCount", len(page.objects) + len(page.prefixes)))
    if token is not None:
        nodes.append(("ContinuationToken", token))
    if start_after:
        nodes.append(("StartAfter", shown(octets(start_after), encoding)))
    if page.following is not None:
        nodes.append(("NextContinuationToken", base64.urlsafe_b64encode(page.following).decode()))
    owned = request.query.get("fetch-owner") == "true"
    return xml(("ListBucketResult", nodes + _entries(page, encoding, owned=owned)))


async def list_objects_v1(call: Call) -> Response:
    request = call.request
    marker, delimiter = octets(request.query.get("marker", "")), octets(request.query.get("delimiter", ""))
    rolled_up = delimiter and marker.endswith(delimiter) and marker != octets(request.query.get("prefix", ""))
    page = await _page(call, after_prefix(marker) if rolled_up else _past(marker))
    encoding = request.query.get("encoding-type", "")
    nodes = [*_common_nodes(request, page), ("Marker", shown(marker, encoding))]
    if page.following is not None:
        last = max([one.key for one in page.objects[-1:]] + list(page.prefixes[-1:]), default=b"")
        nodes.append(("NextMarker", shown(last, encoding)))
    return xml(("ListBucketResult", nodes + _entries(page, encoding, owned=True)))


def _past(key: bytes) -> bytes:
    """Return the first key that sorts after `key`."""
    return key + b"\0" if key else b""


def _from_token(token: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(octets(token))
    except binascii.Error:
        raise S3Error("InvalidArgument", f"The continuation token {token!r} is not one of ours.") from None


async def _page(call: Call, start: bytes) -> Page:
    return await call.store.read(partial(_read_page, call.request, start))


def _read_page(request: Request, start: bytes, index: Index) -> Page:
    require_bucket(index, request.bucket)
    limit = request.number("max-keys", default=KEYS_MAX, most=KEYS_MAX)
    if limit == 0:
        return Page(objects=(), prefixes=(), following=None)
    return index.page(
        request.bucket,
        prefix=octets(request.query.get("prefix", "")),
        delimiter=octets(request.query.get("delimiter", "")),
        start=start,
        limit=limit,
    )


def _common_nodes(request: Request, page: Page) -> list[Node]:
    encoding = request.query.get("encoding-type", "")
    nodes: list[Node] = [
        ("Name", request.bucket),
        ("Prefix", shown(octets(request.query.get("prefix", "")), encoding)),
        ("MaxKeys", request.number("max-keys", default=KEYS_MAX, most=KEYS_MAX)),
        ("IsTruncated", "false" if page.following is None else "true"),
    ]
    if "delimiter" in request.query:
        nodes.append(("Delimiter", shown(octets(request.query["delimiter"]), encoding)))
    if encoding:
        nodes.append(("EncodingType", encoding))
    return nodes


def _entries(page: Page, encoding: str, *, owned: bool) -> list[Node]:
    entries = [_object_node(one, encoding, owned=owned) for one in page.objects]
    return entries + [("CommonPrefixes", (("Prefix", shown(one, encoding)),)) for one in page.prefixes]


def _object_node(one: Listed, encoding: str, *, owned: bool) -> Node:
    fields: list[Node] = [
        ("Key", shown(one.key, encoding)),
        ("LastModified", timestamp(one.modified)),
        ("ETag", quoted(one.etag)),
        ("Size", one.size),
        ("StorageClass", "STANDARD"),
    ]
    return "Contents", [*fields, OWNER] if owned else fields
