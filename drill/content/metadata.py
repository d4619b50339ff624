"""What `metadata.jsonl` says of each file: one JSON object a line."""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from drill.content.tree import Tree, folders_above
from sample_platform import limits, wire
from sample_platform.errors import BadInput
from sample_platform.model import NewPost

NAME = "metadata.jsonl"
"""Where it lies: at the top of the content folder. It is no content itself."""

AUTHOR = "user-0"
"""Whose a file is when nobody says."""

TEXTS = ("title", "caption", "audio", "author")
KEYS = ("file", "title", "caption", "tags", "audio", "author")

METADATA_BYTES_MAX = wire.HEADER_BYTES_MAX - 4_096
"""Most that one file's metadata may take on their way (bytes): they travel in one HTTP header.

The answer to a reader carries them too, and beside them what the platform adds: below 4 KiB.
"""


@dataclass(slots=True)
class Metadata:
    """What the lines say, and what is wrong with them."""

    posts: dict[str, NewPost] = field(default_factory=dict)  #: by file
    refused: list[str] = field(default_factory=list)  #: sentences, each with its line
    _lines: dict[str, int] = field(default_factory=dict)

    def take(self, number: int, raw: bytes, tree: Tree) -> None:
        """Read one line, numbered from 1; an empty one says nothing."""
        if not raw.strip():
            return
        try:
            said = _object(raw.removeprefix(b"\xef\xbb\xbf") if number == 1 else raw)
            file = self._file(said, tree)
            self._lines[file] = number
            self.posts[file] = _post(file, said)
        except _Wrong as wrong:
            self.refused.append(f"{NAME} line {number} {wrong}")

    def _file(self, said: Mapping[str, object], tree: Tree) -> str:
        file = _named(said)
        if file in self._lines:
            raise _Wrong(
                f"is the second for {file!r}, after line {self._lines[file]}: "
                f"only one can be true. Remove one of them."
            )
        if file not in tree.files:
            raise _Wrong(_missing(file, tree))
        return file


class _Wrong(Exception):
    """The rest of a sentence that begins with the line."""


def metadata_of(lines: Iterable[bytes], tree: Tree) -> Metadata:
    """Read all lines, to their end, whatever is wrong with some of them."""
    metadata = Metadata()
    for number, raw in enumerate(lines, start=1):
        metadata.take(number, raw, tree)
    return metadata


def unsaid(file: str) -> NewPost:
    """What is told of a file without a line: its name is its title."""
    return NewPost(author=AUTHOR, title=title_of(file))


def title_of(file: str) -> str:
    """The name of a file as text; a byte that is not UTF-8 is written out, as `\\xe9`."""
    return os.fsencode(file.rpartition("/")[2]).decode("utf-8", "backslashreplace")


def _object(raw: bytes) -> Mapping[str, object]:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        byte = raw[error.start]
        raise _Wrong(
            f"is not UTF-8 (byte 0x{byte:02x} at column {error.start + 1}), and JSON is. Save it as UTF-8."
        ) from None
    try:
        said = json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise _Wrong(
            f"is not JSON ({error.msg} at column {error.pos + 1}): "
            f"each line must be one whole object. Mend or remove it."
        ) from None
    except (ValueError, RecursionError) as error:
        raise _Wrong(f"cannot be read as JSON ({error}). Mend or remove it.") from None
    if not isinstance(said, dict):
        raise _Wrong(f'holds {_kind(said)}, but must be an object, such as {{"file": "a.mp4"}}. Mend it.')
    return said


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    said = dict(pairs)
    if len(said) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Wrong(f"has the key {twice!r} twice: only one can be meant. Remove one of them.")
    return said


def _named(said: Mapping[str, object]) -> str:
    """The file that a line is about, as a path below the folder."""
    for key in said:
        if key not in KEYS:
            raise _Wrong(f"has the key {key!r}, which means nothing here; known are {', '.join(KEYS)}.")
    if "file" not in said:
        raise _Wrong('has no "file": nobody can tell what it is about. Name the file.')
    file = _text(said, "file")
    if "\0" in file:
        raise _Wrong(f"names {file!r}: no file name holds a NUL character. Mend the name.")
    if file.startswith("/"):
        raise _Wrong(
            f"names {file!r}, an absolute path, which points outside. Name the file from the content folder."
        )
    parts = [part for part in file.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _Wrong(f"names {file!r}: `..` may lead outside. Name the file from the content folder.")
    if not parts:
        raise _Wrong(f"names {file!r}, which is no file. Name one, or remove the line.")
    return "/".join(parts)


def _missing(file: str, tree: Tree) -> str:
    if file == NAME:
        return "names metadata.jsonl itself, which is no content. Remove the line."
    for path in (*folders_above(file), file):
        if path in tree.refused:
            return f"names {file!r}, which cannot be moved: see {path!r}."
    if file in tree.folders:
        return f"names {file!r}, which is a folder. Name its files, each on a line of its own."
    return f"names {file!r}, and there is no such file. Mend the name, or remove the line."


def _post(file: str, said: Mapping[str, object]) -> NewPost:
    texts = {name: _text(said, name) for name in TEXTS if name in said}
    post = NewPost(**{"author": AUTHOR, "title": title_of(file)} | texts, tags=_tags(said))
    try:
        limits.check_new_post(post)
    except BadInput as error:
        raise _Wrong(f"cannot stand for {file!r}: {error}. Mend it.") from None
    size = len(wire.header(wire.new_post_json(post, digest="0" * 64, size=2**63)))
    if size > METADATA_BYTES_MAX:
        raise _Wrong(
            f"takes {size} bytes on its way to the platform, but at most {METADATA_BYTES_MAX} get there. "
            f"Shorten title, caption or tags."
        )
    return post


def _text(said: Mapping[str, object], name: str) -> str:
    value = said[name]
    if not isinstance(value, str):
        raise _Wrong(f'has {_kind(value)} as "{name}", but it must be a string. Mend it, or leave it out.')
    return value


def _tags(said: Mapping[str, object]) -> tuple[str, ...]:
    tags = said.get("tags", [])
    if not isinstance(tags, list):
        raise _Wrong(
            f'has {_kind(tags)} as "tags", but it must be a list of strings. Mend it, or leave it out.'
        )
    for tag in tags:
        if not isinstance(tag, str):
            raise _Wrong(f'has {_kind(tag)} among its "tags", but each must be a string. Mend it.')
    return tuple(tags)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return json.dumps(value)
        case int() | float():
            return f"the number {value!r:.40}"
        case str():
            return "a string"
        case list():
            return "a list"
    return "an object"
