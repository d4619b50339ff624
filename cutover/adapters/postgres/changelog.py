"""The peer's log, read through its slot by PostgreSQL's streaming replication protocol.

The driver has no cursor for that protocol, so this file speaks it over the
driver's connection: no thread, and the server hears of no position but those
that were confirmed. (psycopg2's replication cursor tells it more: after the
last message was confirmed it goes on to confirm the server's own positions.)
"""

import asyncio
import struct
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

import psycopg
from psycopg import AsyncConnection
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult

from cutover.adapters.postgres import names
from cutover.adapters.postgres.catalog import literal, quoted
from cutover.adapters.postgres.connect import CONNECT_SECONDS, PostgresAddress, answer_within, errors, meaning
from cutover.adapters.postgres.pgoutput import Decoder
from cutover.adapters.postgres.session import PRINTED_ALIKE
from cutover.errors import Refused, SiteUnreachable
from cutover.model.change import LogItem, Quiet, Transaction
from cutover.model.plan import Plan
from cutover.model.position import Position

PING_SECONDS = 1.0
"""How long the server may be silent before we ask it for a sign of life (s): also how old a
position is at most that a quiet log was known to be read to."""

PINGS_MAX = 5
"""Unanswered pings after which the site counts as unreachable: a relay between us keeps the
connection itself alive when the server behind it is gone."""

QUIET_SECONDS = 0.2
"""Shortest time between two `Quiet` (s): each costs the follower a commit."""

HELD_BYTES_MAX = 16 * 1024 * 1024
"""Bytes of the log that wait for the caller before we stop reading; one transaction may be larger."""

TURN_BYTES = 512 * 1024
"""Bytes that are decoded before other coroutines have their turn: about 5 ms."""

CLOSE_SECONDS = 1.0
"""Longest wait for the server to say that the slot is free."""

_DATA = struct.Struct(">xQQq")  # place, end of the log, server's time
_ALIVE = struct.Struct(">xQqB")  # end of the log, server's time, answer wanted
_STATUS = struct.Struct(">cQQQqB")  # received, durable, applied, our time, answer wanted

_IN_USE, _NO_SLOT, _SLOT_LOST = "55006", "42704", "55000"


class Limits(NamedTuple):
    """How long a stream bears silence, and how far it reads ahead."""

    ping_seconds: float
    held_bytes: int


class PostgresLog:
    """The log of one site, read from the slot that is kept there for the peer."""

    def __init__(
        self,
        connection: PostgresAddress,
        *,
        site: str,
        plan: Plan,
        ping_seconds: float = PING_SECONDS,
        held_bytes: int = HELD_BYTES_MAX,
    ) -> None:
        self._address, self._site, self._plan = connection, site, plan
        self._limits = Limits(ping_seconds, held_bytes)
        self._stream: _Stream | None = None
        self._confirmed: Position | None = None
        self._applied: Position | None = None

    async def check_reaches(self, applied: Position) -> None:
        """Raise Refused when this log does not go on from `applied`: one of the two has forgotten (S11).

        A stream that is opened later is held to it too: the server may be
        another one by then.
        """
        self._applied = applied
        connection = await _connect(self._address, self._site)
        try:
            await _begin(connection, self._site, names.slot(self._address.database), applied)
        finally:
            await connection.close()

    def read(self) -> "PostgresLog":
        """Whole transactions in commit order, from the slot's confirmed position on."""
        return self

    def __aiter__(self) -> "PostgresLog":
        return self

    async def __anext__(self) -> LogItem:
        """The next item; a cancelled wait loses nothing."""
        if self._stream is None:
            self._stream = await self._open()
            if self._confirmed is not None:
                self._stream.confirm(self._confirmed)
        return await self._stream.next()

    async def _open(self) -> "_Stream":
        slot = names.slot(self._address.database)
        connection = await _connect(self._address, self._site)
        try:
            begin = await _begin(connection, self._site, slot, self._applied)
            origin = names.origin(self._address.database)
            decoder = Decoder(self._plan, begin.system, begin.timeline, origin=origin)
            stream = _Stream(connection, self._site, decoder, begin, self._limits)
            await stream.start(slot)
        except BaseException:
            await connection.close()
            raise
        return stream

    async def confirm(self, position: Position) -> None:
        """Let the peer forget its log up to here: only positions durable at this site."""
        self._confirmed = position
        if self._stream is not None:
            self._stream.confirm(position)

    async def close(self) -> None:
        """Stop reading and free the slot for another reader."""
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()


