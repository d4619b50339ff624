"""Bodies of objects and parts, each in a file of its own that is never changed.

A body is written beside the store, synced, renamed into place, and its
directory is synced before the index names it. A file that the index does not
name belongs to nobody and is swept at the next start.
"""

import errno
import itertools
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

SHARD_BODIES: Final = 4096
"""Bodies in one directory: few enough to list fast, enough that one batch syncs one directory."""


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
        self._unsynced: set[Path] = set()

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

    def write(self, data: bytes) -> Path:
        """Write and sync a small body; return its path among the incoming."""
        path = self.incoming_path()
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            write_all(descriptor, data)
            os.fsync(descriptor)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        finally:
            os.close(descriptor)
        return path

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

    def sync_names(self) -> None:
        """Make every name that was placed or linked since the last call durable."""
        for shard in self._unsynced:
            sync_directory(shard)
        self._unsynced.clear()

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
        self._unsynced.add(self._shard)
        return f"{self._shard.name}/{self._shard_count}"


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
