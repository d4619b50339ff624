"""Closing a site: take the fence's lock from every writer, then say where the log ends."""

import asyncio

from psycopg import AsyncConnection
from psycopg.errors import LockNotAvailable
from psycopg.sql import SQL
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_delay, wait_fixed

from cutover.adapters.postgres import fetch, names
from cutover.adapters.postgres.statements import statement
from cutover.errors import Refused
from cutover.model.action import Guard

TRY_SECONDS = 0.1
REST_SECONDS = 0.05
WAIT_SECONDS = 5.0
"""How long one try for the lock may queue writers behind it, how long they go free between
two tries, and after how long a close gives up (s): a drain has 20 s for several of them."""

LOCK = SQL("select pg_advisory_lock(%s)")
CLOSE = SQL("select (cutover.close_fence(%s, %s) - '0/0')::bigint")
UNLOCK_AND_MARK = SQL(
    "select pg_advisory_unlock(%s), pg_logical_emit_message(true, 'cutover.mark', 'closed')"
)


async def close_fence(connection: AsyncConnection, site: str, guard: Guard) -> int:
    """Close the fence; return the end of the log (bytes) when no writer was left.

    The lock belongs to the session: whoever calls this ends the connection on
    any error, so that it is never held longer than a close takes.
    """
    await _lock(connection, site)
    end = await fetch.number(connection, CLOSE, [guard.term, guard.entry])
    await connection.execute(UNLOCK_AND_MARK, [names.FENCE_KEY])
    return end


async def _lock(connection: AsyncConnection, site: str) -> None:
    await connection.execute(SQL("set lock_timeout = {}").format(round(TRY_SECONDS * 1000)))
    tries = AsyncRetrying(
        retry=retry_if_exception_type(LockNotAvailable),
        stop=stop_after_delay(WAIT_SECONDS),
        wait=wait_fixed(REST_SECONDS),
        sleep=asyncio.sleep,
    )
    try:
        await tries(connection.execute, LOCK, [names.FENCE_KEY])
    except RetryError:
        raise Refused(await _held(connection, site)) from None
    await connection.execute("reset lock_timeout")


async def _held(connection: AsyncConnection, site: str) -> str:
    holders = await fetch.texts(connection, statement("close_holders"), {"key": names.FENCE_KEY})
    named = "; ".join(holders) or "writers that came and went"
    return (
        f"site {site!r} could not be closed within {WAIT_SECONDS:g} s: its fence is held by {named}. "
        f"End or wait for these transactions, then run this again; the site goes on taking writes."
    )