async def _begin(connection: AsyncConnection, site: str, slot: str, applied: Position | None) -> Position:
    """Where the slot begins, in a log that holds `applied`."""
    with errors(site, effect=False), answer_within(connection, CONNECT_SECONDS):
        end = await _end(connection)
        confirmed = await (await connection.execute(_CONFIRMED.format(literal(slot)))).fetchone()
    if applied is not None:
        _must_reach(end, applied, site)
    if confirmed is None:
        raise Refused(f"site {site!r} keeps no log for its peer: slot {slot!r} does not exist")
    begin = replace(end, offset=int(confirmed[0]))
    if applied is not None and not applied.reaches(begin):
        raise Refused(
            f"the log of site {site!r} is kept from {begin} on, and its peer says that it has applied it "
            f"up to {applied} only: the peer has forgotten what it once confirmed (its database was "
            f"restored, or its disk lost it). It does not follow on behind the gap. Roll back and begin "
            f"anew, or complete."
        )
    return begin


async def _end(connection: AsyncConnection) -> Position:
    """How far the log is on the server's disk: nobody is ever sent more."""
    found = await (await connection.execute("IDENTIFY_SYSTEM")).fetchone()
    if found is None:
        raise psycopg.DataError("the server does not say who it is")
    system, timeline, place = str(found[0]), int(found[1]), str(found[2])
    high, low = place.split("/")
    return Position(system, timeline, (int(high, 16) << 32) + int(low, 16))


def _must_reach(end: Position, applied: Position, site: str) -> None:
    if end.reaches(applied):
        return
    raise Refused(
        f"site {site!r} has forgotten a part of its log: it ends at {end}, and its peer holds what came up "
        f"to {applied} (system/timeline/offset). Its database was restored or promoted, or its disk lost "
        f"what it had confirmed, so nobody knows in what the sites differ: compare them in full, both ways, "
        f"before either follows the other again."
    )


_CONFIRMED = (
    "select coalesce(confirmed_flush_lsn, '0/0') - '0/0'::pg_lsn"
    " from pg_catalog.pg_replication_slots where slot_name = {}"
)


async def _connect(address: PostgresAddress, site: str) -> AsyncConnection:
    opened = AsyncConnection.connect(
        host=address.host,
        port=address.port,
        dbname=address.database,
        user=address.user,
        password=address.password.reveal(),
        connect_timeout=round(CONNECT_SECONDS),
        application_name="cutover log",
        replication="database",
        autocommit=True,
        keepalives_idle=2,
        keepalives_interval=1,
        keepalives_count=3,
        tcp_user_timeout=round(CONNECT_SECONDS * 1000),
        options=" ".join(f"-c {name}={value}" for name, value in PRINTED_ALIKE.items()),
    )
    with errors(site, effect=False):
        return await opened


