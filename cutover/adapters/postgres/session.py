"""What our sessions have in common: how values are printed, and reading them as they are."""

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, AsyncRawCursor, OperationalError
from psycopg.abc import PQGen
from psycopg.errors import error_from_result
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Wait

PRINTED_ALIKE = {
    "DateStyle": "ISO",
    "TimeZone": "UTC",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "standard_conforming_strings": "on",
    "client_encoding": "UTF8",
    "search_path": "pg_catalog",
}
"""Settings of every session that prints or reads values, the log's included: with them equal
values are equal texts at both sites, and a text goes back in as the value it came from."""

BLOCK_BYTES = 128 * 1024
"""About the size of a block of rows that are passed on unread."""

Texts = tuple[str | None, ...]


async def print_alike(connection: AsyncConnection[Any], *more: str) -> None:
    """Give a new session these settings, and run more statements in the same round trip."""
    settings = [f"set {name} = '{value}'" for name, value in PRINTED_ALIKE.items()]
    await connection.execute("; ".join((*settings, *more)).encode())


async def texts(
    connection: AsyncConnection[Any], query: str, parameters: Sequence[object] = ()
) -> list[Texts]:
    """The rows of a query, each value as the server prints it; parameters are $1, $2, ..."""
    async with AsyncRawCursor(connection) as cursor:
        await cursor.execute(query.encode(), parameters)
        return rows_of(cursor.pgresult)


def rows_of(result: PGresult | None) -> list[Texts]:
    """The values of a result as texts."""
    if result is None:
        return []
    columns, get = range(result.nfields), result.get_value
    return [tuple([_text(get(row, column)) for column in columns]) for row in range(result.ntuples)]


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode()


async def copy_out(connection: AsyncConnection[Any], command: str) -> tuple[list[bytes], int]:
    """The blocks that a COPY TO gives, unread, and the number of rows.

    The driver hands rows over one by one, at ten times the cost.
    """
    async with connection.lock:
        return await connection.wait(_copy_out(connection.pgconn, command.encode()))


def _copy_out(wire: PGconn, command: bytes) -> PQGen[tuple[list[bytes], int]]:
    wire.send_query(command)
    while wire.flush():
        yield Wait.RW
        wire.consume_input()
    yield from _wait(wire)
    _must_be(wire.get_result(), ExecStatus.COPY_OUT)
    blocks = yield from _blocks(wire)
    yield from _wait(wire)
    ended = _must_be(wire.get_result(), ExecStatus.COMMAND_OK)
    wire.get_result()
    return blocks, ended.command_tuples or 0


def _blocks(wire: PGconn) -> PQGen[list[bytes]]:
    blocks: list[bytes] = []
    rows: list[memoryview] = []
    held = 0
    while True:
        size, data = wire.get_copy_data(1)
        if size > 0:
            rows.append(data)
            held += size
        if size < 0 or held >= BLOCK_BYTES:
            blocks.append(b"".join(rows))
            rows, held = [], 0
        if size < 0:
            return blocks
        if size == 0:
            yield from _read(wire)


def _wait(wire: PGconn) -> PQGen[None]:
    while wire.is_busy():
        yield from _read(wire)


def _read(wire: PGconn) -> PQGen[None]:
    while not (yield Wait.R):
        continue
    wire.consume_input()


def _must_be(result: PGresult | None, status: ExecStatus) -> PGresult:
    if result is None:
        raise OperationalError("the connection ended in the middle of a COPY")
    if result.status != status:
        raise error_from_result(result)
    return result
