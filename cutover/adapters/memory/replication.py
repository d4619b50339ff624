"""The ports Rows, ChangeLog and Applier over memory servers."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from cutover.adapters.memory.disk import FLUSH_SECONDS
from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.site import refuse_if_open, refuse_unless_told
from cutover.errors import Refused, SiteUnreachable
from cutover.model.action import Guard
from cutover.model.change import (
    UNCHANGED,
    Change,
    Chunk,
    Delete,
    Insert,
    Key,
    LogItem,
    ObjectName,
    Owner,
    Quiet,
    Row,
    Transaction,
    Truncate,
    Update,
)
from cutover.model.merge import Reference
from cutover.model.observation import Copying, Following, RowDigest
from cutover.model.position import Position, Snapshot
from cutover.ports.database import READ_AGAIN, Aside, DigestPage
from cutover.protocol.copying import keys_touched


def _objects(server: MemoryServer, table: str, row: Row) -> tuple[ObjectName, ...]:
    names = []
    for owned in server.plan.table(table).objects:
        key, digest = row.get(owned.key_column), row.get(owned.digest_column or "")
        if isinstance(key, str) and key:
            sha256 = digest if isinstance(digest, str) else None
            names.append(ObjectName(bucket=owned.bucket, key=key, sha256=sha256))
    return tuple(names)


@dataclass(frozen=True, slots=True)
class MemoryRows:
    """What is read from a memory server's tables."""

    server: MemoryServer

    async def read_chunk(self, table: str, after: Key | None, limit: int) -> Chunk:
        """Rows past `after`, with the snapshot that they were read in."""
        await self.server.reach()
        rows, last = self._page(table, after, limit)
        snapshot = self.server.snapshot()
        await self.server.reach()
        owners = tuple(Owner(key=key, objects=_objects(self.server, table, row)) for key, row in rows)
        return Chunk(
            table=table,
            payload=rows,
            rows=len(rows),
            last=last,
            snapshot=snapshot,
            owners=tuple(owner for owner in owners if owner.objects),
        )

    def _page(self, table: str, after: Key | None, limit: int) -> tuple[list[tuple[Key, Row]], Key | None]:
        rows = sorted(self.server.rows(table).items())
        past = [(key, dict(row)) for key, row in rows if after is None or key > after]
        page = past[:limit]
        return page, page[-1][0] if len(past) > limit else None

    async def mark(self, name: str) -> None:
        """Write a mark into the log."""
        await self.server.reach()
        self.server.show(self.server.commit((), request=None, mark=name))
        await self.server.reach()

    async def read_again(self, table: str, key: Key) -> tuple[Transaction | None, Snapshot]:
        """The row as it is now, and the snapshot that shows it."""
        await self.server.reach()
        row, snapshot = self.server.rows(table).get(key), self.server.snapshot()
        await self.server.reach()
        if row is None:
            return None, snapshot
        change = Insert(table, key, dict(row))
        return Transaction(xid=self.server.xid, position=self.server.end, changes=(change,)), snapshot

    async def digests(self, table: str, after: Key | None, limit: int) -> DigestPage:
        """A page of digests."""
        await self.server.reach()
        rows, last = self._page(table, after, limit)
        await self.server.reach()
        return DigestPage(rows={key: self._digest(table, row) for key, row in rows}, last=last)

    async def digests_of(self, table: str, keys: Sequence[Key]) -> dict[Key, RowDigest]:
        """Digests of these rows."""
        await self.server.reach()
        rows = self.server.rows(table)
        found = {key: self._digest(table, rows[key]) for key in keys if key in rows}
        await self.server.reach()
        return found

    async def rows_of(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        """These rows whole."""
        await self.server.reach()
        rows = self.server.rows(table)
        found = {key: dict(rows[key]) for key in keys if key in rows}
        await self.server.reach()
        return found

    async def referring(self, reference: Reference, parents: Sequence[Key]) -> dict[Key, list[Key]]:
        """The rows that refer to these parents."""
        await self.server.reach()
        found: dict[Key, list[Key]] = {parent: [] for parent in parents}
        for key, row in self.server.rows(reference.child).items():
            parent = tuple(row.get(column) for column in reference.columns)
            if parent in found:
                found[parent].append(key)  # type: ignore[index]
        await self.server.reach()
        return found

    async def merged(self) -> list[tuple[str, Key]]:
        """The rows that were merged here since the sites parted."""
        await self.server.reach()
        return list(self.server.merged)

    def _digest(self, table: str, row: Row) -> RowDigest:
        text = repr(sorted(row.items()))
        return RowDigest(hashlib.sha256(text.encode()).hexdigest(), _objects(self.server, table, row))


@dataclass(slots=True)
class MemoryLog:
    """The log of a memory server, read from its slot."""

    server: MemoryServer

    async def read(self) -> AsyncIterator[LogItem]:
        """Transactions from the confirmed position on, and a word when there is nothing more."""
        await self.server.reach()
        at = self._slot()
        while True:
            while at < self.server.disk.synced:
                item = self.server.log[at]
                at += 1
                yield item
            yield Quiet(self.server.position(at))
            await self._news(at)
            await self.server.reach()
            self._slot()

    def _slot(self) -> int:
        if self.server.slot is None:
            raise SiteUnreachable(self.server.site, "its log is not kept for us")
        return self.server.slot

    async def _news(self, at: int) -> None:
        """Wait until the log holds more; nobody tells when a late commit has reached the disk."""
        heard = asyncio.Event()
        self.server.heard[heard.set] = None
        try:
            while self.server.disk.synced <= at and not heard.is_set():
                late = self.server.disk.synced < len(self.server.log)
                with suppress(TimeoutError):
                    async with asyncio.timeout(FLUSH_SECONDS if late else None):
                        await heard.wait()
        finally:
            self.server.heard.pop(heard.set, None)

    async def check_reaches(self, applied: Position) -> None:
        """Whether the log still holds what was applied from it."""
        await self.server.reach()
        if not self.server.end.reaches(applied):
            raise Refused(f"the log of {self.server.site!r} ends at {self.server.end}, before {applied}")
        if not applied.reaches(self.server.position(self._slot())):
            raise Refused(f"the log of {self.server.site!r} is kept from {self._slot()} on, behind {applied}")

    async def confirm(self, position: Position) -> None:
        """Let the server forget its log up to here."""
        if self.server.slot is not None:
            self.server.slot = max(self.server.slot, position.offset)

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class MemoryApplier:
    """The one ordered writer at a memory server."""

    server: MemoryServer

    async def following(self) -> Following | None:
        """What the worker has been told."""
        await self.server.reach()
        return None if self.server.standing else self.server.told

    async def start(self) -> Position | None:
        """How far the peer's log is in."""
        await self.server.reach()
        return self.server.applied

    async def copying(self) -> Sequence[Copying]:
        """How far each table has been copied."""
        await self.server.reach()
        return list(self.server.copying.values())

    async def set_aside(self) -> Sequence[Aside]:
        """Rows that are set aside."""
        await self.server.reach()
        rows = self.server.aside.items()
        return [Aside(table=table, key=key, reason=reason) for (table, key), reason in rows]

    async def apply(
        self,
        batch: Sequence[Transaction],
        *,
        upserting: Collection[str],
        aside: Sequence[Aside],
        guard: Guard,
    ) -> Sequence[Aside]:
        """Apply whole transactions in one commit, together with the position.

        A whole row is written whether it is there or not, in every table.
        """
        await self.server.reach()
        refuse_unless_told(self.server, guard)
        if any(transaction.changes for transaction in batch):
            refuse_if_open(self.server)
        self.server.disk.begin_late()
        reasons = {(row.table, row.key): row.reason for row in aside}
        changes: list[Change] = []
        again: list[Aside] = []
        for transaction in batch:
            for change in transaction.changes:
                self._take(change, reasons, changes, again)
            self._note(transaction)
        self._commit(changes, batch[-1].position)
        await self.server.reach()
        return [row for row in again if (row.table, row.key) in self.server.aside]

    def _take(
        self,
        change: Change,
        reasons: dict[tuple[str, Key], str],
        changes: list[Change],
        again: list[Aside],
    ) -> None:
        if isinstance(change, Truncate):
            changes.append(change)
            return
        place = (change.table, change.key)
        old = change.old_key if isinstance(change, Update) and change.old_key is not None else change.key
        was_aside = self.server.aside.pop((change.table, old), None) is not None
        self.server.aside.pop(place, None)
        if isinstance(change, Insert | Update) and place in reasons:
            self.server.aside[place] = reasons[place]
            return
        if isinstance(change, Delete):
            changes.append(change)
            return
        here = self._row_so_far(change, changes)
        if UNCHANGED in change.row.values() and (here is None or was_aside):
            self.server.aside[place] = READ_AGAIN
            again.append(Aside(table=change.table, key=change.key, reason=READ_AGAIN))
            return
        changes.append(replace(change, row=_merged(here, change.row)))

    def _row_so_far(self, change: Insert | Update, changes: Sequence[Change]) -> Row | None:
        """The row as this commit will find it: its own earlier changes come first."""
        for earlier in reversed(changes):
            if isinstance(earlier, Truncate):
                if change.table in earlier.tables:
                    return None
            elif (earlier.table, earlier.key) == (change.table, change.key):
                return None if isinstance(earlier, Delete) else earlier.row
        old = change.old_key if isinstance(change, Update) and change.old_key is not None else change.key
        return self.server.tables[change.table].get(old)

    def _note(self, transaction: Transaction) -> None:
        if self.server.watching:
            for touched in keys_touched(transaction):
                self.server.touches += 1
                self.server.touched[touched] = self.server.touches

    def _commit(self, changes: Sequence[Change], position: Position) -> None:
        if changes:
            self.server.show(self.server.commit(changes, request=None, foreign=True))
        self.server.applied = position
        self.server.disk.end_late()

    async def place(
        self,
        chunk: Chunk,
        *,
        without: Collection[Key],
        aside: Sequence[Aside],
        mark: Transaction,
        guard: Guard,
    ) -> None:
        """Write a chunk's rows, and how far the table is copied."""
        await self.server.reach()
        refuse_unless_told(self.server, guard)
        rows: list[tuple[Key, Row]] = chunk.payload  # type: ignore[assignment]
        self.server.disk.begin_late()
        kept = {row.key: row.reason for row in aside if row.key not in without}
        for key, reason in kept.items():
            self.server.aside[(chunk.table, key)] = reason
        changes = [
            Insert(chunk.table, key, row) for key, row in rows if key not in without and key not in kept
        ]
        self.server.rows_copied += chunk.rows
        done = chunk.last is None
        self.server.copying[chunk.table] = Copying(table=chunk.table, after=chunk.last, done=done)
        self._commit(changes, mark.position)
        await self.server.reach()

    async def passed(self, position: Position, *, guard: Guard) -> None:
        """Record that the log is quiet up to here."""
        await self.server.reach()
        refuse_unless_told(self.server, guard)
        self.server.disk.begin_late()
        self.server.applied = position
        self.server.disk.end_late()

    async def brake(self, reason: str, *, guard: Guard) -> None:
        """Stop, durably."""
        await self.server.reach()
        told = refuse_unless_told(self.server, guard)
        self.server.told = replace(told, braked=reason)
        self.server.disk.sync(self.server.slot)

    async def durable(self) -> Position | None:
        """How far the peer's log is in, of what a crash would leave here."""
        await self.server.reach()
        found: Position | None = self.server.disk.durable("applied")
        return found

    async def close(self) -> None:
        """Nothing is held."""


def _merged(here: Row | None, new: Row) -> Row:
    if here is None:
        return dict(new)
    return {column: here.get(column) if value is UNCHANGED else value for column, value in new.items()}
