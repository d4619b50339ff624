"""The ASGI application: verify, meet the faults, dispatch, answer."""

import itertools
import logging
import secrets
import sqlite3
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from infra.s3_server import buckets, multipart, objects
from infra.s3_server.bodies import is_full
from infra.s3_server.call import Call
from infra.s3_server.documents import error_document
from infra.s3_server.errors import ClientGone, S3Error
from infra.s3_server.faults import Faults, Struck
from infra.s3_server.request import Request, parse
from infra.s3_server.signature import verify
from infra.s3_server.store import Store

Operation = Callable[[Call], Awaitable[Response]]

logger = logging.getLogger("infra.s3_server")

SUBRESOURCES: Final = frozenset(
    {
        "accelerate",
        "acl",
        "analytics",
        "attributes",
        "cors",
        "delete",
        "encryption",
        "intelligent-tiering",
        "inventory",
        "legal-hold",
        "lifecycle",
        "location",
        "logging",
        "metadataTable",
        "metrics",
        "notification",
        "object-lock",
        "ownershipControls",
        "partNumber",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "renameObject",
        "replication",
        "requestPayment",
        "restore",
        "retention",
        "select",
        "session",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
    }
)
"""Parameters that make a request mean something else; one that we do not know is never passed over."""

IGNORED_HEADERS_REFUSED: Final = (
    "x-amz-tagging",
    "x-amz-server-side-encryption",
    "x-amz-object-lock",
    "x-amz-website-redirect-location",
    "x-amz-grant-",
    "x-amz-write-offset-bytes",
    "x-amz-rename-source",
)
"""Headers that ask for what we do not do; storing the object without it would be a lie."""

OPERATIONS: Final[Mapping[tuple[str, str, frozenset[str]], Operation]] = {
    ("service", "GET", frozenset()): buckets.list_buckets,
    ("bucket", "PUT", frozenset()): buckets.create_bucket,
    ("bucket", "HEAD", frozenset()): buckets.head_bucket,
    ("bucket", "DELETE", frozenset()): buckets.delete_bucket,
    ("bucket", "GET", frozenset()): buckets.list_objects_v1,
    ("bucket", "GET", frozenset({"location"})): buckets.bucket_location,
    ("bucket", "GET", frozenset({"versioning"})): buckets.bucket_versioning,
    ("bucket", "GET", frozenset({"uploads"})): multipart.list_uploads,
    ("bucket", "POST", frozenset({"delete"})): objects.delete_objects,
    ("object", "PUT", frozenset()): objects.put_object,
    ("object", "GET", frozenset()): objects.get_object,
    ("object", "HEAD", frozenset()): objects.head_object,
    ("object", "DELETE", frozenset()): objects.delete_object,
    ("object", "POST", frozenset({"uploads"})): multipart.create_upload,
    ("object", "PUT", frozenset({"uploadId", "partNumber"})): multipart.upload_part,
    ("object", "POST", frozenset({"uploadId"})): multipart.complete_upload,
    ("object", "DELETE", frozenset({"uploadId"})): multipart.abort_upload,
    ("object", "GET", frozenset({"uploadId"})): multipart.list_parts,
}

COPIES: Final[Mapping[Operation, Operation]] = {
    objects.put_object: objects.copy_object,
    multipart.upload_part: multipart.upload_part_copy,
}
"""What a put is when it names a copy source."""


class Application:
    """The S3 server as an ASGI application over one open store."""

    def __init__(self, store: Store, faults: Faults, *, credentials: Mapping[str, str], region: str) -> None:
        self._store = store
        self._faults = faults
        self._credentials = credentials
        self._region = region
        self._start = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        self._faults.in_flight += 1
        try:
            await self._serve(scope, Incoming(receive), send)
        except ClientGone:
            pass
        finally:
            self._faults.in_flight -= 1

    async def _serve(self, scope: Scope, incoming: "Incoming", send: Send) -> None:
        struck = Struck()
        try:
            request = parse(scope)
            struck = await self._faults.strike(request)
            response = await self._answer(request, incoming, full=struck.full)
        except S3Error as refused:
            response = self._refusal(scope, refused)
        except ClientGone:
            raise
        except Exception as error:
            response = self._refusal(scope, _failure(error))
        if struck.lose_acknowledgement:
            await close_unanswered(scope, incoming)
            return
        response.headers["x-amz-request-id"] = f"{self._start}{next(self._numbers):08X}"
        if scope["expects_continue"] and not incoming.ended:
            response.headers["connection"] = "close"
        await response(scope, incoming, send)

    async def _answer(self, request: Request, incoming: "Incoming", *, full: bool) -> Response:
        signed = verify(request, credentials=self._credentials, region=self._region, now=time.time())
        call = Call(
            request=request,
            signed=signed,
            receive=incoming,
            store=self._store,
            region=self._region,
            full=full,
        )
        return await _operation(request)(call)

    def _refusal(self, scope: Scope, refused: S3Error) -> Response:
        if refused.status == 304:
            return Response(status_code=304)
        resource = scope["raw_path"].decode("latin-1")
        body = error_document(refused.code, refused.message, resource, self._start)
        return Response(body, refused.status, refused.headers, "application/xml")


class Incoming:
    """A request's messages, and whether the last of them was read."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False

    async def __call__(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        self.ended = not message.get("more_body", False)
        return message


async def close_unanswered(scope: Scope, incoming: Incoming) -> None:
    """Close the connection as if the machine had died after the effect."""
    scope["abort"]()
    while (await incoming())["type"] != "http.disconnect":
        pass


def _operation(request: Request) -> Operation:
    """Return the operation that `request` asks for; refuse what would be done half."""
    level = "object" if request.key else "bucket" if request.bucket else "service"
    asked = SUBRESOURCES.intersection(request.query)
    operation = OPERATIONS.get((level, request.method, asked))
    if operation is None:
        raise S3Error("NotImplemented", f"{request.method} of {level} with {sorted(asked)} is not supported.")
    for name in request.headers:
        if name.startswith(IGNORED_HEADERS_REFUSED):
            raise S3Error("NotImplemented", f"The header {name} asks for what this server does not do.")
    if "x-amz-copy-source" in request.headers:
        return COPIES.get(operation, operation)
    if operation is buckets.list_objects_v1 and request.query.get("list-type") == "2":
        return buckets.list_objects_v2
    return operation


def _failure(error: Exception) -> S3Error:
    """Return what the client is told when we could not do it; the details stay in our log."""
    if is_full(error) or getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return S3Error("InsufficientStorage", "The disk is full; nothing was changed.")
    logger.error("a request failed: %s", error, exc_info=error)
    return S3Error("InternalError", "The server failed; look before you try again.")
