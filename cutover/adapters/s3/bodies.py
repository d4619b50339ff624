"""An object's bytes, held in memory or in a temporary file, and hashed on the way in."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import IO

import aiohttp

from cutover.adapters.memory.objects import BLOCK_BYTES, MemoryBody
from cutover.adapters.s3.carried import info_of
from cutover.adapters.s3.wire import lowered
from cutover.errors import Inconclusive, Refused
from cutover.model.objects import ObjectInfo

MEMORY_BYTES = 8 << 20
"""Largest body that is held in memory; a larger one goes through a temporary file."""


class FileBody:
    """A body in an unnamed temporary file, read by the store's own threads."""

    def __init__(self, info: ObjectInfo, file: IO[bytes], sha256: str, threads: ThreadPoolExecutor) -> None:
        self.info, self.sha256 = info, sha256
        self._file, self._threads = file, threads

    async def blocks(self) -> AsyncIterator[bytes]:
        """The bytes, from the start; several readers do not disturb one another."""
        loop, number = asyncio.get_running_loop(), self._file.fileno()
        for start in range(0, self.info.size, BLOCK_BYTES):
            yield await loop.run_in_executor(self._threads, os.pread, number, BLOCK_BYTES, start)

    def close(self) -> None:
        """Give the file's room back."""
        self._file.close()


async def received(
    reply: aiohttp.ClientResponse, threads: ThreadPoolExecutor, *, what: str
) -> MemoryBody | FileBody:
    """Take the whole body of an answer; raises Inconclusive when it is shorter than announced."""
    info = info_of(lowered(reply), what=what)
    if info.size > MEMORY_BYTES:
        return await _spilled(reply, info, threads, what)
    data = await reply.read()
    _check_size(info, len(data), what)
    return MemoryBody(info, data)


async def _spilled(
    reply: aiohttp.ClientResponse, info: ObjectInfo, threads: ThreadPoolExecutor, what: str
) -> FileBody:
    digest, loop = hashlib.sha256(), asyncio.get_running_loop()
    with _our_own():
        file: IO[bytes] = tempfile.TemporaryFile(prefix="cutover-")  # noqa: SIM115  the body closes it

    def keep(block: bytes) -> None:
        digest.update(block)
        file.write(block)

    try:
        async for block in reply.content.iter_chunked(BLOCK_BYTES):
            await loop.run_in_executor(threads, _spill, keep, block)
        await loop.run_in_executor(threads, _spill, lambda _: file.flush(), b"")
        _check_size(info, file.tell(), what)
    except BaseException:
        with suppress(OSError):  # what it still holds back cannot be written either
            file.close()
        raise
    return FileBody(info, file, digest.hexdigest(), threads)


def _spill(keep: Callable[[bytes], None], block: bytes) -> None:
    with _our_own():
        keep(block)


@contextmanager
def _our_own() -> Iterator[None]:
    """Say so when our own disk is full, so that it is not taken for a broken connection."""
    try:
        yield
    except OSError as error:
        raise Refused(
            f"a temporary file in {tempfile.gettempdir()} cannot be written: {error}. "
            f"Nothing was changed. Make room there, or set TMPDIR."
        ) from None


def _check_size(info: ObjectInfo, found: int, what: str) -> None:
    if found != info.size:
        raise Inconclusive(f"{what}: {found} of {info.size} bytes came")
