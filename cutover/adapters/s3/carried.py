"""Content headers and user metadata, carried over byte for byte.

Values travel as they came: an encoded word of mail stays one, and raw UTF-8
stays raw. Whoever reads the copy sees what readers of the original see.
"""

from collections.abc import Mapping
from string import ascii_letters, digits

from cutover.errors import ObjectRefused
from cutover.model.objects import ObjectInfo

META = "x-amz-meta-"
CONTENT_HEADERS = ("Cache-Control", "Content-Disposition", "Content-Encoding", "Content-Language", "Expires")
NAME_LETTERS = frozenset(ascii_letters + digits + "!#$%&'*+-.^_`|~")


def info_of(headers: Mapping[str, str], *, what: str) -> ObjectInfo:
    """What an answer's headers (names in lower case) say of the object `what`."""
    if headers.get("x-amz-missing-meta", "0") != "0":
        raise ObjectRefused(
            f"{what}: the store keeps {headers['x-amz-missing-meta']} metadata value(s) that it cannot send. "
            f"Copying would lose them. Write that metadata anew, then run this again."
        )
    return ObjectInfo(
        size=int(headers.get("content-length", "0")),
        etag=headers.get("etag", "").strip('"'),
        content_type=headers.get("content-type"),
        headers={name: headers[name.lower()] for name in CONTENT_HEADERS if name.lower() in headers},
        metadata={name[len(META) :]: value for name, value in headers.items() if name.startswith(META)},
    )


def headers_of(info: ObjectInfo, *, what: str) -> dict[str, str]:
    """The headers that give an object this metadata; raises Refused for what HTTP cannot carry."""
    headers = {} if info.content_type is None else {"Content-Type": info.content_type}
    headers |= info.headers
    headers |= {META + name: value for name, value in info.metadata.items()}
    for name, value in headers.items():
        if not _can_travel(name, value):
            raise ObjectRefused(
                f"{what}: its metadata {name!r} = {value!r} cannot be sent in a header. Nothing was stored."
            )
    return headers


def equal(one: ObjectInfo, other: ObjectInfo) -> bool:
    """Whether two stores say the same of an object, tags aside."""
    return (one.size, one.content_type, one.headers, one.metadata) == (
        other.size,
        other.content_type,
        other.headers,
        other.metadata,
    )


def _can_travel(name: str, value: str) -> bool:
    """Whether name and value arrive as they were sent: blanks at the ends would be trimmed."""
    if not name or not NAME_LETTERS.issuperset(name) or value != value.strip(" \t"):
        return False
    return not any(letter < " " or letter == "\x7f" or "\ud800" <= letter <= "\udfff" for letter in value)
