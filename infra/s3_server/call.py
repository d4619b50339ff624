"""What every operation is given, and the answers that several of them share."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import formatdate

from starlette.responses import Response

from infra.s3_server.committer import Change, T
from infra.s3_server.documents import Node, document
from infra.s3_server.payload import Body, Receive, receive_body, receive_document
from infra.s3_server.request import Request, percent, text
from infra.s3_server.signature import Signed
from infra.s3_server.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One verified request on its way through an operation."""

    request: Request
    signed: Signed
    receive: Receive
    store: Store
    region: str
    full: bool

    async def commit(self, change: Change[T]) -> T:
        return await self.store.commit(change, full=self.full)

    async def body(self) -> Body:
        return await receive_body(self.request, self.signed, self.receive, self.store.bodies, full=self.full)

    async def document(self) -> bytes:
        return await receive_document(self.request, self.signed, self.receive)


def xml(root: Node, headers: Mapping[str, str] | None = None) -> Response:
    return Response(document(root), media_type="application/xml", headers=headers)


def quoted(etag: str) -> str:
    return f'"{etag}"'


def milliseconds() -> int:
    """Return the time since the epoch in milliseconds, as objects are stamped."""
    return time.time_ns() // 1_000_000


def http_date(modified: int) -> str:
    return formatdate(modified // 1000, usegmt=True)


def shown(key: bytes, encoding: str) -> str:
    """Return a key as a listing shows it: percent-encoded when the client asked for that."""
    return percent(key, safe="/") if encoding == "url" else text(key)
