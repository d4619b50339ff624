"""One transaction of a serving site that takes in what its peer wrote apart.

It holds the fence as every writer does, and it is this site's own: it carries
no replication origin, so the peer reads it from the log like a user's write.
The session is a replica's, so that no trigger and no cascade of the user's
fires; the fence fires always.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import AsyncConnection, AsyncRawCursor

from cutover.adapters.postgres.batch import is_of_row, why_refused
from cutover.adapters.postgres.catalog import Described, describe
from cutover.adapters.postgres.connect import PostgresAddress, answer_within, connect, errors
from cutover.adapters.postgres.records import TAKE_OUT, key_json, note_position, row_json
from cutover.adapters.postgres.references import foreign_keys, still_referred_to, without_parent
from cutover.adapters.postgres.runs import Kind, Run, array, by_key, statement
from cutover.adapters.postgres.session import print_alike, texts
from cutover.model.action import Guard
from cutover.model.change import UNCHANGED, Key, Row
from cutover.model.merge import Kept, Settled
from cutover.model.plan import Plan
from cutover.model.position import Position
from cutover.ports.database import READ_AGAIN, Aside, Place

MERGE_SECONDS = 60.0
LOCK_SECONDS = 4.0
"""Bounds (s) of a whole merge, and of its wait for a row that a user's transaction holds."""

SILENT_SECONDS = 10.0
"""Longest that rows stay locked while nothing is heard of who merges: users wait for them."""

PAGE = 1_000
"""Rows that are locked, and compared, by one statement."""

CHANGED_MEANWHILE = "it was changed meanwhile"

_SESSION = (
    f"set statement_timeout = {round(MERGE_SECONDS * 1000)}",
    f"set lock_timeout = {round(LOCK_SECONDS * 1000)}",
    "set enable_seqscan = off",  # every statement goes by key, and statistics may be missing
    "set jit = off",
    f"set idle_in_transaction_session_timeout = {round(SILENT_SECONDS * 1000)}",
)
_HOLD = "select cutover.hold_fence($1)"
_GUARD = "select cutover.raise_guard($1, $2)"
_MERGED = """
insert into cutover.merged (table_name, key) select * from unnest($1::text[], $2::jsonb[])
on conflict do nothing
"""
_KEPT = """
insert into cutover.quarantine (table_name, key, row, site, reason, request)
select * from unnest($1::text[], $2::jsonb[], $3::jsonb[], $4::text[], $5::text[], $6::text[])
"""


@asynccontextmanager
async def merging(address: PostgresAddress, site: str, plan: Plan) -> AsyncIterator["Merging"]:
    """A connection of its own, in a transaction that holds the fence; only `commit` keeps what was done.

    Refused when the fence is closed or its lease is over. SiteUnreachable when
    a user's transaction holds a row for too long.
    """
    connection = await connect(address, site=site)
    try:
        with errors(site, effect=True), answer_within(connection, MERGE_SECONDS):
            await print_alike(connection, *_SESSION)
            await connection.execute("begin")
            await texts(connection, _HOLD, [site])
            await connection.execute("set local session_replication_role = replica")
            yield Merging(connection, site, plan)
    finally:
        await connection.close()


