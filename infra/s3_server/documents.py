"""The XML that S3 speaks: built from nested pairs, parsed into names and texts."""

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final
from xml.etree import ElementTree

from infra.s3_server.errors import S3Error

NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"

Node = tuple[str, "str | int | Sequence[Node]"]
"""An element: its name, and its text or its children."""

_SPECIAL: Final = re.compile("[\x00-\x1f&<>\"'\x7f\ud800-\udfff]")
_ESCAPES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"}


def document(root: Node, *, namespace: bool = True) -> bytes:
    """Return `root` as an XML document."""
    name, content = root
    opening = f'{name} xmlns="{NAMESPACE}"' if namespace else name
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{opening}>{_content(content)}</{name}>'.encode()


def _element(node: Node) -> str:
    name, content = node
    return f"<{name}>{_content(content)}</{name}>"


def _content(content: "str | int | Sequence[Node]") -> str:
    if isinstance(content, str):
        return _SPECIAL.sub(_escape, content)
    if isinstance(content, int):
        return str(content)
    return "".join(_element(child) for child in content)


def _escape(match: re.Match[str]) -> str:
    """Escape one character; an undecodable byte, which XML cannot say, becomes U+FFFD."""
    character = match.group()
    if "\ud800" <= character <= "\udfff":
        return "\ufffd"
    return _ESCAPES.get(character) or f"&#x{ord(character):X};"


def error_document(code: str, message: str, resource: str, request_id: str) -> bytes:
    """Return the document that goes with every refusal."""
    fields = (("Code", code), ("Message", message), ("Resource", resource), ("RequestId", request_id))
    return document(("Error", fields), namespace=False)


def timestamp(milliseconds: int) -> str:
    """Return a time as listings write it."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{milliseconds % 1000:03d}Z"


def parse(body: bytes, root: str) -> ElementTree.Element:
    """Return the root of a request's document, names without their namespace."""
    if b"<!" in body:
        raise S3Error("MalformedXML", "Declarations are not taken in a request's document.")
    try:
        parsed = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise S3Error("MalformedXML", f"The document cannot be parsed: {error}.") from None
    for element in parsed.iter():
        element.tag = element.tag.rpartition("}")[2]
    if parsed.tag != root:
        raise S3Error("MalformedXML", f"The document's root must be {root}, not {parsed.tag}.")
    return parsed


def children(parsed: ElementTree.Element, name: str, most: int) -> Iterable[dict[str, str]]:
    """Return the texts of each child called `name`, by element; at least one, at most `most`."""
    found = parsed.findall(name)
    if not 1 <= len(found) <= most:
        raise S3Error("MalformedXML", f"There must be 1 to {most} {name} elements, not {len(found)}.")
    return [{field.tag: field.text or "" for field in element} for element in found]
