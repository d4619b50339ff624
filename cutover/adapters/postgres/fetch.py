"""Rows of known queries, as the types that they are."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import class_row
from psycopg.sql import SQL, Composed

from cutover.adapters.postgres.facts import EndRow
from cutover.adapters.postgres.statements import end_of_log

Parameters = Mapping[str, object] | Sequence[object]

_Row = TypeVar("_Row")


async def one(
    connection: AsyncConnection, kind: type[_Row], query: SQL | Composed, parameters: Parameters | None = None
) -> _Row:
    """The one row of a query that always has one."""
    async with connection.cursor(row_factory=class_row(kind)) as cursor:
        row = await (await cursor.execute(query, parameters)).fetchone()
    if row is None:
        raise psycopg.DataError(f"no row of {kind.__name__}")
    return row


async def texts(connection: AsyncConnection, query: SQL | Composed, parameters: Parameters) -> list[str]:
    """The first column of every row, as text."""
    return [str(row[0]) for row in await (await connection.execute(query, parameters)).fetchall()]


async def number(connection: AsyncConnection, query: SQL | Composed, parameters: Parameters) -> int:
    """The one whole number that a query always gives."""
    row = await (await connection.execute(query, parameters)).fetchone()
    if row is None:
        raise psycopg.DataError("no number")
    return int(row[0])


async def end(connection: AsyncConnection) -> EndRow:
    """The end of the log now."""
    return await one(connection, EndRow, end_of_log())
