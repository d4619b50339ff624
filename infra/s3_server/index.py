"""The index: which buckets, objects, uploads and parts there are, in one SQLite file.

Keys are blobs, so they compare in byte order and keep every byte. With
`synchronous=FULL` a commit has been synced when it becomes visible.
"""

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

SCHEMA: Final = """
create table if not exists buckets (name text primary key, created integer not null) without rowid;
create table if not exists objects (
    bucket text not null, key blob not null, size integer not null, etag text not null,
    modified integer not null, segments text not null, headers text not null,
    checksums text not null, upload text not null, primary key (bucket, key)
) without rowid;
create table if not exists uploads (
    bucket text not null, key blob not null, id text not null, initiated integer not null,
    headers text not null, primary key (bucket, key, id)
) without rowid;
create table if not exists parts (
    upload text not null, number integer not null, name text not null, size integer not null,
    etag text not null, modified integer not null, checksums text not null, primary key (upload, number)
) without rowid;
"""

LAST_KEY: Final = b"\xff" * 1025
"""Above every key: keys have at most 1024 bytes."""

LOG_BYTES: Final = 5 * 1024 * 1024
"""Room for the write-ahead log (bytes): SQLite checkpoints it at 1,000 pages, which take 4 MiB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One body file of an object."""

    name: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """What the index knows of one object; `modified` is in milliseconds since the epoch."""

    key: bytes
    size: int
    etag: str
    modified: int
    segments: tuple[Segment, ...]
    headers: dict[str, str]
    checksums: dict[str, str] = field(default_factory=dict)
    upload: str = ""  #: the multipart upload that made it, so that a repeated completion is recognised


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """One object in a listing."""

    key: bytes
    size: int
    etag: str
    modified: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A multipart upload that is neither complete nor aborted."""

    bucket: str
    key: bytes
    id: str
    initiated: int
    headers: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One uploaded part; its ETag is the bare MD5."""

    number: int
    name: str
    size: int
    etag: str
    modified: int
    checksums: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a listing; `following` is the first key that may come next, None at the end."""

    objects: tuple[Listed, ...]
    prefixes: tuple[bytes, ...]
    following: bytes | None


def after_prefix(prefix: bytes) -> bytes:
    """Return the first key that sorts after all keys with `prefix`."""
    head = prefix.rstrip(b"\xff")
    return head[:-1] + bytes([head[-1] + 1]) if head else LAST_KEY


class Index:
    """One connection to the index. Not for two threads at once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=wal", "synchronous=full", "temp_store=memory", "busy_timeout=10000"):
            self._connection.execute(f"pragma {pragma}")

    def prepare(self) -> None:
        self._connection.executescript(SCHEMA)
        self._reserve()

    def _reserve(self) -> None:
        """Claim room for the write-ahead log now, so that objects can still be deleted on a full disk.

        SQLite starts the log over in the same file after each checkpoint, and
        takes zeros after its last frame for the end. Best effort: on a disk
        that is full at the start, what an earlier start has claimed is there.
        """
        descriptor = os.open(f"{self._path}-wal", os.O_RDWR)
        try:
            with suppress(OSError):
                os.posix_fallocate(descriptor, 0, LOG_BYTES)
        finally:
            os.close(descriptor)

    def execute(self, statement: str) -> None:
        """Begin, commit, or roll back."""
        self._connection.execute(statement)

    def pragma(self, name: str) -> object:
        """Return one of SQLite's own settings."""
        return self._connection.execute(f"pragma {name}").fetchone()[0]

    def close(self) -> None:
        self._connection.close()

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    # buckets

    def bucket_exists(self, name: str) -> bool:
        return self._one("select 1 from buckets where name = ?", name) is not None

    def buckets(self) -> list[tuple[str, int]]:
        return self._connection.execute("select name, created from buckets order by name").fetchall()

    def add_bucket(self, name: str, created: int) -> None:
        self._connection.execute("insert into buckets values (?, ?)", (name, created))

    def remove_bucket(self, name: str) -> None:
        self._connection.execute("delete from buckets where name = ?", (name,))

    def bucket_is_empty(self, name: str) -> bool:
        return self._one("select 1 from objects where bucket = ? limit 1", name) is None

    # objects

    def find_object(self, bucket: str, key: bytes) -> StoredObject | None:
        row = self._one(
            "select size, etag, modified, segments, headers, checksums, upload from objects"
            " where bucket = ? and key = ?",
            bucket,
            key,
        )
        if row is None:
            return None
        return StoredObject(
            key=key,
            size=row[0],
            etag=row[1],
            modified=row[2],
            segments=tuple(Segment(name=name, size=size) for name, size in json.loads(row[3])),
            headers=json.loads(row[4]),
            checksums=json.loads(row[5]),
            upload=row[6],
        )

    def put_object(self, bucket: str, stored: StoredObject) -> None:
        self._connection.execute(
            "insert or replace into objects values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                bucket,
                stored.key,
                stored.size,
                stored.etag,
                stored.modified,
                json.dumps([(segment.name, segment.size) for segment in stored.segments]),
                json.dumps(stored.headers),
                json.dumps(stored.checksums),
                stored.upload,
            ),
        )

    def remove_object(self, bucket: str, key: bytes) -> None:
        self._connection.execute("delete from objects where bucket = ? and key = ?", (bucket, key))

    def page(self, bucket: str, *, prefix: bytes, delimiter: bytes, start: bytes, limit: int) -> Page:
        """Return up to `limit` keys and common prefixes, from `start` on, in byte order."""
        objects: list[Listed] = []
        prefixes: list[bytes] = []
        position, end = max(start, prefix), after_prefix(prefix)
        while position < end:
            room = limit - len(objects) - len(prefixes)
            rows = self._keys(bucket, position, end, room + 1)
            for count, (key, size, etag, modified) in enumerate(rows):
                if count == room:
                    return Page(objects=tuple(objects), prefixes=tuple(prefixes), following=key)
                cut = key.find(delimiter, len(prefix)) if delimiter else -1
                if cut >= 0:
                    prefixes.append(key[: cut + len(delimiter)])
                    position = after_prefix(prefixes[-1])
                    break
                objects.append(Listed(key=key, size=size, etag=etag, modified=modified))
            else:
                break
        return Page(objects=tuple(objects), prefixes=tuple(prefixes), following=None)

    def _keys(self, bucket: str, start: bytes, end: bytes, limit: int) -> list[tuple[bytes, int, str, int]]:
        return self._connection.execute(
            "select key, size, etag, modified from objects"
            " where bucket = ? and key >= ? and key < ? order by key limit ?",
            (bucket, start, end, limit),
        ).fetchall()

    # multipart uploads

    def add_upload(self, upload: Upload) -> None:
        self._connection.execute(
            "insert into uploads values (?, ?, ?, ?, ?)",
            (upload.bucket, upload.key, upload.id, upload.initiated, json.dumps(upload.headers)),
        )

    def upload(self, bucket: str, key: bytes, id_: str) -> Upload | None:
        row = self._one(
            "select initiated, headers from uploads where bucket = ? and key = ? and id = ?", bucket, key, id_
        )
        if row is None:
            return None
        return Upload(bucket=bucket, key=key, id=id_, initiated=row[0], headers=json.loads(row[1]))

    def uploads(self, bucket: str, *, start: tuple[bytes, str], end: bytes, limit: int) -> list[Upload]:
        """Return up to `limit` uploads after the (key, id) `start` whose key is below `end`."""
        rows = self._connection.execute(
            "select key, id, initiated, headers from uploads"
            " where bucket = ? and (key, id) > (?, ?) and key < ? order by key, id limit ?",
            (bucket, *start, end, limit),
        )
        return [
            Upload(bucket=bucket, key=key, id=id_, initiated=initiated, headers=json.loads(headers))
            for key, id_, initiated, headers in rows
        ]

    def remove_upload(self, upload: Upload) -> None:
        self._connection.execute("delete from parts where upload = ?", (upload.id,))
        self._connection.execute(
            "delete from uploads where bucket = ? and key = ? and id = ?",
            (upload.bucket, upload.key, upload.id),
        )

    def put_part(self, upload: str, part: Part) -> None:
        self._connection.execute(
            "insert or replace into parts values (?, ?, ?, ?, ?, ?, ?)",
            (upload, part.number, part.name, part.size, part.etag, part.modified, json.dumps(part.checksums)),
        )

    def parts(self, upload: str, *, after: int = 0, limit: int = 10_000) -> list[Part]:
        rows = self._connection.execute(
            "select number, name, size, etag, modified, checksums from parts"
            " where upload = ? and number > ? order by number limit ?",
            (upload, after, limit),
        )
        return [
            Part(
                number=row[0],
                name=row[1],
                size=row[2],
                etag=row[3],
                modified=row[4],
                checksums=json.loads(row[5]),
            )
            for row in rows
        ]

    def part(self, upload: str, number: int) -> Part | None:
        return next(
            (part for part in self.parts(upload, after=number - 1, limit=1) if part.number == number), None
        )

    # all of it

    def body_names(self) -> Iterator[str]:
        """Return the name of every body that an object or a part owns."""
        for (segments,) in self._connection.execute("select segments from objects"):
            yield from _names(json.loads(segments))
        for (name,) in self._connection.execute("select name from parts"):
            yield name

    def _one(self, statement: str, *values: str | bytes) -> tuple[Any, ...] | None:
        row: tuple[Any, ...] | None = self._connection.execute(statement, values).fetchone()
        return row


def _names(segments: Iterable[tuple[str, int]]) -> Iterator[str]:
    for name, _ in segments:
        yield name
