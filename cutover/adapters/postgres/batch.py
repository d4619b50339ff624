"""One transaction of the applier: it checks that this site still follows, and commits a position."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor

from cutover.adapters.postgres.catalog import Described, describe
from cutover.adapters.postgres.records import Command, Place, Records
from cutover.adapters.postgres.runs import Kind, Run, Runs, statement
from cutover.adapters.postgres.session import rows_of, texts
from cutover.errors import Refused, StaleTerm
from cutover.model.action import Guard
from cutover.model.change import Change, Delete, Key, Transaction, Truncate, Update
from cutover.model.plan import Plan
from cutover.model.position import Position
from cutover.ports.database import Aside

_FOLLOW = """
select term, entry, watching, brake, (select last_value from cutover.fence_state)
from cutover.follow where not standing for share
"""
_SEEN = "select term, entry from cutover.guard"

_ROW_ERRORS = ("22", "23", "44", "54", "P0")
"""SQLSTATE classes that speak of one row: bad value, constraint, view check, limit, a user's trigger."""

_COMMIT: Command = ("commit", [])

_IDENTITY_ERROR = "428C9"  # an identity that is always generated was to be changed


def is_of_row(error: psycopg.Error) -> bool:
    """Whether a row was refused, rather than the whole batch."""
    state = error.sqlstate or ""
    return state.startswith(_ROW_ERRORS) or state == _IDENTITY_ERROR


def why_refused(error: psycopg.Error) -> str:
    """Why a row was refused: without the values, which belong to users."""
    named = f", constraint {error.diag.constraint_name}" if error.diag.constraint_name else ""
    return f"{error.diag.message_primary or type(error).__name__} (SQLSTATE {error.sqlstate}{named})"


