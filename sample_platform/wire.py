"""Answers and refusals as JSON, the same for the service and its client.

Success:  {"outcome": "ok", "site", "epoch", "state": "known|stale", "age_s", "fresh", "value"}
Refusal:  {"outcome": "failed", "reason", "message", "site", "epoch"}
Unknown:  {"outcome": "unknown", "reason", "message", "site", "epoch"}
"""

import json
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, TypeVar

from sample_platform.errors import REFUSALS, BadInput, PlatformError, Unknown
from sample_platform.model import (
    Answer,
    Comment,
    Counts,
    FeedPage,
    NewPost,
    Post,
    QueuePage,
    Revision,
    Standing,
)

T = TypeVar("T")

REQUEST_HEADER = "X-Request-Id"
"""Names the operation; a retry repeats it."""

POST_HEADER = "X-Post"
"""Metadata beside a body of bytes: base64 of JSON, because header fields are not Unicode."""

SESSION_HEADER = "X-Session"
"""Token of a session."""

HEADER_BYTES_MAX = 1 << 20
"""Longest header field that is read: metadata at its limits, escaped and in base64, fits."""


def answer_json(answer: Answer[Any]) -> bytes:
    """A success as it goes over the wire."""
    return _dump(
        {
            "outcome": "ok",
            "site": answer.site,
            "epoch": answer.epoch,
            "state": answer.state,
            "age_s": answer.age_s,
            "fresh": answer.fresh,
            "value": answer.value,
        }
    )


def error_json(error: PlatformError) -> bytes:
    """A refusal, or an outcome that nobody knows."""
    return _dump(
        {
            "outcome": "unknown" if isinstance(error, Unknown) else "failed",
            "reason": error.reason,
            "message": str(error),
            "site": error.site,
            "epoch": error.epoch,
        }
    )


def read_answer(data: bytes | str, value: Callable[[Any], T]) -> Answer[T]:
    """Return a success, or raise what the answer says. Unknown when it cannot be read."""
    try:
        told = json.loads(data)
        if told["outcome"] == "ok":
            return Answer(
                value=value(told["value"]),
                site=told["site"],
                epoch=told["epoch"],
                state=told["state"],
                age_s=told["age_s"],
                fresh=told["fresh"],
            )
        kind = REFUSALS[told["reason"]] if told["outcome"] == "failed" else Unknown
        message, site, epoch = told["message"], told["site"], told["epoch"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unknown(f"an answer that is not the platform's: {data[:200]!r}") from error
    raise kind(message, site=site, epoch=epoch)


def header(data: bytes) -> str:
    """JSON as a header field."""
    return b64encode(data).decode()


def from_header(text: str) -> bytes:
    """JSON out of a header field; raises BadInput."""
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise BadInput(f"header {POST_HEADER} is not base64: {error}") from None


def new_post_json(new: NewPost, *, digest: str, size: int) -> bytes:
    """The metadata of an upload, with what its bytes must turn out to be."""
    return _dump({**_plain(new), "sha256": digest, "size": size})


def read_object(data: bytes) -> dict[str, Any]:
    """A JSON object that a client sent; raises BadInput."""
    try:
        told = json.loads(data)
    except ValueError as error:
        raise BadInput(f"the request is not JSON: {error}") from None
    if not isinstance(told, dict):
        raise BadInput(f"the request is a JSON {type(told).__name__}, but must be an object")
    return told


def text_of(told: Mapping[str, Any], field: str, default: str | None = None) -> str:
    """A string out of a JSON object; raises BadInput."""
    value = told.get(field, default)
    if not isinstance(value, str):
        raise BadInput(f"{field} is {value!r:.80}, but must be a string")
    return value


def tags_of(told: Mapping[str, Any]) -> tuple[str, ...]:
    """Tags out of a JSON object; raises BadInput."""
    tags = told.get("tags", [])
    if not isinstance(tags, list):
        raise BadInput(f"tags is {tags!r:.80}, but must be a list of strings")
    return tuple(tags)


def new_post_of(told: Mapping[str, Any]) -> NewPost:
    """The metadata of an upload; raises BadInput."""
    return NewPost(
        author=text_of(told, "author"),
        title=text_of(told, "title"),
        caption=text_of(told, "caption", ""),
        tags=tags_of(told),
        audio=text_of(told, "audio", ""),
    )


def revision_of(told: Mapping[str, Any]) -> Revision:
    """What an edit sets; raises BadInput."""
    return Revision(title=text_of(told, "title"), caption=text_of(told, "caption", ""), tags=tags_of(told))


def post_of(told: Mapping[str, Any]) -> Post:
    """A post out of an answer."""
    row = dict(told)
    row["tags"] = tuple(row["tags"])
    row["created_at"] = datetime.fromisoformat(row["created_at"])
    row["updated_at"] = datetime.fromisoformat(row["updated_at"])
    return Post(**row)


def comments_of(told: list[dict[str, Any]]) -> tuple[Comment, ...]:
    """Comments out of an answer."""
    return tuple(Comment(**row) for row in told)


def feed_of(told: Mapping[str, Any]) -> FeedPage:
    """A feed out of an answer."""
    return FeedPage(posts=tuple(told["posts"]), degraded=told["degraded"])


def queue_of(told: Mapping[str, Any]) -> QueuePage:
    """The queue out of an answer."""
    return QueuePage(waiting=tuple(told["waiting"]), done=tuple(told["done"]))


def counts_of(told: Mapping[str, Any]) -> Counts:
    """Totals out of an answer."""
    return Counts(**told)


def standing_of(told: Mapping[str, Any]) -> Standing:
    """A standing out of an answer."""
    return Standing(**told)


def _plain(value: object) -> Any:
    if is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form here")


def _dump(value: object) -> bytes:
    return json.dumps(value, default=_plain, separators=(",", ":")).encode()
