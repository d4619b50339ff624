"""Putting records, fence and publication into a site's database, and taking them out."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from psycopg import AsyncConnection, errors
from psycopg.rows import class_row
from psycopg.sql import SQL, Composed, Identifier, Literal
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_delay, wait_fixed

from cutover.adapters.postgres import names
from cutover.adapters.postgres.fetch import texts
from cutover.adapters.postgres.slots import GUARD, NOT_INSTALLED, end_and_drop, setup_lock
from cutover.adapters.postgres.statements import statement
from cutover.errors import Refused
from cutover.model.action import Guard
from cutover.model.plan import Plan, Table

TRY_SECONDS = 0.3
REST_SECONDS = 0.2
WAIT_SECONDS = 15.0
"""How long one try for a table may queue its writers, how long they go free between two tries,
and after how long the installation gives up on that table (s)."""

SILENT_SECONDS = 2.0
"""Longest that a table stays locked, for its readers too, while nothing is heard of us (s)."""

CHANGING = SQL("set local lock_timeout = {}; set local idle_in_transaction_session_timeout = {}")

FULL, DEFAULT, NOTHING, INDEX = "f", "d", "n", "i"  # pg_class.relreplident


@dataclass(frozen=True, slots=True)
class Before:
    """A table as `table_before.sql` reads it."""

    oid: int
    identity: str
    identity_index: str | None
    columns: list[str]
    fenced: bool
    published: bool
    key_indexes: list[str] | None
    primary_key: str | None

    def wanted_identity(self, table: Table) -> Composed | None:
        """What its replica identity must become; None: the log names rows by the plan's key already."""
        if self.identity == FULL:
            return None
        if table.counters:
            return SQL("full").format()
        named_by = {DEFAULT: self.primary_key, INDEX: self.identity_index}.get(self.identity)
        indexes = self.key_indexes or []
        return None if named_by in indexes else SQL("using index {}").format(Identifier(indexes[0]))


@dataclass(frozen=True, slots=True)
class Planned:
    """A table that was changed by us, as `planned.sql` reads it."""

    table_name: str
    name: str  #: quoted
    identity_before: str
    identity_index: str | None
    identity: str

    def back(self) -> Composed | None:
        """What gives it its replica identity back; None: it has it."""
        if self.identity == self.identity_before and self.identity != INDEX:
            return None
        if self.identity_before == INDEX and self.identity_index is not None:
            return SQL("using index {}").format(Identifier(self.identity_index))
        return {FULL: SQL("full"), NOTHING: SQL("nothing")}.get(self.identity_before, SQL("default")).format()


