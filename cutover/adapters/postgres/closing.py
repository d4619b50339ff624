"""Closing a site: take the fence's lock from every writer, then say where the log ends."""

import asyncio

from psycopg import AsyncConnection, DataError
from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL, Composed
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_delay, wait_fixed

from cutover.adapters.postgres import fetch, names
from cutover.adapters.postgres.statements import statement
from cutover.errors import Refused
from cutover.model.action import Guard

TRY_SECONDS = 0.1
REST_SECONDS = 0.05
WAIT_SECONDS = 5.0
"""How long one try may wait for a lock, with writers queued behind it, how long they go free between
two tries, and after how long a close gives up (s): a drain has 20 s for several of them."""

CLOSE = SQL(
    "begin; set local lock_timeout = {wait}; select pg_advisory_xact_lock({fence_key});"
    " select (cutover.close_fence({term}, {entry}) - '0/0')::bigint; commit;"
    " select pg_logical_emit_message(true, 'cutover.mark', 'closed')"
)
BEFORE_THE_END = 3
"""How many of its answers come before the one that says where the log ends."""


async def close_fence(connection: AsyncConnection, site: str, guard: Guard) -> int:
    """Close the fence; return the end of the log (bytes) when no writer was left.

    The server has all of a try before it takes the lock, and lets go of it by
    itself: writers would wait for as long as we are suspended or cut off.
    """
    close = CLOSE.format(
        wait=round(TRY_SECONDS * 1000), fence_key=names.FENCE_KEY, term=guard.term, entry=guard.entry
    )
    tries = AsyncRetrying(
        retry=retry_if_exception_type(LockNotAvailable),
        stop=stop_after_delay(WAIT_SECONDS),
        wait=wait_fixed(REST_SECONDS),
        sleep=asyncio.sleep,
    )
    try:
        return await tries(_try, connection, close)
    except RetryError:
        raise Refused(await _held(connection, site)) from None


async def _try(connection: AsyncConnection, close: Composed) -> int:
    try:
        cursor = await connection.execute(close)
    except LockNotAvailable:
        await connection.rollback()
        raise
    for _ in range(BEFORE_THE_END):
        cursor.nextset()
    row = await cursor.fetchone()
    if row is None:
        raise DataError("no end of the log")
    return int(row[0])


async def _held(connection: AsyncConnection, site: str) -> str:
    holders = await fetch.texts(connection, statement("close_holders"), {"key": names.FENCE_KEY})
    named = "; ".join(holders) or "writers that came and went, or our records of it by a worker's batch"
    return (
        f"site {site!r} could not be closed within {WAIT_SECONDS:g} s: its fence is held by {named}. "
        f"End or wait for these transactions, then run this again; the site goes on taking writes."
    )
