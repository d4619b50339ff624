"""Bodies of uploads: in memory when small, else a file."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 1 << 18
"""How much of a body is read and sent at a time."""

MEMORY_BYTES_MAX = 1 << 20
"""Largest body kept in memory while its digest is taken; a longer one goes to a file."""


@dataclass(frozen=True, slots=True)
class BytesBody:
    """A small body."""

    data: bytes = field(repr=False)
    sha256: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sha256", sha256(self.data).hexdigest())

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)

    @property
    def path(self) -> Path | None:
        """In memory."""
        return None

    async def chunks(self) -> AsyncIterator[bytes]:
        """All of it at once, nothing when it is empty."""
        if self.data:
            yield self.data


@dataclass(frozen=True, slots=True, kw_only=True)
class FileBody:
    """A file of any size, read in a thread. Make one with `file_body`."""

    path: Path
    sha256: str
    size: int  #: bytes

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read the file in pieces."""
        file = await asyncio.to_thread(self.path.open, "rb")
        try:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk
        finally:
            file.close()


def _digest_file(path: Path) -> FileBody:
    with path.open("rb") as file:
        digest = file_digest(file, sha256).hexdigest()
        return FileBody(path=path, sha256=digest, size=file.tell())


async def file_body(path: Path) -> FileBody:
    """Take the digest of a file; its name may hold bytes that are not UTF-8."""
    return await asyncio.to_thread(_digest_file, path)


class Spool:
    """Takes in a body of unknown length: memory first, a temporary file when it grows.

    Use as a context manager: the file goes when the block ends.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._digest = sha256()
        self._pending = bytearray()
        self._file: BinaryIO | None = None
        self._size = 0

    def __enter__(self) -> "Spool":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    async def take(self, chunk: bytes) -> None:
        """Add a piece."""
        self._pending += chunk
        self._size += len(chunk)
        if len(self._pending) >= MEMORY_BYTES_MAX:
            await asyncio.to_thread(self._spill)

    async def body(self) -> BytesBody | FileBody:
        """All that was taken; valid until the block ends."""
        if self._file is None:
            return BytesBody(bytes(self._pending))
        await asyncio.to_thread(self._spill)
        return FileBody(path=Path(self._file.name), sha256=self._digest.hexdigest(), size=self._size)

    def _spill(self) -> None:
        if self._file is None:
            self._file = tempfile.NamedTemporaryFile(prefix="upload-", dir=self._folder)  # type: ignore[assignment]  # noqa: SIM115
        assert self._file is not None
        self._digest.update(self._pending)
        self._file.write(self._pending)
        self._file.flush()
        self._pending.clear()
