"""The one thread that changes the store.

Changes that wait at the same time share one commit, and so one sync; each
runs in a savepoint of its own, so that one which is refused leaves nothing.
Nobody is answered before the commit is durable.
"""

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from infra.s3_server.bodies import BodyStore, disk_full
from infra.s3_server.index import Index

T = TypeVar("T")

BATCH_MAX: Final = 128
"""Most changes in one commit: bounds how long the first of them waits."""


class Transaction:
    """What one change may do: read and write the index, take in and give up bodies."""

    def __init__(self, index: Index, bodies: BodyStore) -> None:
        self.index = index
        self._bodies = bodies
        self.taken: list[str] = []
        self.given_up: list[str] = []

    def take(self, body: bytes | Path) -> str:
        """Put a body into the store; return its name. A path is a synced incoming file."""
        name = self._bodies.write(body) if isinstance(body, bytes) else self._bodies.place(body)
        self.taken.append(name)
        return name

    def link(self, name: str) -> str:
        """Put a body with the bytes of `name` into the store; return the new name."""
        self.taken.append(self._bodies.link(name))
        return self.taken[-1]

    def give_up(self, name: str) -> None:
        """Remove a body once the commit is durable."""
        self.given_up.append(name)


Change = Callable[[Transaction], T]


@dataclass(slots=True)
class _Job:
    change: Change[Any]
    future: asyncio.Future[Any]
    full: bool
    outcome: Any = None
    error: BaseException | None = None
    transaction: Transaction | None = None


class Committer:
    """Runs changes in order, several to a commit."""

    def __init__(self, index_path: Path, bodies: BodyStore, remove: Callable[[list[str]], None]) -> None:
        """`remove` is called on the loop with the bodies that a durable commit left without an owner."""
        self._index = Index(index_path)
        self._bodies = bodies
        self._remove = remove
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._doubtful: list[str] = []
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="committer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    async def commit(self, change: Change[T], *, full: bool = False) -> T:
        """Carry out `change`; return its result once it is durable.

        Raises what the change raised, or OSError and sqlite3.Error when it
        could not be made durable. `full` makes it meet a full disk.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        self._jobs.put(_Job(change, future, full))
        return await asyncio.shield(future)

    async def stop(self) -> None:
        """Commit what waits, then end the thread."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)
        self._index.close()

    def _run(self) -> None:
        while True:
            batch, last = self._batch()
            if batch:
                self._commit_batch(batch)
            if last:
                return

    def _batch(self) -> tuple[list[_Job], bool]:
        job = self._jobs.get()
        batch: list[_Job] = []
        while job is not None:
            batch.append(job)
            if len(batch) == BATCH_MAX or self._jobs.empty():
                return batch, False
            job = self._jobs.get()
        return batch, True

    def _commit_batch(self, batch: list[_Job]) -> None:
        committing = False
        try:
            self._index.execute("begin immediate")
            for job in batch:
                self._apply(job)
            self._bodies.sync()
            committing = True
            self._index.execute("commit")
        except (OSError, sqlite3.Error) as error:
            self._abandon(batch, error, committing=committing)
            self._loop.call_soon_threadsafe(_deliver, batch)
        else:
            self._loop.call_soon_threadsafe(_deliver, batch)
            self._clear_away(batch)

    def _apply(self, job: _Job) -> None:
        job.transaction = Transaction(self._index, self._bodies)
        self._index.execute("savepoint change")
        try:
            job.outcome = job.change(job.transaction)
            if job.full:
                raise disk_full()
        except Exception as error:
            job.error = error
            self._index.execute("rollback to change")
            self._bodies.withdraw(job.transaction.taken)
        self._index.execute("release change")

    def _abandon(self, batch: list[_Job], error: Exception, *, committing: bool) -> None:
        """Undo a batch that could not be made durable; all of it is answered with `error`.

        Also what was refused: the refusal may rest on a change that is now
        undone. A commit that failed half-way may still be found by a restart,
        so the bodies it names stay until a later commit has taken its place.
        """
        if self._index.in_transaction:
            self._index.execute("rollback")
        taken: list[str] = []
        for job in batch:
            if job.error is None and job.transaction is not None:
                taken += job.transaction.taken
            job.error = error
        if not committing:
            self._bodies.withdraw(taken)
        else:
            self._doubtful += taken

    def _clear_away(self, batch: list[_Job]) -> None:
        unowned, self._doubtful = self._doubtful, []
        for job in batch:
            if job.error is None and job.transaction is not None:
                unowned += job.transaction.given_up
        if unowned:
            self._loop.call_soon_threadsafe(self._remove, unowned)


def _deliver(batch: list[_Job]) -> None:
    for job in batch:
        if job.future.cancelled():
            continue
        if job.error is None:
            job.future.set_result(job.outcome)
        else:
            job.future.set_exception(job.error)