class Installation:
    """What is ours in one site's database."""

    def __init__(self, site: str, database: str, plan: Plan) -> None:
        self._site = site
        self._database = database
        self._plan = plan

    async def install(self, connection: AsyncConnection, guard: Guard) -> None:
        """Records first, then one table after the other, then the publication."""
        async with setup_lock(connection, self._site):
            async with connection.transaction():
                await connection.execute(self._records())
                await connection.execute(GUARD, [guard.term, guard.entry])
            for table in self._plan.tables:
                await self._fence_planned(connection, table, guard)
            await self._fence_probe(connection)
            await self._publish(connection, guard)

    def _records(self) -> Composed:
        return statement("install").format(
            initial=Literal(1 if self._site == self._plan.source else 0),
            applier=Literal(names.APPLIER),
            applier_role=Identifier(names.APPLIER),
            fence_key=Literal(names.FENCE_KEY),
        )

    async def _fence_planned(self, connection: AsyncConnection, table: Table, guard: Guard) -> None:
        before = await self._before(connection, table)
        identity = before.wanted_identity(table)
        name = Identifier(table.schema, table.name)
        record = [table.qualified, before.oid, before.identity, before.identity_index, before.columns]

        async def change() -> None:
            await connection.execute(GUARD, [guard.term, guard.entry])
            await connection.execute(statement("record_planned"), record)
            if identity is not None:
                await connection.execute(SQL("alter table {} replica identity {}").format(name, identity))
            if not before.fenced:
                await connection.execute(self._trigger(name))

        if identity is not None or not before.fenced:
            await self._change_table(connection, names.quoted(table), change)

    async def _before(self, connection: AsyncConnection, table: Table) -> Before:
        parameters = {
            "table": names.quoted(table),
            "key": list(table.key),
            "trigger": names.TRIGGER,
            "publication": names.PUBLICATION,
        }
        async with connection.cursor(row_factory=class_row(Before)) as cursor:
            before = await (await cursor.execute(statement("table_before"), parameters)).fetchone()
        if before is None:
            raise Refused(f"site {self._site!r} has no table {table.qualified}, which the plan names.")
        if not before.key_indexes:
            raise Refused(
                f"site {self._site!r}: table {table.qualified} has no unique index over exactly "
                f"({', '.join(table.key)}), the plan's key. Make one, not partial and not deferrable."
            )
        return before

    def _trigger(self, name: Identifier) -> Composed:
        return statement("put_fence").format(
            trigger=Identifier(names.TRIGGER), table=name, site=Literal(self._site)
        )

    async def _fence_probe(self, connection: AsyncConnection) -> None:
        name = Identifier("cutover", "probe")
        query = SQL("select from pg_trigger where tgrelid = 'cutover.probe'::regclass and tgname = %s")
        if await (await connection.execute(query, [names.TRIGGER])).fetchone() is None:
            async with connection.transaction():
                await connection.execute(self._trigger(name))

    async def _publish(self, connection: AsyncConnection, guard: Guard) -> None:
        publication = Identifier(names.PUBLICATION)
        async with connection.transaction():
            await connection.execute(GUARD, [guard.term, guard.entry])
            query = SQL("select from pg_publication where pubname = %s")
            if await (await connection.execute(query, [names.PUBLICATION])).fetchone() is None:
                await connection.execute(SQL("create publication {}").format(publication))
        for table in self._plan.tables:
            if not (await self._before(connection, table)).published:
                add = SQL("alter publication {} add table only {}").format(
                    publication, Identifier(table.schema, table.name)
                )
                await self._change_table(connection, names.quoted(table), partial(connection.execute, add))

    async def remove(self, connection: AsyncConnection, guard: Guard | None) -> None:
        """The log first, then one table after the other, then the records; as often as needed.

        The guard is raised before anything goes, and again in each transaction that follows.
        """
        async with setup_lock(connection, self._site):
            raise_guard = await _raised(connection, guard)
            await end_and_drop(connection, self._site, names.slot(self._database))
            async with connection.transaction():
                await raise_guard()
                drop = SQL("drop publication if exists {}").format(Identifier(names.PUBLICATION))
                await connection.execute(drop)
            for planned in await self._planned(connection):
                await self._give_back(connection, planned, raise_guard)

            async def forget() -> None:
                await raise_guard()
                await connection.execute(statement("remove"))

            await self._change_table(connection, "cutover.follow", forget)
            await self._drop_origin(connection)

    async def _planned(self, connection: AsyncConnection) -> list[Planned]:
        try:
            async with connection.cursor(row_factory=class_row(Planned)) as cursor:
                return await (await cursor.execute(statement("planned"))).fetchall()
        except NOT_INSTALLED:
            return []

    async def _give_back(
        self, connection: AsyncConnection, planned: Planned, raise_guard: Callable[[], Awaitable[object]]
    ) -> None:
        name = SQL(planned.name)
        back = planned.back()

        async def change() -> None:
            await raise_guard()
            await connection.execute(
                SQL("drop trigger if exists {} on {}").format(Identifier(names.TRIGGER), name)
            )
            if back is not None:
                await connection.execute(SQL("alter table {} replica identity {}").format(name, back))
            await connection.execute(
                SQL("delete from cutover.planned where table_name = %s"), [planned.table_name]
            )

        await self._change_table(connection, planned.name, change)

    async def _drop_origin(self, connection: AsyncConnection) -> None:
        """A worker that was just told to stop may still be in its last turn: wait for it, not for long."""
        query = SQL("select pg_replication_origin_drop(roname) from pg_replication_origin where roname = %s")
        tries = AsyncRetrying(
            retry=retry_if_exception_type(errors.ObjectInUse),
            stop=stop_after_delay(WAIT_SECONDS),
            wait=wait_fixed(REST_SECONDS),
            sleep=asyncio.sleep,
            reraise=True,
        )
        try:
            await tries(connection.execute, query, [names.origin(self._database)])
        except errors.ObjectInUse as error:
            raise Refused(
                f"site {self._site!r}: a worker still applies changes here ({error.diag.message_primary}). "
                f"Stop it, then run this again."
            ) from None

    async def _change_table(
        self, connection: AsyncConnection, table: str, change: Callable[[], Awaitable[object]]
    ) -> None:
        """One transaction that never keeps the table's writers waiting for long, tried again and again."""

        async def attempt() -> None:
            async with connection.transaction():
                await connection.execute(
                    CHANGING.format(round(TRY_SECONDS * 1000), round(SILENT_SECONDS * 1000))
                )
                await change()

        tries = AsyncRetrying(
            retry=retry_if_exception_type((errors.LockNotAvailable, errors.DeadlockDetected)),
            stop=stop_after_delay(WAIT_SECONDS),
            wait=wait_fixed(REST_SECONDS),
            sleep=asyncio.sleep,
        )
        try:
            await tries(attempt)
        except RetryError:
            holders = await texts(connection, statement("table_holders"), {"table": table})
            raise Refused(
                f"site {self._site!r}: the table {table} could not be changed within {WAIT_SECONDS:g} s, for "
                f"it is in use by {'; '.join(holders) or 'transactions that came and went'}. "
                f"End these or wait for them, then run this again: what was done stays done."
            ) from None


async def _raised(connection: AsyncConnection, guard: Guard | None) -> Callable[[], Awaitable[object]]:
    """Raise a guard; return what raises it again. Where no guard is known any more, none is raised."""

    async def nothing() -> None:
        """Nobody is kept from removing."""

    if guard is None:
        return nothing
    again = partial(connection.execute, GUARD, [guard.term, guard.entry])
    try:
        await again()
    except NOT_INSTALLED:
        return nothing
    return again
