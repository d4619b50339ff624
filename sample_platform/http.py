"""The platform over HTTP.

A refusal is 4xx, or 503 when the same request may be sent again; a write whose outcome
nobody knows is 504, a read without a value 503. The body always says which (wire.py).
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sample_platform import wire
from sample_platform.body import CHUNK_BYTES, Spool
from sample_platform.errors import (
    BadInput,
    NotAuthor,
    NotFound,
    NotServing,
    OtherBytes,
    PlatformError,
    Refused,
    RequestReused,
    Unavailable,
    Unknown,
)
from sample_platform.limits import PAGE_MAX
from sample_platform.model import Answer
from sample_platform.platform import Opened, Platform
from sample_platform.ports import Download

Handler = Callable[[Platform, Request], Awaitable[Answer[Any]]]

REQUEST_BYTES_MAX = 1 << 20
"""Longest JSON request."""


class _AnyText(Convertor[str]):
    """The rest of an address, whatever it holds: slashes and line ends too."""

    regex = r"[\s\S]*"

    def convert(self, value: str) -> str:
        """As it is."""
        return value

    def to_string(self, value: str) -> str:
        """As it is."""
        return value


register_url_convertor("text", _AnyText())

_STATUS: dict[type[PlatformError], int] = {
    BadInput: 400,
    NotAuthor: 403,
    NotFound: 404,
    NotServing: 409,
    RequestReused: 409,
    OtherBytes: 500,
    Unavailable: 503,
    Unknown: 504,
}


def application(platform: Platform, *, spool: Path | None = None) -> Starlette:
    """The ASGI application; `spool` is where large bodies wait on their way to the store."""

    def route(path: str, method: str, handler: Handler) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                return _json(wire.answer_json(await handler(platform, request)))
            except PlatformError as error:
                return _refuse(error, platform, request)
            except ClientDisconnect:
                return Response(status_code=400)

        return Route(path, endpoint, methods=[method])

    async def content(request: Request) -> Response:
        try:
            return await _content(await platform.open(request.path_params["post"]))
        except PlatformError as error:
            return _refuse(error, platform, request)

    async def upload(platform: Platform, request: Request) -> Answer[Any]:
        return await _upload(platform, request, spool)

    async def no_such_page(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return _refuse(NotFound(f"no {request.method} {request.url.path}: {error.detail}"), platform, request)

    return Starlette(
        routes=[
            Route("/posts/{post}/content", content, methods=["GET"]),
            route("/posts/{post}/view", "POST", _view),
            route("/posts/{post}/like", "POST", _like),
            route("/posts/{post}/comments", "POST", _comment),
            route("/posts/{post}/comments", "GET", _comments),
            route("/posts/{post}", "GET", _look),
            route("/posts/{post}", "PATCH", _edit),
            route("/posts/{post}", "DELETE", _delete),
            route("/posts", "PUT", upload),
            route("/posts", "GET", _list),
            route("/ledger", "POST", _earn),
            route("/feed/{user:text}", "GET", _feed),
            route("/login", "POST", _log_in),
            route("/session", "GET", _session),
            route("/queue", "GET", _queue),
            route("/counts", "GET", _counts),
            route("/health", "GET", _health),
        ],
        exception_handlers={404: no_such_page, 405: no_such_page},
    )


async def _log_in(platform: Platform, request: Request) -> Answer[str]:
    told = await _object(request)
    return await platform.log_in(user=wire.text_of(told, "user"), request=_request_id(request))


async def _session(platform: Platform, request: Request) -> Answer[str]:
    return await platform.session(request.headers.get(wire.SESSION_HEADER, ""))


async def _upload(platform: Platform, request: Request, folder: Path | None) -> Answer[str]:
    request_id = _request_id(request)
    told = wire.read_object(wire.from_header(request.headers.get(wire.POST_HEADER, "")))
    new = wire.new_post_of(told)
    with Spool(folder) as spool:
        async for chunk in request.stream():
            await spool.take(chunk)
        body = await spool.body()
        _check_arrived(told, digest=body.sha256, size=body.size)
        return await platform.upload(new, body, request=request_id)


async def _edit(platform: Platform, request: Request) -> Answer[str]:
    told = await _object(request)
    return await platform.edit(
        request.path_params["post"],
        wire.revision_of(told),
        user=wire.text_of(told, "user"),
        request=_request_id(request),
    )


async def _delete(platform: Platform, request: Request) -> Answer[str]:
    user = wire.text_of(await _object(request), "user")
    return await platform.delete(request.path_params["post"], user=user, request=_request_id(request))


async def _like(platform: Platform, request: Request) -> Answer[str]:
    user = wire.text_of(await _object(request), "user")
    return await platform.like(request.path_params["post"], user=user, request=_request_id(request))


async def _view(platform: Platform, request: Request) -> Answer[str]:
    user = wire.text_of(await _object(request), "user")
    return await platform.view(request.path_params["post"], user=user, request=_request_id(request))


async def _comment(platform: Platform, request: Request) -> Answer[int]:
    told = await _object(request)
    return await platform.comment(
        request.path_params["post"],
        user=wire.text_of(told, "user"),
        body=wire.text_of(told, "body"),
        request=_request_id(request),
    )


async def _earn(platform: Platform, request: Request) -> Answer[int]:
    told = await _object(request)
    return await platform.earn(
        account=wire.text_of(told, "account"),
        cents=told.get("cents"),  # type: ignore[arg-type]  # the platform checks it
        post=None if told.get("post") is None else wire.text_of(told, "post"),
        request=_request_id(request),
    )


async def _look(platform: Platform, request: Request) -> Answer[Any]:
    return await platform.look(request.path_params["post"])


async def _list(platform: Platform, request: Request) -> Answer[tuple[str, ...]]:
    limit = request.query_params.get("limit", "100")
    if not limit.isascii() or not limit.isdigit():
        raise BadInput(f"limit is {limit!r:.80}, but must be 1 to {PAGE_MAX}")
    return await platform.list(limit=int(limit), after=request.query_params.get("after"))


async def _comments(platform: Platform, request: Request) -> Answer[Any]:
    return await platform.comments(request.path_params["post"])


async def _feed(platform: Platform, request: Request) -> Answer[Any]:
    return await platform.feed(request.path_params["user"])


async def _queue(platform: Platform, _: Request) -> Answer[Any]:
    return await platform.queue()


async def _counts(platform: Platform, _: Request) -> Answer[Any]:
    return await platform.counts()


async def _health(platform: Platform, _: Request) -> Answer[Any]:
    return await platform.health()


async def _content(opened: Answer[Opened]) -> Response:
    """The bytes, with the post in a header; small ones are whole before anything is sent."""
    download = opened.value.download
    told = Answer(
        value=opened.value.post,
        site=opened.site,
        epoch=opened.epoch,
        state=opened.state,
        age_s=opened.age_s,
    )
    headers = {wire.POST_HEADER: wire.header(wire.answer_json(told)), "Content-Length": str(download.size)}
    if download.size > CHUNK_BYTES:
        return StreamingResponse(_closing(download), headers=headers, media_type="application/octet-stream")
    try:
        data = b"".join([chunk async for chunk in _closing(download)])
    except Unavailable as error:
        raise Unknown(f"the bytes broke off: {error}") from error
    return Response(data, headers=headers, media_type="application/octet-stream")


async def _closing(download: Download) -> AsyncIterator[bytes]:
    try:
        async for chunk in download.chunks():
            yield chunk
    finally:
        await download.close()


async def _object(request: Request) -> dict[str, Any]:
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > REQUEST_BYTES_MAX:
            raise BadInput(f"the request is longer than {REQUEST_BYTES_MAX} bytes")
    return wire.read_object(bytes(data))


def _request_id(request: Request) -> str:
    request_id = request.headers.get(wire.REQUEST_HEADER)
    if request_id is None:
        raise BadInput(
            f"header {wire.REQUEST_HEADER} is missing: name the operation, and repeat it in a retry"
        )
    return request_id


def _check_arrived(told: dict[str, Any], *, digest: str, size: int) -> None:
    """Compare with what the sender announced; both are optional."""
    for field, wanted, found in (("sha256", told.get("sha256"), digest), ("size", told.get("size"), size)):
        if wanted is not None and wanted != found:
            raise BadInput(
                f"{field} of the bytes is {found}, but {wanted!r:.80} was announced: send them again"
            )


def _refuse(error: PlatformError, platform: Platform, request: Request) -> Response:
    if error.site is None:
        error.site = platform.site
    status = _STATUS.get(type(error), 500 if isinstance(error, Refused) else 504)
    if isinstance(error, Unknown) and request.method == "GET":
        status = 503
    return _json(wire.error_json(error), status)


def _json(data: bytes, status: int = 200) -> Response:
    return Response(data, status, media_type="application/json")
