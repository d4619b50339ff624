"""Bodies of objects and parts, each in a file of its own that is never changed.

A large body is written beside the store while it comes in, synced, and renamed
into place; a small one is written in place. Bytes and directory are synced
before the index names a body. A file that the index does not name belongs to
nobody and is swept at the next start.
"""

import errno
import itertools
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final

SHARD_BODIES: Final = 4096
"""Bodies in one directory: few enough to list fast, enough that one batch syncs one directory."""

SYNCS_MAX: Final = 4
"""Bodies of one batch written and synced at a time: they wait for the file system's journal together."""


def sync_directory(folder: Path) -> None:
    """Make the names in `folder` durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the bytes of a file durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class BodyStore:
    """Body files under one folder. Only the committing thread places and links."""

    def __init__(self, folder: Path) -> None:
        self._bodies = folder / "bodies"
        self._incoming = folder / "incoming"
        self._incoming_names = itertools.count()
        self._shard: Path | None = None
        self._shard_count = 0
        self._unwritten: dict[str, bytes] = {}
        self._unsynced_folders: set[Path] = set()
        self._syncing = ThreadPoolExecutor(SYNCS_MAX, "sync")

    def prepare(self) -> None:
        """Make the folders, and durable that they exist."""
        for folder in (self._bodies, self._incoming):
            folder.mkdir(parents=True, exist_ok=True)
        sync_directory(self._bodies.parent)

    def path(self, name: str) -> Path:
        return self._bodies / name

    def incoming_path(self) -> Path:
        """Return a fresh path for a body that is still coming in."""
        return self._incoming / str(next(self._incoming_names))

    def write(self, data: bytes) -> str:
        """Take in a small body; return its name. `sync` writes it, beside the others of its batch.

        It needs no rename: what makes a body exist is that the index names it.
        """
        name = self._new_name()
        self._unwritten[name] = data
        return name

    def place(self, incoming: Path) -> str:
        """Move a synced incoming body into the store; return its name."""
        name = self._new_name()
        incoming.rename(self.path(name))
        return name

    def link(self, name: str) -> str:
        """Return the name of a second body with the bytes of `name`, sharing them on disk."""
        new = self._new_name()
        try:
            os.link(self.path(name), self.path(new))
        except OSError as error:
            if error.errno not in (errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP):
                raise
            shutil.copyfile(self.path(name), self.path(new))
            sync_file(self.path(new))
        return new

    def sync(self) -> None:
        """Make every body that was written, placed or linked since the last call durable.

        Raises OSError when one of them cannot be: then none of them may be named.
        """
        bodies = [(self.path(name), data) for name, data in self._unwritten.items()]
        self._unwritten.clear()
        folders, self._unsynced_folders = self._unsynced_folders, set()
        write = self._syncing.map if len(bodies) > 1 else map
        for error in tuple(write(_write_and_sync, bodies)):
            if error is not None:
                raise error
        for folder in folders:
            sync_directory(folder)

    def withdraw(self, names: Iterable[str]) -> None:
        """Take back bodies of a change that is not to be."""
        for name in names:
            if self._unwritten.pop(name, None) is None:
                self.remove_all((name,))

    def remove_all(self, names: Iterable[str]) -> None:
        """Remove bodies that the index does not name; what cannot be removed is swept later."""
        for name in names:
            with suppress(OSError):
                self.path(name).unlink()

    def sweep(self, named: set[str]) -> int:
        """Remove every body that is not `named`, and all that was coming in; return how many."""
        orphans = [self._incoming / name for name in os.listdir(self._incoming)]
        orphans += [self.path(name) for name in self.names() if name not in named]
        for orphan in orphans:
            orphan.unlink()
        for shard in os.listdir(self._bodies):
            with suppress(OSError):
                os.rmdir(self._bodies / shard)
        return len(orphans)

    def close(self) -> None:
        self._syncing.shutdown()

    def names(self) -> Iterator[str]:
        for shard in os.listdir(self._bodies):
            for name in os.listdir(self._bodies / shard):
                yield f"{shard}/{name}"

    def _new_name(self) -> str:
        if self._shard is None or self._shard_count == SHARD_BODIES:
            shard = self._bodies / secrets.token_hex(8)
            shard.mkdir()
            sync_directory(self._bodies)
            self._shard, self._shard_count = shard, 0
        self._shard_count += 1
        self._unsynced_folders.add(self._shard)
        return f"{self._shard.name}/{self._shard_count}"


def _write_and_sync(body: tuple[Path, bytes]) -> OSError | None:
    path, data = body
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            write_all(descriptor, data)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        return error
    return None


def write_all(descriptor: int, data: bytes | bytearray) -> None:
    """Write all of `data`; a short write is continued, so that a full disk raises."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def disk_full() -> OSError:
    """Return the error that the system gives when no space is left."""
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def is_full(error: BaseException) -> bool:
    """Whether `error` says that the disk or a quota is full."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
