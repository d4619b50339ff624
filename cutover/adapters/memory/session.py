"""What a user's own connection does to a memory database: transactions with all their moments."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from cutover.adapters.memory.server import Fenced, MemoryServer
from cutover.model.change import Change, Delete, Insert, Key, Row, Update

Answer = TypeVar("Answer")


@dataclass(slots=True)
class Work:
    """One transaction: it reads what is committed, as if it held every row's lock."""

    server: MemoryServer
    changes: list[Change] = field(default_factory=list)
    met: dict[tuple[str, Key], None] = field(default_factory=dict)  #: rows that it has looked at

    def get(self, table: str, key: Key) -> Row | None:
        """A row as it is, with this transaction's own changes."""
        self.met[table, key] = None
        for change in reversed(self.changes):
            if isinstance(change, Insert | Update) and (change.table, change.key) == (table, key):
                return dict(change.row)
            if isinstance(change, Delete) and (change.table, change.key) == (table, key):
                return None
        row = self.server.tables[table].get(key)
        return None if row is None else dict(row)

    def find(self, table: str, column: str, value: str) -> list[tuple[Key, Row]]:
        """Rows with that value, for what a unique index or a foreign key answers."""
        rows = self.server.tables[table].items()
        found = [(key, dict(row)) for key, row in rows if row.get(column) == value]
        self.met |= {(table, key): None for key, _ in found}
        return found

    def insert(self, table: str, key: Key, row: Row) -> None:
        """Add a row."""
        self.changes.append(Insert(table, key, row))

    def update(self, table: str, key: Key, row: Row) -> None:
        """Write a whole row anew."""
        self.changes.append(Update(table, key, row))

    def delete(self, table: str, key: Key) -> None:
        """Remove a row."""
        self.changes.append(Delete(table, key))

    def next_value(self, sequence: str) -> int:
        """The next number of a sequence; not given back when the transaction fails."""
        self.server.sequence[sequence] = self.server.sequence.get(sequence, 0) + 1
        return self.server.sequence[sequence]


@dataclass(frozen=True, slots=True)
class MemorySession:
    """A connection of the user's platform."""

    server: MemoryServer

    async def write(self, request: str, body: Callable[[Work], Answer]) -> Answer:
        """Run one transaction; raises Fenced when the fence refuses it.

        The fence is held from its check until readers see the transaction, as
        a writer in PostgreSQL holds its advisory lock. `body` is run again
        when it met a row that another transaction has written and readers do
        not see yet: that one still holds the row's lock.
        """
        server = self.server
        await server.reach()
        server.writers += 1
        boot = server.boot
        try:
            if not server.accepts_writes():
                raise Fenced(server.site, server.epoch)
            await server.between("checked")
            work, answer = await self._unlocked(body)
            if work.changes:
                await self._commit(work, request)
        finally:
            if server.boot == boot:
                server.writers -= 1
        await server.reach()
        return answer

    async def _commit(self, work: Work, request: str) -> None:
        """What is in the log becomes visible, even if nobody waits for the answer any more."""
        server = self.server
        boot, transaction = server.boot, server.commit(work.changes, request=request)
        try:
            await server.between("committed")
        finally:
            if server.boot == boot:
                server.show(transaction)

    async def _unlocked(self, body: Callable[[Work], Answer]) -> tuple[Work, Answer]:
        """Run `body` in a moment in which nobody holds a row that it meets."""
        while True:
            work = Work(self.server)
            answer = body(work)
            if not self.server.locked(work.met):
                return work, answer
            await self.server.between("locked")

    async def read(self, body: Callable[[MemoryServer], Answer]) -> Answer:
        """Read what is visible, in one moment."""
        await self.server.reach()
        await self.server.between("read")
        answer = body(self.server)
        await self.server.reach()
        return answer

    async def serving_epoch(self) -> int | None:
        """The epoch under which this site accepts writes now; None when it does not."""
        return await self.read(lambda server: server.epoch if server.accepts_writes() else None)
