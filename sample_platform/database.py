"""PostgreSQL connections: few, bounded, with a limit on every wait.

A statement that gets no answer is ended by cutting its socket, because asking a frozen
server to cancel would wait for that same server. What that means for the caller depends
on one thing only: whether COMMIT had been sent.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg
from psycopg import AsyncConnection, errors
from psycopg.pq import TransactionStatus

from sample_platform.errors import BadInput, NotServing, Refused, Unavailable, Unknown
from sample_platform.model import Standing, Written

T = TypeVar("T")
Row = tuple[Any, ...]
Connection = AsyncConnection[Row]

CONNECTIONS_MAX = 8
"""Connections at once; more would only queue inside a small server."""

CHECKOUT_S = 2.0
"""Longest wait for a free connection (seconds)."""

CONNECT_S = 2
"""Longest connection attempt (seconds); libpq's own least value is 2."""

STATEMENT_MS = 3_000
"""Longest statement, as the server counts it (milliseconds)."""

LOCK_MS = 2_000
"""Longest wait for a lock, the engine's fence included (milliseconds)."""

SEVER_S = 5.0
"""When a connection is cut that has been out this long (seconds): past both server limits."""

BREAKER_S = 0.25
"""How long after a failed connection attempt no other is made (seconds)."""

_OPTIONS = (
    f"-c statement_timeout={STATEMENT_MS} -c lock_timeout={LOCK_MS}"
    " -c idle_in_transaction_session_timeout=10000 -c timezone=UTC"
)

