"""Objects as every store knows them."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """An object's size, tag, content headers and user metadata, without its bytes."""

    size: int
    etag: str
    content_type: str | None = None
    headers: dict[str, str] = field(default_factory=dict)  #: Cache-Control, Content-Encoding, ...
    metadata: dict[str, str] = field(default_factory=dict)  #: the user's own


@dataclass(frozen=True, slots=True, kw_only=True)
class Copied:
    """An object that is verified to be at the arriving site."""

    sha256: str
    size: int
    already: bool  #: equal bytes were there before