class _Stream:
    """One connection that streams, and what it has read ahead of the caller."""

    def __init__(
        self, connection: AsyncConnection, site: str, decoder: Decoder, begin: Position, limits: Limits
    ) -> None:
        self._connection, self._site, self._decoder = connection, site, decoder
        self._begin, self._limits = begin, limits
        self._confirmed = self._received = begin.offset
        self._items: deque[tuple[LogItem, int]] = deque()
        self._held = 0  # bytes of `_items`
        self._open_bytes = 0  # of the transaction that is being read
        self._changed = asyncio.Event()  # something for the caller, or room for the reader
        self._pings = 0  # unanswered
        self._quiet_at = 0.0  # when the last Quiet was handed over
        self._quiet = begin.offset
        self._reader: asyncio.Task[None] | None = None

    @property
    def _wire(self) -> PGconn:
        return self._connection.pgconn

    async def start(self, slot: str) -> None:
        """Begin to stream from the slot's confirmed position."""
        command = (
            f"START_REPLICATION SLOT {quoted(slot)} LOGICAL 0/0"
            f" (proto_version '1', publication_names '{quoted(names.PUBLICATION)}', messages 'true')"
        )
        with errors(self._site, effect=False):
            self._wire.send_query(command.encode())
            result = await self._result()
        if result is None or result.status != ExecStatus.COPY_BOTH:
            raise _refusal(result, self._site, slot)
        self._reader = asyncio.create_task(self._read_on(), name=f"log of {self._site}")

    async def next(self) -> LogItem:
        """The next item; what the reader failed of comes after the last one."""
        while not self._items:
            if self._reader is None:
                raise StopAsyncIteration
            if self._reader.done():
                self._reader.result()
                raise StopAsyncIteration
            await self._change()
        item, size = self._items.popleft()
        self._held -= size
        if self._held < self._limits.held_bytes <= self._held + size:
            self._changed.set()
        return item

    def confirm(self, position: Position) -> None:
        """Tell the server; it is told again with each sign of life."""
        if (position.system, position.timeline) != (self._begin.system, self._begin.timeline):
            raise Refused(
                f"position {position} is not of the log of site {self._site!r}, which is "
                f"{self._begin.system}/{self._begin.timeline}: it was restored or promoted since"
            )
        if position.offset > self._confirmed:
            self._confirmed = position.offset
            with errors(self._site, effect=False):
                self._report(answer=False)

    async def close(self) -> None:
        """End the stream; the server frees the slot before it answers."""
        reader, self._reader = self._reader, None
        self._items.clear()
        if reader is not None:
            reader.cancel()
            await asyncio.wait([reader])
            if not reader.cancelled():
                reader.exception()
        self._changed.set()
        with suppress(psycopg.Error, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._say_goodbye()
        await self._connection.close()

    async def _say_goodbye(self) -> None:
        self._wire.put_copy_end()
        self._wire.flush()
        while True:
            size, _ = self._wire.get_copy_data(1)
            if size < 0:
                break
            if size == 0:
                await self._readable(CLOSE_SECONDS)
                self._wire.consume_input()
        while (await self._result()) is not None:
            pass

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    async def _read_on(self) -> None:
        try:
            with errors(self._site, effect=False):
                while True:
                    await self._turn()
        finally:
            self._changed.set()

    async def _turn(self) -> None:
        """Wait until there is something to read, and read some of it."""
        if self._held >= self._limits.held_bytes:
            await self._wait_for_room()
        if self._take(TURN_BYTES):
            await asyncio.sleep(0)
        elif await self._readable(self._limits.ping_seconds):
            self._pings = 0
            self._wire.consume_input()
        else:
            self._ping()

    async def _wait_for_room(self) -> None:
        """The server ends a connection that says nothing, so we go on speaking."""
        while self._held >= self._limits.held_bytes:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._limits.ping_seconds):
                    await self._change()
            self._report(answer=False)

    def _ping(self) -> None:
        if self._pings == PINGS_MAX:
            raise SiteUnreachable(
                self._site, f"its log was silent for {self._limits.ping_seconds * PINGS_MAX:g} s"
            )
        self._pings += 1
        self._report(answer=True)

    def _take(self, bytes_max: int) -> bool:
        """Decode what has come, up to about so many bytes; False when nothing whole is there."""
        get, taken = self._wire.get_copy_data, 0
        while taken < bytes_max:
            size, data = get(1)
            if size == 0:
                break
            if size < 0:
                raise self._ended()
            taken += size
            self._message(data, size)
        return taken > 0

    def _message(self, data: memoryview, size: int) -> None:
        if data[0] == _LOG_DATA:
            place, _end, _ = _DATA.unpack_from(data)
            self._open_bytes += size
            transaction = self._decoder.feed(place, bytes(data[_DATA.size :]))
            if transaction is not None:
                self._received = max(self._received, transaction.position.offset)
                self._hand_over(transaction)
        else:
            end, _, wanted = _ALIVE.unpack_from(data)
            self._received = max(self._received, end)
            self._nothing_before(end, now=bool(wanted))
            if wanted:
                self._report(answer=False)

    def _hand_over(self, transaction: Transaction) -> None:
        size, self._open_bytes = self._open_bytes, 0
        if transaction.changes or transaction.foreign or transaction.mark is not None:
            self._put(transaction, size)
        else:
            self._nothing_before(transaction.position.offset, now=False)

    def _nothing_before(self, offset: int, *, now: bool) -> None:
        """Hand over a Quiet, unless one went just before: another will come."""
        moment = asyncio.get_running_loop().time()
        if offset > self._quiet and (now or moment - self._quiet_at >= QUIET_SECONDS):
            self._quiet_at = moment
            self._put(Quiet(Position(self._begin.system, self._begin.timeline, offset)), 0)

    def _put(self, item: LogItem, size: int) -> None:
        self._quiet = max(self._quiet, item.position.offset)
        if isinstance(item, Quiet) and self._items and isinstance(self._items[-1][0], Quiet):
            self._items.pop()
        self._items.append((item, size))
        self._held += size
        self._changed.set()

    def _report(self, *, answer: bool) -> None:
        """Say what was received and what was confirmed: never more."""
        self._wire.put_copy_data(
            _STATUS.pack(b"r", self._received, self._confirmed, self._confirmed, _now(), answer)
        )
        self._wire.flush()

    def _ended(self) -> Exception:
        result = self._wire.get_result()
        if result is None or result.status == ExecStatus.COMMAND_OK:
            return SiteUnreachable(self._site, "its server ended the stream of its log")
        return _refusal(result, self._site, "")

    async def _readable(self, seconds: float) -> bool:
        """Wait for bytes from the server; False when none came."""
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = loop.create_future()
        socket = self._wire.socket
        loop.add_reader(socket, _settle, ready)
        try:
            done, _ = await asyncio.wait([ready], timeout=seconds)
        finally:
            loop.remove_reader(socket)
        return bool(done)

    async def _result(self) -> PGresult | None:
        while self._wire.flush() or self._wire.is_busy():
            if not await self._readable(CONNECT_SECONDS):
                raise SiteUnreachable(self._site, f"its log did not start within {CONNECT_SECONDS:g} s")
            self._wire.consume_input()
        return self._wire.get_result()


_LOG_DATA = ord("w")

_EPOCH = 946_684_800  # 2000-01-01, from which PostgreSQL counts, in seconds since 1970


def _now() -> int:
    """This machine's clock (microseconds since 2000), for the server's statistics only."""
    return round((time.time() - _EPOCH) * 1_000_000)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _refusal(result: PGresult | None, site: str, slot: str) -> Exception:
    """What the server's refusal to stream means."""
    text = "" if result is None else result.get_error_message()
    state = b"" if result is None else result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b""
    code, why = state.decode(), " ".join(text.split())
    if code == _IN_USE:
        return SiteUnreachable(site, f"another worker still reads its log ({why})")
    if code in (_NO_SLOT, _SLOT_LOST):
        return Refused(f"site {site!r} no longer keeps its log for us ({why}). Backfill again.")
    if result is None:
        return SiteUnreachable(site, "its server ended the connection")
    return meaning(psycopg.errors.error_from_result(result), site, effect=False)