_ENGINE_GONE = (errors.UndefinedFunction, errors.InvalidSchemaName, errors.UndefinedTable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a database is, and how to log in."""

    host: str
    port: int
    database: str
    user: str
    password: str


class Query:
    """A statement that also asks for the site's standing, with and without an engine.

    `{standing}` stands for two columns: whether the engine's functions exist, and the
    epoch. A function that does not exist cannot be named even in a branch not taken, so
    there are two spellings.
    """

    PLAIN = "to_regprocedure('cutover.serving_epoch()') is not null, null::bigint"
    INSTALLED = "true, cutover.serving_epoch()"

    def __init__(self, text: str) -> None:
        self.spellings = {
            False: text.replace("{standing}", self.PLAIN).encode(),
            True: text.replace("{standing}", self.INSTALLED).encode(),
        }


_STANDING = Query("select {standing}")


class Database:
    """A bounded set of connections to one database, made when needed."""

    def __init__(self, address: Address, *, connections: int = CONNECTIONS_MAX) -> None:
        self._address = address
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[Connection] = []
        self._engine = False  # whether cutover.serving_epoch() existed when last asked
        self._closed_until = 0.0

    async def close(self) -> None:
        """Close the idle connections; those in use close when they come back."""
        await self._drop_idle()

    async def write(
        self, request: str, work: Callable[[Connection], Awaitable[tuple[T, bool]]]
    ) -> Written[T]:
        """Run one transaction; `work` returns the item and whether it is new.

        Raises NotServing, BadInput, Unavailable (not committed), Unknown (COMMIT was sent
        and not answered), and what `work` raises.
        """
        async with self._lent() as connection:
            epoch: int | None = None
            try:
                standing = await self._begin(connection, request)
                epoch = standing.epoch
                _check_serves(standing)
                item, fresh = await work(connection)
            except psycopg.Error as error:
                await _roll_back(connection)
                raise refusal(error, epoch) from error
            except Refused as error:
                await _roll_back(connection)
                error.epoch = epoch
                raise
            await _commit(connection, epoch)
            return Written(item=item, fresh=fresh, epoch=epoch)

    async def read(self, query: Query, params: Sequence[object] = ()) -> tuple[list[Row], Standing]:
        """Run one reading statement; its first two columns are the standing.

        The statement must always give at least one row. Raises Unavailable.
        """
        async with self._lent() as connection:
            try:
                return await self._ask(connection, query, params)
            except psycopg.Error as error:
                raise Unavailable(f"the database did not answer: {_said(error)}") from error

    async def standing(self) -> Standing:
        """Who serves, as a statement that begins now sees it. Raises Unavailable."""
        return (await self.read(_STANDING))[1]

    async def still_serving(self, epoch: int | None) -> bool:
        """As ServingCheck.still_serving."""
        if epoch is None:
            return (await self.standing()).serves
        async with self._lent() as connection:
            try:
                cursor = await connection.execute(b"select cutover.still_serving(%s)", (epoch,))
                row = await cursor.fetchone()
            except psycopg.Error as error:
                raise Unavailable(f"the serving check was not answered: {_said(error)}") from error
        return row is not None and row[0] is True

    async def _begin(self, connection: Connection, request: str) -> Standing:
        """Open a transaction, name its request and read the standing, in one round trip.

        The request id is spelled into the text, which the caller has checked: only a
        statement without parameters may be several.
        """
        for _ in range(3):
            engine = self._engine  # another request may learn meanwhile that it is there
            try:
                standing = Query.INSTALLED if engine else Query.PLAIN
                text = f"begin; select set_config('cutover.request_id', '{request}', true), {standing}"
                cursor = await connection.execute(text.encode(), prepare=False)
            except _ENGINE_GONE:
                await _roll_back(connection)
                self._engine = False
                continue
            cursor.nextset()
            row = await cursor.fetchone()
            assert row is not None
            if row[1] == engine:
                return _standing(row[1:])
            await _roll_back(connection)
            self._engine = True
        raise Unavailable("the engine's functions come and go")

    async def _ask(
        self, connection: Connection, query: Query, params: Sequence[object]
    ) -> tuple[list[Row], Standing]:
        for _ in range(3):
            engine = self._engine
            try:
                cursor = await connection.execute(query.spellings[engine], params)
            except _ENGINE_GONE:
                if not engine:
                    raise
                self._engine = False
                continue
            rows = await cursor.fetchall()
            if rows[0][0] == engine:
                return rows, _standing(rows[0])
            self._engine = True
        raise Unavailable("the engine's functions come and go")

    @asynccontextmanager
    async def _lent(self) -> AsyncIterator[Connection]:
        await self._wait_for_slot()
        try:
            connection = self._idle.pop() if self._idle else await self._connect()
            severing = asyncio.get_running_loop().call_later(SEVER_S, _sever, connection)
            try:
                yield connection
            finally:
                severing.cancel()
                await self._give_back(connection)
        finally:
            self._slots.release()

    async def _wait_for_slot(self) -> None:
        try:
            async with asyncio.timeout(CHECKOUT_S):
                await self._slots.acquire()
        except TimeoutError:
            raise Unavailable(f"no database connection came free within {CHECKOUT_S} s") from None

    async def _connect(self) -> Connection:
        clock = asyncio.get_running_loop().time
        if clock() < self._closed_until:
            raise Unavailable("the database refused a connection a moment ago")
        at = self._address
        try:
            return await AsyncConnection.connect(
                host=at.host,
                port=at.port,
                dbname=at.database,
                user=at.user,
                password=at.password,
                connect_timeout=CONNECT_S,
                options=_OPTIONS,
                application_name="sample-platform",
                autocommit=True,
                prepare_threshold=0,
            )
        except psycopg.Error as error:
            self._closed_until = clock() + BREAKER_S
            raise Unavailable(f"the database cannot be reached: {_said(error)}") from error

    async def _give_back(self, connection: Connection) -> None:
        if connection.info.transaction_status == TransactionStatus.IDLE:
            self._idle.append(connection)
            return
        if connection.broken:
            await self._drop_idle()
        await connection.close()

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._idle.pop().close()


def _check_serves(standing: Standing) -> None:
    """A repeated request may find its item and write nothing, so that no fence is ever asked."""
    if not standing.serves:
        raise NotServing("this site does not serve now")


async def _commit(connection: Connection, epoch: int | None) -> None:
    try:
        cursor = await connection.execute(b"commit", prepare=False)
    except psycopg.Error as error:
        if error.sqlstate is None or connection.broken:
            raise Unknown(f"the connection was lost at commit: {_said(error)}", epoch=epoch) from error
        raise refusal(error, epoch) from error
    if cursor.statusmessage != "COMMIT":
        raise Unavailable(f"the database answered {cursor.statusmessage} to COMMIT", epoch=epoch)


async def _roll_back(connection: Connection) -> None:
    """End a transaction that was not committed; a lost connection has ended it already."""
    with suppress(psycopg.Error):
        await connection.execute(b"rollback", prepare=False)


def refusal(error: psycopg.Error, epoch: int | None) -> Refused:
    """What an error before COMMIT means: in every case, nothing was done."""
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return NotServing(f"the database does not accept writes: {_said(error)}", epoch=epoch)
    if isinstance(error, errors.ForeignKeyViolation):
        return BadInput(f"it names what is not there: {_said(error)}", epoch=epoch)
    if isinstance(error, psycopg.DataError):
        return BadInput(f"the database cannot hold it: {_said(error)}", epoch=epoch)
    return Unavailable(f"not committed: {_said(error)}", epoch=epoch)


def _standing(row: Row) -> Standing:
    installed, epoch = row[0], row[1]
    return Standing(epoch=epoch, serves=not installed or epoch is not None)


def _said(error: psycopg.Error) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _sever(connection: Connection) -> None:
    """Cut the socket, so that whoever waits on it gets an error at once."""
    with suppress(OSError, psycopg.Error):
        double = socket.socket(fileno=os.dup(connection.fileno()))
        with double:
            double.shutdown(socket.SHUT_RDWR)
