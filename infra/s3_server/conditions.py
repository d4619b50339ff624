"""Conditional requests, decided without any IO.

An ETag may come quoted or bare; `*` stands for any object. Times have the
resolution of HTTP: whole seconds.
"""

from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final

from infra.s3_server.errors import S3Error

COPY_SOURCE: Final = "x-amz-copy-source-"


def check_write(headers: Mapping[str, str], etag: str | None) -> None:
    """Raise unless a key whose object has `etag` (None: no object) may be written."""
    none_match = headers.get("if-none-match")
    if none_match is not None and none_match.strip() != "*":
        raise S3Error("NotImplemented", f"If-None-Match on a write takes only '*', not {none_match!r}.")
    if none_match is not None and etag is not None:
        raise _failed("If-None-Match")
    check_match(headers.get("if-match"), etag)


def check_match(wanted: str | None, etag: str | None) -> None:
    """Raise unless the object's `etag` is `wanted`; NoSuchKey when there is no object."""
    if wanted is None:
        return
    if etag is None:
        raise S3Error("NoSuchKey", "If-Match was given and there is no such object.")
    if not _matches(wanted, etag):
        raise _failed("If-Match")


def check_read(headers: Mapping[str, str], etag: str, modified: float) -> None:
    """Raise PreconditionFailed or NotModified unless the object may be sent (`modified` in seconds)."""
    match, none_match = headers.get("if-match"), headers.get("if-none-match")
    if match is not None and not _matches(match, etag):
        raise _failed("If-Match")
    if match is None and _later(modified, headers.get("if-unmodified-since")) is True:
        raise _failed("If-Unmodified-Since")
    if none_match is not None and _matches(none_match, etag):
        raise S3Error("NotModified", "Not Modified")
    if none_match is None and _later(modified, headers.get("if-modified-since")) is False:
        raise S3Error("NotModified", "Not Modified")


def check_copy_source(headers: Mapping[str, str], etag: str, modified: float) -> None:
    """Raise PreconditionFailed unless the source of a copy is as the request wants it."""
    wanted = {
        f"if-{name[len(COPY_SOURCE) + 3 :]}": value for name, value in headers.items() if _on_source(name)
    }
    try:
        check_read(wanted, etag, modified)
    except S3Error as refused:
        raise S3Error("PreconditionFailed", f"The copy source does not fit: {refused.message}") from None


def _on_source(name: str) -> bool:
    return name.startswith(f"{COPY_SOURCE}if-")


def _failed(condition: str) -> S3Error:
    return S3Error("PreconditionFailed", f"The condition {condition} does not hold.")


def _matches(wanted: str, etag: str) -> bool:
    return any(_bare(one) in ("*", etag) for one in wanted.split(","))


def _bare(etag: str) -> str:
    return etag.strip().removeprefix("W/").strip('"')


def _later(modified: float, date: str | None) -> bool | None:
    """Return whether `modified` is later than `date`; None when there is no readable date."""
    try:
        return int(modified) > parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return None
