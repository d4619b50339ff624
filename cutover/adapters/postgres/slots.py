"""The slot from which the peer reads a site's log."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from psycopg import AsyncConnection, errors
from psycopg.sql import SQL
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_attempt, wait_fixed

from cutover.adapters.postgres import names
from cutover.adapters.postgres.connect import SILENT_SECONDS
from cutover.adapters.postgres.fetch import texts
from cutover.adapters.postgres.statements import statement
from cutover.errors import Refused
from cutover.model.action import Guard

START_SECONDS = 10.0
"""How long a new slot may wait for the transactions that run when it is made (s)."""

LOCK_SECONDS = 4.0
"""How long to wait for another session of ours that makes or drops the slot (s)."""

NOT_INSTALLED = (errors.UndefinedTable, errors.InvalidSchemaName, errors.UndefinedFunction)
"""What the server says where nothing of ours is."""

GUARD = SQL("select cutover.raise_guard(%s, %s)")


async def make_slot(connection: AsyncConnection, site: str, slot: str, guard: Guard) -> int:
    """Make the slot unless it is there; return a place (bytes) that it holds.

    A slot cannot be made in a transaction that wrote, so the guard is raised
    in one of its own, and the setup lock keeps any other maker or dropper away
    until the slot is there.
    """
    async with setup_lock(connection, site):
        await connection.execute(GUARD, [guard.term, guard.entry])
        held = await _held_place(connection, site, slot)
        if held is None:
            await _create(connection, site, slot)
            held = await _held_place(connection, site, slot)
    if held is None:
        raise Refused(f"site {site!r}: the slot {slot!r} was dropped by somebody else; run this again.")
    return held


async def drop_slot(connection: AsyncConnection, site: str, slot: str, guard: Guard) -> None:
    """Drop the slot if it is there, ending its reader first; without records there is no guard to pass."""
    async with setup_lock(connection, site):
        with suppress(*NOT_INSTALLED):
            await connection.execute(GUARD, [guard.term, guard.entry])
        await end_and_drop(connection, site, slot)


@asynccontextmanager
async def setup_lock(connection: AsyncConnection, site: str) -> AsyncIterator[None]:
    """Let nobody else of ours set this site up meanwhile.

    The lock belongs to the session: whoever uses this ends the connection on any error,
    and the server ends it when it stands silent.
    """
    silent = SQL("set idle_session_timeout = {}").format(round(SILENT_SECONDS * 1000))
    await connection.execute(silent)
    await connection.execute(SQL("set lock_timeout = {}").format(round(LOCK_SECONDS * 1000)))
    try:
        await connection.execute(SQL("select pg_advisory_lock(%s)"), [names.SETUP_KEY])
    except errors.LockNotAvailable:
        raise Refused(
            f"site {site!r} is being set up by another session of ours for more than {LOCK_SECONDS:g} s. "
            f"Wait for it or end it, then run this again."
        ) from None
    await connection.execute("reset lock_timeout")
    yield
    await connection.execute(SQL("select pg_advisory_unlock(%s)"), [names.SETUP_KEY])
    await connection.execute("reset idle_session_timeout")


async def end_and_drop(connection: AsyncConnection, site: str, slot: str) -> None:
    """End the slot's reader and drop it; a reader that comes back at once is ended again."""
    tries = AsyncRetrying(
        retry=retry_if_exception_type(errors.ObjectInUse),
        stop=stop_after_attempt(10),
        wait=wait_fixed(0.05),
        sleep=asyncio.sleep,
    )
    try:
        await tries(connection.execute, statement("drop_slot"), [slot])
    except RetryError:
        raise Refused(
            f"site {site!r}: the slot {slot!r} is read again as soon as its reader is ended. "
            f"Stop the peer's worker, then run this again."
        ) from None


async def _create(connection: AsyncConnection, site: str, slot: str) -> None:
    await connection.execute(SQL("set statement_timeout = {}").format(round(START_SECONDS * 1000)))
    try:
        await connection.execute(SQL("select pg_create_logical_replication_slot(%s, 'pgoutput')"), [slot])
    except errors.QueryCanceled:
        running = await texts(connection, statement("oldest_transaction"), {})
        raise Refused(
            f"site {site!r}: the slot {slot!r} could not start within {START_SECONDS:g} s, for it waits for "
            f"every transaction of the server that runs; the oldest is {'; '.join(running) or 'over now'}. "
            f"End it or wait for it, then run this again."
        ) from None
    await connection.execute("reset statement_timeout")


async def _held_place(connection: AsyncConnection, site: str, slot: str) -> int | None:
    row = await (await connection.execute(statement("slot"), [slot])).fetchone()
    if row is None:
        return None
    ours, lost, place = row
    if not ours:
        raise Refused(
            f"site {site!r}: a slot {slot!r} of another database or plugin is in the way; drop or rename it."
        )
    if lost:
        raise Refused(
            f"site {site!r}: the slot {slot!r} has lost its log (max_slot_wal_keep_size), so the peer cannot "
            f"go on from it. Give the slot up and backfill again."
        )
    return int(place)
