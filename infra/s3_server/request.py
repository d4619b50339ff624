"""One S3 request as it came over the wire, with every byte of its key."""

from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote_from_bytes, unquote_to_bytes

from infra.s3_server.errors import S3Error

KEY_BYTES_MAX: Final = 1024
"""Longest key (bytes of its UTF-8 form), as S3 documents it."""

META_PREFIX: Final = "x-amz-meta-"
META_BYTES_MAX: Final = 2048
"""Largest user metadata of one object (bytes of all names and values), as S3 documents it."""

CONTENT_HEADERS: Final = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)


def text(raw: bytes) -> str:
    """Return bytes as text from which `octets` gives the same bytes again."""
    return raw.decode("utf-8", "surrogateescape")


def octets(value: str) -> bytes:
    """Return the bytes that `text` was given."""
    return value.encode("utf-8", "surrogateescape")


def percent(value: str | bytes, *, safe: str = "") -> str:
    """Percent-encode as SigV4 and S3 listings do: all but letters, digits and `-._~`."""
    return quote_from_bytes(value if isinstance(value, bytes) else octets(value), safe=safe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Method, place, parameters and headers; the body is read apart.

    Header values are latin-1 text (so bytes survive), names lower case;
    parameters and keys are UTF-8 with surrogate escapes.
    """

    method: str
    raw_path: bytes
    bucket: str
    key: bytes
    parameters: tuple[tuple[str, str], ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def resource(self) -> str:
        return text(unquote_to_bytes(self.raw_path))

    def number(self, name: str, *, default: int, most: int) -> int:
        """Return parameter `name` as a whole number, at most `most`."""
        value = self.query.get(name, "")
        if value == "":
            return default
        if not (value.isascii() and value.isdigit()):
            raise S3Error("InvalidArgument", f"{name} must be a whole number, not {value!r}.")
        return min(int(value), most)

    def object_headers(self) -> dict[str, str]:
        """Return what is kept with an object: content headers and user metadata."""
        kept = {name: self.headers[name] for name in CONTENT_HEADERS if name in self.headers}
        if "content-encoding" in kept:
            _strip_transfer_coding(kept)
        meta = {name: value for name, value in self.headers.items() if name.startswith(META_PREFIX)}
        if sum(len(name) - len(META_PREFIX) + len(value) for name, value in meta.items()) > META_BYTES_MAX:
            raise S3Error("MetadataTooLarge", f"User metadata is larger than {META_BYTES_MAX} bytes.")
        return kept | meta


def _strip_transfer_coding(kept: dict[str, str]) -> None:
    """Take out aws-chunked: it says how the body travelled, not what the object is."""
    codings = [coding.strip() for coding in kept["content-encoding"].split(",")]
    lasting = ",".join(coding for coding in codings if coding and coding != "aws-chunked")
    if lasting:
        kept["content-encoding"] = lasting
    else:
        del kept["content-encoding"]


def parse(scope: MutableMapping[str, Any]) -> Request:
    """Return the request of an ASGI scope, from its raw path and query."""
    raw_path: bytes = scope["raw_path"]
    bucket, _, raw_key = raw_path[1:].partition(b"/")
    key = unquote_to_bytes(raw_key)
    if len(key) > KEY_BYTES_MAX:
        raise S3Error(
            "KeyTooLongError", f"The key is {len(key)} bytes long; at most {KEY_BYTES_MAX} are kept."
        )
    parameters = tuple(_parameters(scope["query_string"]))
    return Request(
        method=scope["method"],
        raw_path=raw_path,
        bucket=text(unquote_to_bytes(bucket)),
        key=key,
        parameters=parameters,
        query=dict(parameters),
        headers=_headers(scope["headers"]),
    )


def _parameters(query: bytes) -> Iterable[tuple[str, str]]:
    for pair in query.split(b"&"):
        if pair:
            name, _, value = pair.replace(b"+", b"%20").partition(b"=")
            yield text(unquote_to_bytes(name)), text(unquote_to_bytes(value))


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for raw_name, raw_value in raw:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers
