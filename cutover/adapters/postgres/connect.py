"""Where a site's PostgreSQL is, how a connection to it is opened, and what its errors mean."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

import psycopg
from psycopg import AsyncConnection

from cutover.errors import BadInput, Inconclusive, Refused, SiteUnreachable, StaleTerm
from cutover.model.secret import Secret

CONNECT_SECONDS = 5.0
"""Longest wait for a connection (s): a site that needs longer counts as unreachable."""

SILENT_SECONDS = 10.0
"""Longest that a transaction of ours stays open while nothing is heard of us (s). Users, and other sessions
of ours, wait for what it holds, and a process that is suspended cannot let go of it. None waits for
anything else between two statements."""

DEAD_SECONDS = 20.0
"""After how long the server ends a session whose link is cut without a word (s)."""


@dataclass(frozen=True)
class PostgresAddress:
    """One database, and the role that we use there."""

    host: str
    port: int
    database: str
    user: str
    password: Secret

    def __str__(self) -> str:
        return f"{self.host}:{self.port}/{self.database}"


AS_SERVED = (
    "-c default_transaction_isolation=read\\ committed -c default_transaction_read_only=off"
    " -c search_path=pg_catalog,pg_temp"
)
"""What our statements rest on, whatever a database or a role has as its default."""

DURABLE = f"{AS_SERVED} -c synchronous_commit=on"
"""The same, with commits that are on disk when they are acknowledged."""


async def connect(
    address: PostgresAddress, *, site: str, timeout: float = CONNECT_SECONDS, settings: str = DURABLE
) -> AsyncConnection:
    """Open an autocommit connection whose statements end after `timeout` seconds at the server.

    The server ends it, too, when a transaction stands silent or the link is dead.
    SiteUnreachable when it does not answer, BadInput when it does not know us.
    """
    opened = AsyncConnection.connect(
        host=address.host,
        port=address.port,
        dbname=address.database,
        user=address.user,
        password=address.password.reveal(),
        connect_timeout=max(2, round(timeout)),
        application_name="cutover",
        autocommit=True,
        options=f"{settings} {_bounds(timeout)}",
    )
    try:
        async with asyncio.timeout(timeout):
            return await opened
    except TimeoutError:
        raise SiteUnreachable(site, f"PostgreSQL at {address} did not answer in {timeout:g} s") from None
    except psycopg.OperationalError as error:
        raise _not_let_in(address, site, str(error)) from None


def _bounds(timeout: float) -> str:
    """What the server keeps to without us."""
    settings = {
        "statement_timeout": round(timeout * 1000),
        "idle_in_transaction_session_timeout": round(SILENT_SECONDS * 1000),
        "tcp_keepalives_idle": round(DEAD_SECONDS / 2),
        "tcp_keepalives_interval": round(DEAD_SECONDS / 4),
        "tcp_keepalives_count": 2,
        "tcp_user_timeout": round(DEAD_SECONDS * 1000),
    }
    return " ".join(f"-c {name}={value}" for name, value in settings.items())


def _not_let_in(address: PostgresAddress, site: str, text: str) -> Exception:
    """A driver's text for a refused connection holds no secret, but several lines."""
    why = " ".join(text.split())
    if any(sign in why for sign in _NOT_KNOWN):
        return BadInput(
            f"site {site!r}: PostgreSQL at {address} does not let the role {address.user!r} in ({why}). "
            f"Check the credentials file and the server's pg_hba.conf."
        )
    return SiteUnreachable(site, f"PostgreSQL at {address}: {why}")


_NOT_KNOWN = ("authentication failed", "does not exist", "no pg_hba.conf entry", "not permitted to log in")


@contextmanager
def errors(site: str, *, effect: bool) -> Iterator[None]:
    """Say what a driver's error means: for an `effect` a lost answer may hide that it happened."""
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate is None and not isinstance(error, psycopg.OperationalError):
            raise  # the server never saw it: a mistake of ours
        raise meaning(error, site, effect=effect) from error


def meaning(error: psycopg.Error, site: str, *, effect: bool) -> Exception:
    """The error of ours that tells the caller what is safe to do after this one."""
    why = " ".join(str(error).split()) or type(error).__name__
    if error.sqlstate == "CT001":
        numbers = [int(number) for number in (error.diag.message_detail or "").split()]
        return StaleTerm(site=site, carried=(numbers[0], numbers[1]), seen=(numbers[2], numbers[3]))
    if error.sqlstate == "CT003":
        return SiteUnreachable(site, error.diag.message_primary or why)
    if error.sqlstate is None or error.sqlstate in _CUT_SHORT:
        if effect:
            return Inconclusive(f"site {site!r}: no answer to an action, which may have happened: {why}")
        return SiteUnreachable(site, why)
    if error.sqlstate[:2] in _MAY_PASS or error.sqlstate in (_LOCKED, _SILENT):
        return SiteUnreachable(site, why)
    return Refused(f"site {site!r} refused: {why} (SQLSTATE {error.sqlstate})")


_CUT_SHORT = frozenset({"57014", "57P01", "57P02", "57P05", "08000", "08003", "08006", "XX000"})
"""Ended from outside in the middle: a cancelled commit may still be in."""

_MAY_PASS = frozenset({"53", "57", "40"})
_LOCKED, _SILENT = "55P03", "25P03"
"""Out of room, starting up, a deadlock, a lock that others hold, a transaction that was silent for too
long: nothing happened, and it may work next time."""


@contextmanager
def answer_within(connection: AsyncConnection, seconds: float) -> Iterator[None]:
    """Cut the connection when the body takes longer, so that its wait ends with a driver error.

    A cancelled wait would first ask the server to cancel, over a link that may be dead.
    """
    timer = asyncio.get_running_loop().call_later(seconds, cut, connection)
    try:
        yield
    finally:
        timer.cancel()


def cut(connection: AsyncConnection) -> None:
    """Shut the connection's socket down; whoever waits on it gets an error."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as own:
        own.shutdown(socket.SHUT_RDWR)


class Connections:
    """Connections to one database, kept open between uses and made again when they failed."""

    def __init__(self, address: PostgresAddress, *, site: str, timeout: float = CONNECT_SECONDS) -> None:
        self._address = address
        self._site = site
        self._timeout = timeout
        self._idle: list[AsyncConnection] = []

    @asynccontextmanager
    async def use(self, *, effect: bool, seconds: float | None = None) -> AsyncIterator[AsyncConnection]:
        """A connection of the caller's own; after any error it is not used again.

        The whole use must end within `seconds` (default: the time-out of this object).
        """
        connection = await self._take()
        try:
            with errors(self._site, effect=effect), answer_within(connection, seconds or self._timeout):
                yield connection
        except BaseException:
            await connection.close()
            raise
        self._idle.append(connection)

    async def _take(self) -> AsyncConnection:
        while self._idle:
            connection = self._idle.pop()
            if _alive(connection):
                return connection
            await connection.close()
        return await connect(self._address, site=self._site, timeout=self._timeout)

    async def close(self) -> None:
        """Close what is idle."""
        while self._idle:
            await self._idle.pop().close()


def _alive(connection: AsyncConnection) -> bool:
    """Whether nothing has come on an idle connection: what comes is the news of its end."""
    if connection.closed:
        return False
    with socket.socket(fileno=os.dup(connection.fileno())) as own:
        try:
            own.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False