@dataclass(slots=True)
class Merging:
    """The transaction, and the tables that it has met."""

    connection: AsyncConnection
    site: str
    plan: Plan
    tables: dict[str, Described] = field(default_factory=dict)

    async def pass_guard(self, guard: Guard) -> None:
        """StaleTerm when this site has seen a newer one. The fence is held before, as a closer holds it."""
        await texts(self.connection, _GUARD, [guard.term, guard.entry])

    async def lock(self, places: Sequence[Place]) -> dict[Place, Row]:
        """Those of these rows that are there, locked until the end, in one order for whoever locks them."""
        await self.meet(table for table, _ in places)
        found: dict[Place, Row] = {}
        for name in self.tables:
            keys = sorted(key for table, key in places if table == name)
            for start in range(0, len(keys), PAGE):
                rows = await self.rows_there(name, keys[start : start + PAGE])
                found |= {(name, key): row for key, row in rows.items()}
        return found

    async def write(self, settled: Sequence[Settled]) -> list[Aside]:
        """Lock and compare each row, write it, look what dangles; returns what stands in the way."""
        await self.meet([one.table for one in settled])
        refused = await self._differing(settled)
        if not refused:
            changing = [one for one in settled if one.changes]
            refused = await self._written(changing) or await self._dangling(changing)
        return refused

    async def meet(self, tables: Iterable[str]) -> None:
        """Read the catalog for tables that were not met before."""
        for name in dict.fromkeys(tables):
            if name not in self.tables:
                self.tables[name] = await describe(self.connection, self.site, self.plan.table(name))

    async def record(self, settled: Sequence[Settled], upto: Position) -> None:
        """Note what was merged and what was kept, and how far the peer's log counts as applied.

        A row that was set aside is not any more: it is settled, too.
        """
        await self._keep([kept for one in settled for kept in one.kept])
        await texts(self.connection, _MERGED, _places(settled))
        await texts(self.connection, TAKE_OUT, _places(settled))
        command, parameters = note_position(upto)
        await texts(self.connection, command, parameters)

    async def commit(self) -> None:
        """Once this returned, all of it is on disk."""
        await self.connection.execute("commit")

    async def rows_there(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        """These rows, locked until the end; what users hold is waited for."""
        described = self.tables[table]
        names = [column.name for column in described.columns]
        matching, arrays = by_key(described, keys)
        found = await texts(
            self.connection,
            f"select {', '.join(described.columns_of('t'))} from {described.sql} as t, {matching}"
            f" for update of t",
            arrays,
        )
        rows: list[Row] = [dict(zip(names, values, strict=True)) for values in found]
        return {tuple(str(row[name]) for name in described.table.key): row for row in rows}

    async def _differing(self, settled: Sequence[Settled]) -> list[Aside]:
        refused: list[Aside] = []
        for table in self.tables:
            ours = [one for one in settled if one.table == table]
            for start in range(0, len(ours), PAGE):
                page = ours[start : start + PAGE]
                there = await self.rows_there(table, [one.key for one in page])
                refused += [
                    Aside(table=table, key=one.key, reason=CHANGED_MEANWHILE)
                    for one in page
                    if there.get(one.key) != one.expected
                ]
        return refused

    async def _written(self, changing: Sequence[Settled]) -> list[Aside]:
        """All at once; where the database refuses a row, one by one to find each that it refuses."""
        torn = [one for one in changing if _is_torn(one)]
        if torn:
            return [Aside(table=one.table, key=one.key, reason=READ_AGAIN) for one in torn]
        if await self._tried(_runs(changing)) is None:
            return []
        refused = []
        for one in sorted(changing, key=_order):
            error = await self._tried(_runs([one]))
            if error is not None:
                refused.append(Aside(table=one.table, key=one.key, reason=why_refused(error)))
        return refused

    async def _tried(self, runs: Iterable[Run]) -> psycopg.Error | None:
        await self.connection.execute("savepoint tried")
        try:
            async with self.connection.pipeline():
                for run in runs:
                    command, parameters = statement(run, self.tables[run.table])
                    cursor = AsyncRawCursor(self.connection)
                    await cursor.execute(command.encode(), parameters, prepare=True)
        except psycopg.Error as error:
            if not is_of_row(error):
                raise
            await self.connection.execute("rollback to savepoint tried; release savepoint tried")
            return error
        await self.connection.execute("release savepoint tried")
        return None

    async def _dangling(self, changing: Sequence[Settled]) -> list[Aside]:
        """Asked when all is written: a parent may have come with its child, or gone with it."""
        by_table: dict[str, list[Settled]] = {}
        for one in changing:
            by_table.setdefault(one.table, []).append(one)
        refused: list[Aside] = []
        for key in await foreign_keys(self.connection, self.plan):
            written = [one.key for one in by_table.get(key.child, ()) if one.row is not None]
            if written:
                refused += await without_parent(self.connection, key, self.tables[key.child], written)
            parents = by_table.get(key.parent)
            if parents:
                refused += await still_referred_to(self.connection, key, self.tables[key.parent], parents)
        return refused

    async def _keep(self, versions: Sequence[Kept]) -> None:
        columns = (
            array(kept.table for kept in versions),
            array(key_json(kept.key) for kept in versions),
            array(None if kept.row is None else row_json(kept.row) for kept in versions),
            array(kept.site for kept in versions),
            array(kept.reason for kept in versions),
            array(kept.request for kept in versions),
        )
        await texts(self.connection, _KEPT, columns)


def _places(settled: Sequence[Settled]) -> tuple[str, str]:
    return array(one.table for one in settled), array(key_json(one.key) for one in settled)


def _is_torn(one: Settled) -> bool:
    """Whether a value of a new row was left out."""
    return one.expected is None and one.row is not None and UNCHANGED in one.row.values()


def _order(one: Settled) -> int:
    """Rows that go, rows that change, rows that come: so that what is freed can be taken."""
    return 0 if one.row is None else 1 if one.expected is not None else 2


def _runs(changing: Sequence[Settled]) -> Iterator[Run]:
    """Rows of one table and shape together."""
    runs: dict[tuple[int, str, tuple[str, ...]], Run] = {}
    kinds = (Kind.REMOVE, Kind.PATCH, Kind.MAKE)
    for one in sorted(changing, key=_order):
        values = _new_values(one)
        shape, order = tuple(values), _order(one)
        run = runs.setdefault((order, one.table, shape), Run(one.table, kinds[order], shape))
        run.rows[one.key] = tuple(values.values())
    yield from runs.values()


def _new_values(one: Settled) -> dict[str, str | None]:
    """The columns that are written: all of a new row, those that differ of another."""
    if one.row is None:
        return {}
    before = one.expected or {}
    return {
        column: value
        for column, value in one.row.items()
        if value is not UNCHANGED and (one.expected is None or before.get(column) != value)
    }