@dataclass(slots=True)
class Writer:
    """The applier's connection, and what it knows of the tables and of rows that are set aside."""

    connection: AsyncConnection[Any]
    site: str
    plan: Plan
    known: frozenset[Place] = frozenset()
    tables: dict[str, Described] = field(default_factory=dict)
    watching: bool = False
    fence: int = 0  #: as of the transaction's begin

    async def begin(self, guard: Guard) -> None:
        """Begin a transaction that nobody can tell to stop before its end.

        StaleTerm when this site no longer follows under this guard.
        """
        await self.connection.execute("begin")
        found = await texts(self.connection, _FOLLOW)
        carried = (guard.term, guard.entry)
        told = [(int(row[0] or 0), int(row[1] or 0)) for row in found]
        if told != [carried]:
            seen = told or [(int(a or 0), int(b or 0)) for a, b in await texts(self.connection, _SEEN)]
            raise StaleTerm(site=self.site, carried=carried, seen=(seen or [(0, 0)])[0])
        if found[0][3] is not None:
            raise Refused(
                f"the applier of site {self.site!r} stands still: {found[0][3]}. "
                f"`cutover release-brake` lets it go on."
            )
        self.watching, self.fence = found[0][2] == "t", int(found[0][4] or 0)

    def refuse_if_open(self) -> None:
        """Whoever serves has drained its peer, or was parted from it: then its writes are merged."""
        epoch, is_open = divmod(self.fence, 2)
        if is_open and epoch > 0:
            raise Refused(
                f"site {self.site!r} is open for writes under epoch {epoch}, so what its peer wrote is not "
                f"applied: one of two writers would be lost. `cutover status` shows who serves."
            )

    async def know(self, transactions: Sequence[Transaction]) -> None:
        """Read the catalog for tables that were not met before."""
        for transaction in transactions:
            for change in transaction.changes:
                for table in change.tables if isinstance(change, Truncate) else (change.table,):
                    if table not in self.tables:
                        await self.describe(table)

    async def describe(self, table: str) -> Described:
        """A table as the catalog has it now."""
        self.tables[table] = await describe(self.connection, self.site, self.plan.table(table))
        return self.tables[table]

    def sorted(self, transactions: Sequence[Transaction], records: Records) -> Runs:
        """What `apply` sends: made before its transaction begins, for that must not stand silent."""
        runs = Runs()
        for transaction in transactions:
            for change in transaction.changes:
                records.sort(change, runs, self.tables.__getitem__)
        return runs

    async def apply(self, runs: Runs, records: Records, position: Position) -> None:
        """Apply all in few statements and commit; psycopg.Error when any row is refused."""
        await self._send(runs, records, commit=position)

    async def apply_singly(self, transactions: Sequence[Transaction], records: Records) -> list[Aside]:
        """Apply each transaction by itself, and where a row is refused each change; then commit.

        Returns what was set aside.
        """
        refused: list[Aside] = []
        for transaction in transactions:
            before = records.copy()
            if await self._tried(transaction.changes, records) is None:
                continue
            records.restore(before)
            for change in transaction.changes:
                refused += await self._one(change, records)
        await self._send(Runs(), records, commit=transactions[-1].position)
        return refused

    async def _one(self, change: Change, records: Records) -> list[Aside]:
        before = records.copy()
        error = await self._tried([change], records)
        if error is None:
            return []
        records.restore(before)
        if isinstance(change, Truncate):
            raise error
        reason = why_refused(error)
        records.touch(change)
        records.refuse(change, reason)
        refused = [Aside(table=change.table, key=change.key, reason=reason)]
        if isinstance(change, Update) and change.old_key is not None:
            refused += await self._leave_key(change.table, change.old_key, change.key, records)
        return refused

    async def _leave_key(self, table: str, old: Key, new: Key, records: Records) -> list[Aside]:
        """What is visible of a refused row must not stay under the key that it lost."""
        records.written((table, old))
        runs = Runs()
        runs.rename(table, self.tables[table], old, new)
        if await self._tried_runs(runs, records) is None:
            return []
        return await self._one(Delete(table, old), records)

    async def _tried(self, changes: Sequence[Change], records: Records) -> psycopg.Error | None:
        """Apply changes under a savepoint; what refused a row, if one was."""
        runs = Runs()
        for change in changes:
            records.sort(change, runs, self.tables.__getitem__)
        return await self._tried_runs(runs, records)

    async def _tried_runs(self, runs: Runs, records: Records) -> psycopg.Error | None:
        await self.connection.execute("savepoint tried")
        try:
            await self._send(runs, records, commit=None)
        except psycopg.Error as error:
            if not is_of_row(error):
                raise
            await self.connection.execute("rollback to savepoint tried; release savepoint tried")
            return error
        await self.connection.execute("release savepoint tried")
        return None

    async def _send(self, runs: Runs, records: Records, *, commit: Position | None) -> None:
        """Send all statements before reading any answer; the last may be the commit.

        A row of which the log left out values, and that is not here, must be read again: that
        is known before the commit and a part of it, or a crash right after would forget it.
        """
        sent = list(runs)
        if commit is None or any(run.may_miss for run in sent):
            done = await self._answered([statement(run, self.tables[run.table]) for run in sent])
            for place in _missing(sent, done, self.tables):
                records.read_again(place)
            sent = []
        if commit is not None:
            written = records.commands(commit, watching=self.watching)
            await self._answered(
                [*(statement(run, self.tables[run.table]) for run in sent), *written, _COMMIT]
            )

    async def _answered(self, commands: Sequence[Command]) -> list[AsyncRawCursor[Any]]:
        async with self.connection.pipeline():
            return [await self._execute(command) for command in commands]

    async def _execute(self, command: Command) -> AsyncRawCursor[Any]:
        cursor = AsyncRawCursor(self.connection)
        await cursor.execute(command[0].encode(), command[1], prepare=True)
        return cursor

    async def finish(self, records: Records, position: Position) -> None:
        """Write the records and commit."""
        await self._send(Runs(), records, commit=position)


def _missing(
    runs: Sequence[Run], cursors: Sequence[AsyncRawCursor[Any]], tables: Mapping[str, Described]
) -> dict[Place, None]:
    """The rows that a PATCH did not find, and that nothing later has written, moved or removed."""
    missing: dict[Place, None] = {}
    for run, cursor in zip(runs, cursors, strict=True):
        for place in [*missing]:
            if place[0] == run.table and (run.kind is Kind.EMPTY or place[1] in run.rows):
                missing.pop(place)
        if run.may_miss:
            found = {int(row[0] or 0) for row in rows_of(cursor.pgresult)}
            missing |= {(run.table, key): None for key in run.missing(tables[run.table], found)}
    return missing
