"""Index, bodies and committer of one folder, opened and closed as one."""

import asyncio
import fcntl
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from infra.s3_server.bodies import BodyStore
from infra.s3_server.committer import Change, Committer
from infra.s3_server.errors import S3Error
from infra.s3_server.index import Index, StoredObject

T = TypeVar("T")


class FolderInUse(Exception):
    """Another process serves this folder."""


class FolderDamaged(Exception):
    """The folder holds bodies and no index: serving it would sweep them all away."""


class Store:
    """One folder, open. Use from the loop's thread.

    Single keys are read on the loop, for the index answers in microseconds
    and a thread would cost more; listings go to a thread of their own.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(folder)
        path = folder / "index.sqlite"
        self.bodies = BodyStore(folder)
        self.bodies.prepare()
        if not path.exists() and any(True for _ in self.bodies.names()):
            raise FolderDamaged(
                f"{folder} holds bodies but no index.sqlite; restore it, or empty the folder."
            )
        self.index = Index(path)
        self.index.prepare()
        self.swept = self.bodies.sweep(set(self.index.body_names()))
        self._listing = Index(path)
        self._listing_thread = ThreadPoolExecutor(1, "listing")
        self._held: Counter[str] = Counter()
        self._unwanted: set[str] = set()
        self._removals: set[asyncio.Future[None]] = set()
        self._committer = Committer(path, self.bodies, self._remove)
        self._committer.start()

    async def commit(self, change: Change[T], *, full: bool = False) -> T:
        """Carry out `change` durably; see Committer.commit."""
        return await self._committer.commit(change, full=full)

    async def read(self, question: Callable[[Index], T]) -> T:
        """Answer a question that may take long, away from the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._listing_thread, question, self._listing)

    def find_object(self, bucket: str, key: bytes) -> StoredObject:
        """Return an object; raises NoSuchKey or NoSuchBucket."""
        stored = self.index.find_object(bucket, key)
        if stored is None:
            require_bucket(self.index, bucket)
            raise S3Error("NoSuchKey", "The specified key does not exist.")
        return stored

    @contextmanager
    def holding(self, stored: StoredObject) -> Iterator[None]:
        """Keep an object's bodies from being removed while they are being sent.

        Enter it in the same step of the loop that read the object.
        """
        names = [segment.name for segment in stored.segments]
        self._held.update(names)
        try:
            yield
        finally:
            self._held.subtract(names)
            self._held += Counter()
            self._remove(self._unwanted.intersection(names))

    async def settled(self) -> None:
        """Return once all bodies that may be removed are."""
        await asyncio.gather(*self._removals)

    async def close(self) -> None:
        await self._committer.stop()
        await self.settled()
        self._listing_thread.shutdown()
        self.bodies.close()
        self._listing.close()
        self.index.close()
        os.close(self._lock)

    def _remove(self, names: Collection[str]) -> None:
        """Remove bodies that the index names no more, once nobody sends them."""
        free = [name for name in names if name not in self._held]
        self._unwanted.update(names)
        self._unwanted.difference_update(free)
        if free:
            removal = asyncio.get_running_loop().run_in_executor(None, self.bodies.remove_all, free)
            self._removals.add(removal)
            removal.add_done_callback(self._removals.discard)


def require_bucket(index: Index, bucket: str) -> None:
    if not index.bucket_exists(bucket):
        raise S3Error("NoSuchBucket", f"The bucket {bucket!r} does not exist.")


def _lock(folder: Path) -> int:
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise FolderInUse(f"{folder} is served by another process; stop that one first.") from None
    return descriptor
