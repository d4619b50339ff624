"""The one ordered writer of the peer's changes in a PostgreSQL database."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress

import psycopg
from psycopg import AsyncConnection

from cutover.adapters.postgres import names
from cutover.adapters.postgres.applied import applied_position, durable_position
from cutover.adapters.postgres.batch import Writer, is_of_row
from cutover.adapters.postgres.connect import (
    CONNECT_SECONDS,
    Connections,
    PostgresAddress,
    answer_within,
    connect,
    errors,
)
from cutover.adapters.postgres.placing import Placing
from cutover.adapters.postgres.records import Place, Records, key_from_json
from cutover.adapters.postgres.session import print_alike, texts
from cutover.errors import Refused
from cutover.model.action import Guard
from cutover.model.change import Chunk, Key, Transaction
from cutover.model.observation import Copying, Following
from cutover.model.plan import Plan
from cutover.model.position import Position
from cutover.ports.database import Aside

APPLY_SECONDS = 60.0
"""Longest time for one batch or chunk (s)."""

_SESSION = (
    "set session_replication_role = replica",
    "set synchronous_commit = off",  # the slot is told of durable positions only
    "set enable_seqscan = off",  # every statement goes by key, and statistics may be missing
    "set enable_hashjoin = off",
    "set enable_mergejoin = off",
    "set jit = off",
    f"set statement_timeout = {round(APPLY_SECONDS * 1000)}",
    # Servers from 17 on bound a batch also while a worker is suspended between the commands of a pipeline.
    f"select set_config(name, '{round(APPLY_SECONDS * 1000)}', false) from pg_settings"
    " where name = 'transaction_timeout'",
)
_SINGLY = f"set local idle_in_transaction_session_timeout = {round(APPLY_SECONDS * 1000)}"
"""Change by change, a large batch keeps us busy between its statements."""

_MAKE_ORIGIN = """
select pg_replication_origin_create($1)
where not exists (select from pg_replication_origin where roname = $1)
"""
_TAKE_ORIGIN = "select pg_replication_origin_session_setup($1)"
_LEAVE_ORIGIN = "select pg_replication_origin_session_reset()"
_ASIDE = "select table_name, key from cutover.set_aside"
_FOLLOWING = """
select backfill, term, entry, rejoin, pace, brake, released from cutover.follow where not standing
"""
_ASIDE_WHY = "select table_name, key, reason from cutover.set_aside order by at limit 300"
_INSTALLED = "select to_regclass('cutover.follow')::text"
_COPYING = "select table_name, after, done from cutover.copying order by table_name"
_BRAKE = "update cutover.follow set brake = $1"

_NOT_INSTALLED = (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName)


class PostgresApplier:
    """Fulfils `cutover.ports.database.Applier`; connects as a role that the fence lets pass.

    A batch that fails in any way ends the connection: then `start` again.
    """

    def __init__(self, connection: PostgresAddress, *, site: str, plan: Plan) -> None:
        self._address, self._site, self._plan = connection, site, plan
        self._beside = Connections(connection, site=site)
        self._writer: Writer | None = None
        self._applied: Position | None = None
        self._durable: Position | None = None

    async def following(self) -> Following | None:
        """What the worker has been told; None: to stand still."""
        async with self._beside.use(effect=False) as connection:
            if (await texts(connection, _INSTALLED))[0][0] is None:
                return None  # asked first, so that the server's log is not filled with our errors
            try:
                rows = await texts(connection, _FOLLOWING)
            except _NOT_INSTALLED:
                return None
        if not rows:
            return None
        backfill, term, entry, rejoin, pace, brake, released = rows[0]
        return Following(
            backfill=backfill == "t",
            guard=Guard(int(term or 0), int(entry or 0)),
            rejoin=rejoin == "t",
            pace=None if pace is None else int(pace),
            braked=brake,
            released=released,
        )

    async def start(self) -> Position | None:
        """Become the only applier; return how far the peer's log is in (None: nothing yet)."""
        await self.close()
        connection = await connect(self._address, site=self._site, timeout=CONNECT_SECONDS)
        try:
            with errors(self._site, effect=False), answer_within(connection, CONNECT_SECONDS):
                self._writer = await self._become(connection)
                self._applied = await applied_position(connection)
        except BaseException:
            await connection.close()
            raise
        return self._applied

    async def _become(self, connection: AsyncConnection) -> Writer:
        origin = names.origin(self._address.database)
        await print_alike(connection, *_SESSION)
        await texts(connection, _MAKE_ORIGIN, [origin])
        try:
            await texts(connection, _TAKE_ORIGIN, [origin])
        except psycopg.errors.ObjectInUse as error:
            raise Refused(
                f"another worker applies changes at site {self._site!r} "
                f"({error.diag.message_primary}). Try again."
            ) from None
        aside = await texts(connection, _ASIDE)
        known: frozenset[Place] = frozenset((table or "", key_from_json(key or "")) for table, key in aside)
        return Writer(connection, self._site, self._plan, known)

    async def copying(self) -> Sequence[Copying]:
        """How far each planned table has been copied."""
        async with self._beside.use(effect=False) as connection:
            rows = await texts(connection, _COPYING)
        return [
            Copying(
                table=table or "", after=None if after is None else key_from_json(after), done=done == "t"
            )
            for table, after, done in rows
        ]

    async def set_aside(self) -> Sequence[Aside]:
        """Rows that are set aside, some hundreds at most."""
        async with self._beside.use(effect=False) as connection:
            rows = await texts(connection, _ASIDE_WHY)
        return [
            Aside(table=table or "", key=key_from_json(key or ""), reason=why or "")
            for table, key, why in rows
        ]

    async def apply(
        self,
        batch: Sequence[Transaction],
        *,
        upserting: Collection[str],
        aside: Sequence[Aside],
        guard: Guard,
    ) -> Sequence[Aside]:
        """Apply whole transactions, in order, in one commit together with the last one's position.

        A whole row is written whether it is there or not, in every table and
        not only those of `upserting`: so a row that was set aside comes back.
        Refused when this site is open for writes and the batch holds changes.
        """
        if not batch:
            return ()
        reasons = {(row.table, row.key): row.reason for row in aside}
        async with self._writing() as writer:
            await writer.know(batch)
            records = Records(writer.known, reasons)
            runs = writer.sorted(batch, records)
            await writer.begin(guard)
            if any(transaction.changes for transaction in batch):
                writer.refuse_if_open()
            refused: list[Aside] = []
            try:
                await writer.apply(runs, records, batch[-1].position)
            except psycopg.Error as error:
                if not is_of_row(error):
                    raise
                await writer.connection.execute("rollback")
                await writer.begin(guard)
                await texts(writer.connection, _SINGLY)
                records = Records(writer.known, reasons)
                refused = await writer.apply_singly(batch, records)
            writer.known = records.now_aside()
        self._applied = batch[-1].position
        return [*refused, *records.again]

    async def place(
        self,
        chunk: Chunk,
        *,
        without: Collection[Key],
        aside: Sequence[Aside],
        mark: Transaction,
        guard: Guard,
    ) -> None:
        """Write a chunk's rows, except keys of `without`, and how far the table is now copied."""
        async with self._writing() as writer:
            table = await writer.describe(chunk.table)
            await writer.begin(guard)
            records = Records(writer.known)
            kept = {row.key: row.reason for row in aside if row.key not in without}
            await Placing(writer, table, chunk, records, without, kept).place()
            await writer.finish(records, mark.position)
            writer.known = records.now_aside()
        self._applied = mark.position

    async def passed(self, position: Position, *, guard: Guard) -> None:
        """Record that the log holds nothing for us up to `position`."""
        async with self._writing() as writer:
            await writer.begin(guard)
            await writer.finish(Records(writer.known), position)
        self._applied = position

    async def brake(self, reason: str, *, guard: Guard) -> None:
        """Stop, durably, before a batch that must not be applied unseen."""
        async with self._writing() as writer:
            await writer.begin(guard)
            await texts(writer.connection, _BRAKE, [reason])
            await writer.connection.execute("set local synchronous_commit = on; commit")

    async def durable(self) -> Position | None:
        """How far the peer's log is in and on this site's disk."""
        if self._durable is None or self._durable != self._applied:
            async with self._beside.use(effect=False) as connection:
                self._durable = await durable_position(connection)
        return self._durable

    async def close(self) -> None:
        """Let another applier take over."""
        writer, self._writer = self._writer, None
        self._durable = None
        if writer is not None:
            await _leave(writer.connection)
        await self._beside.close()

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[Writer]:
        """The writer; after any failure its connection is not used again."""
        writer, self._writer = self._writer, None
        if writer is None:
            raise Refused(f"the applier of site {self._site!r} is not started, or failed: start it again")
        try:
            with errors(self._site, effect=True), answer_within(writer.connection, APPLY_SECONDS):
                yield writer
        except BaseException:
            await writer.connection.close()
            raise
        self._writer = writer


async def _leave(connection: AsyncConnection) -> None:
    """Free the origin before the server notices the end of the connection, for the next applier."""
    with suppress(psycopg.Error), answer_within(connection, CONNECT_SECONDS):
        await connection.execute(_LEAVE_ORIGIN)
    await connection.close()
