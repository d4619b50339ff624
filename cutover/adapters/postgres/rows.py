"""What is read from a site's tables: chunks to copy, rows to read again, digests to compare."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from cutover.adapters.postgres.catalog import Described, describe, literal, quoted
from cutover.adapters.postgres.connect import Connections, PostgresAddress
from cutover.adapters.postgres.pgoutput import MARK
from cutover.adapters.postgres.records import key_from_json
from cutover.adapters.postgres.runs import by_key, given, same
from cutover.adapters.postgres.session import Texts, copy_out, print_alike, texts
from cutover.adapters.postgres.slots import NOT_INSTALLED
from cutover.model.change import Chunk, Insert, Key, ObjectName, Owner, Row, Transaction
from cutover.model.merge import Reference
from cutover.model.observation import RowDigest
from cutover.model.plan import ObjectOf, Plan
from cutover.model.position import XID_SPAN, Position, Snapshot
from cutover.ports.database import DigestPage

READ_SECONDS = 60.0
"""Longest time for one chunk or page (s)."""

_BEGIN = (
    "begin isolation level repeatable read read only",
    "set local enable_seqscan = off",  # statistics are missing right after a load, and a
    "set local enable_bitmapscan = off",  # chunk that sorts its table makes the copy quadratic
    "set local max_parallel_workers_per_gather = 0",
    "set local jit = off",
)

_MERGED = "select table_name, key from cutover.merged order by number"


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocks:
    """The rows of a chunk as COPY gave them, unread."""

    columns: tuple[str, ...]
    binary: bool
    blocks: list[bytes]


class PostgresRows:
    """Fulfils `cutover.ports.database.Rows` for one PostgreSQL database."""

    def __init__(self, connection: PostgresAddress, *, site: str, plan: Plan) -> None:
        self._site, self._plan = site, plan
        self._connections = Connections(connection, site=site, timeout=READ_SECONDS)

    async def read_chunk(self, table: str, after: Key | None, limit: int) -> Chunk:
        """Read up to `limit` rows past `after`, with the snapshot that they were read in."""
        async with self._reading() as connection:
            seen = await texts(connection, "select pg_current_snapshot()")
            described = await self._described(connection, table)
            last = await _last_key(connection, described, after, limit)
            chosen = f"from {described.sql} where {described.within(after, last)}"
            payload, rows = await _copied(connection, described, chosen)
            return Chunk(
                table=table,
                payload=payload,
                rows=rows,
                last=last,
                snapshot=parse_snapshot(seen[0][0] or ""),
                owners=await _owners(connection, described, chosen),
            )

    async def mark(self, name: str) -> None:
        """Write a transactional mark into the log: one that is not waits for the next flush.

        It waits for this server's disk and for no standby.
        """
        message = f"select pg_logical_emit_message(true, {literal(MARK)}, {literal(name)})"
        command = f"begin; set local synchronous_commit = local; {message}; commit"
        async with self._connections.use(effect=True) as connection:
            await connection.execute(command.encode())

    async def read_again(self, table: str, key: Key) -> tuple[Transaction | None, Snapshot]:
        """The row as a change to apply, None when it is not there, and the snapshot of this answer.

        It stands nowhere in the log: its position is the log's beginning, so that
        it moves nobody's position forward.
        """
        async with self._reading() as connection:
            seen = await texts(
                connection, "select pg_current_snapshot(), system_identifier from pg_control_system()"
            )
            described = await self._described(connection, table)
            query = f"select {described.column_list} from {described.sql} where {described.among([key])}"
            rows = await texts(connection, query)
        snapshot = parse_snapshot(seen[0][0] or "")
        if not rows:
            return None, snapshot
        row = _row(described, rows[0])
        position = Position(seen[0][1] or "", 0, 0)
        xid = (snapshot.xmin - 1) % XID_SPAN
        return Transaction(xid=xid, position=position, changes=(Insert(table, key, row),)), snapshot

    async def digests(self, table: str, after: Key | None, limit: int) -> DigestPage:
        """Digest each row past `after`; the digests of equal rows are equal at both sites."""
        async with self._reading() as connection:
            described = await self._described(connection, table)
            found = await texts(
                connection,
                f"select {_digested(described)} from {described.sql} as t"
                f" where {described.within(after, None)} order by {described.order_list} limit {int(limit)}",
            )
        rows = dict(_digest(described, row) for row in found)
        return DigestPage(rows=rows, last=_key(described, found[-1]) if len(found) == limit else None)

    async def digests_of(self, table: str, keys: Sequence[Key]) -> dict[Key, RowDigest]:
        """Digest these rows; those that are not there are left out."""
        if not keys:
            return {}
        async with self._reading() as connection:
            described = await self._described(connection, table)
            query = f"select {_digested(described)} from {described.sql} as t where {described.among(keys)}"
            return dict(_digest(described, row) for row in await texts(connection, query))

    async def rows_of(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        """These rows whole, as the log would carry them; those that are not there are left out."""
        if not keys:
            return {}
        async with self._reading() as connection:
            described = await self._described(connection, table)
            listed = ", ".join([*described.keys_of("t"), *described.columns_of("t")])
            matching, arrays = by_key(described, keys)
            found = await texts(connection, f"select {listed} from {described.sql} as t, {matching}", arrays)
        return {_key(described, row): _row(described, row[len(described.keys) :]) for row in found}

    async def referring(self, reference: Reference, parents: Sequence[Key]) -> dict[Key, list[Key]]:
        """By key of the parent: the rows of the child table that refer to it."""
        children: dict[Key, list[Key]] = {parent: [] for parent in parents}
        if not parents:
            return children
        async with self._reading() as connection:
            child = await self._described(connection, reference.child)
            parent = await self._described(connection, reference.parent)
            source, arrays = given(parent.keys, parents)
            listed = ", ".join(["u.n", *child.keys_of("t")])
            joined = same("t", reference.columns, parent.keys)
            query = f"select {listed} from {child.sql} as t, {source} where {joined}"
            found = await texts(connection, query, arrays)
        for n, *key in found:
            children[parents[int(n or 0) - 1]].append(_key(child, tuple(key)))
        return children

    async def merged(self) -> list[tuple[str, Key]]:
        """The rows, table and key, that this site has merged from its peer since they parted."""
        async with self._connections.use(effect=False) as connection:
            try:
                found = await texts(connection, _MERGED)
            except NOT_INSTALLED:
                return []
        return [(table or "", key_from_json(key or "")) for table, key in found]

    async def close_connections(self) -> None:
        """Let go of what is kept open; the object may be used again."""
        await self._connections.close()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection[Any]]:
        """A read-only transaction with one snapshot; an error ends its connection."""
        async with self._connections.use(effect=False) as connection:
            await print_alike(connection, *_BEGIN)
            yield connection
            await connection.execute("commit")

    async def _described(self, connection: AsyncConnection[Any], table: str) -> Described:
        return await describe(connection, self._site, self._plan.table(table))


def parse_snapshot(text: str) -> Snapshot:
    """Read `pg_snapshot`'s text form."""
    xmin, xmax, running = text.split(":")
    return Snapshot(int(xmin), int(xmax), frozenset(int(xid) for xid in running.split(",") if xid))


async def _last_key(
    connection: AsyncConnection[Any], described: Described, after: Key | None, limit: int
) -> Key | None:
    found = await texts(
        connection,
        f"select {described.key_list} from {described.sql} where {described.within(after, None)}"
        f" order by {described.order_list} offset {int(limit) - 1} limit 1",
    )
    return _key(described, found[0]) if found else None


async def _copied(connection: AsyncConnection[Any], described: Described, chosen: str) -> tuple[Blocks, int]:
    """The chosen rows; in text where a binary form names types that another database numbers otherwise."""
    form = "binary" if described.portable else "text"
    query = f"select {described.column_list} {chosen} order by {described.order_list}"
    blocks, rows = await copy_out(connection, f"copy ({query}) to stdout (format {form})")
    columns = tuple(column.name for column in described.columns)
    return Blocks(columns=columns, binary=described.portable, blocks=blocks), rows


async def _owners(connection: AsyncConnection[Any], described: Described, chosen: str) -> tuple[Owner, ...]:
    objects = described.table.objects
    if not objects:
        return ()
    owning = " or ".join(f"{quoted(owned.key_column)} is not null" for owned in objects)
    query = f"select {', '.join((described.key_list, *_named(objects)))} {chosen} and ({owning})"
    return tuple(
        Owner(key=_key(described, row), objects=_objects(objects, row[len(described.keys) :]))
        for row in await texts(connection, query)
    )


def _named(objects: Sequence[ObjectOf]) -> list[str]:
    """For each object of a row its key and its digest, as SQL."""
    return [
        quoted(name) if name is not None else "null"
        for owned in objects
        for name in (owned.key_column, owned.digest_column)
    ]


def _objects(objects: Sequence[ObjectOf], values: Texts) -> tuple[ObjectName, ...]:
    pairs = zip(objects, values[::2], values[1::2], strict=True)
    return tuple(
        ObjectName(bucket=owned.bucket, key=key, sha256=digest)
        for owned, key, digest in pairs
        if key  # neither null nor empty
    )


def _digested(described: Described) -> str:
    """Key, digest and objects of a row, as SQL; columns go by name, for their order may differ."""
    columns = ", ".join(f"t.{quoted(name)}" for name in sorted(described.named))
    digest = f"md5(convert_to(row({columns})::text, 'UTF8'))"
    return ", ".join((described.key_list, digest, *_named(described.table.objects)))


def _digest(described: Described, row: Texts) -> tuple[Key, RowDigest]:
    keys = len(described.keys)
    objects = _objects(described.table.objects, row[keys + 1 :])
    return _key(described, row), RowDigest(row[keys] or "", objects)


def _row(described: Described, values: Texts) -> Row:
    return {column.name: value for column, value in zip(described.columns, values, strict=True)}


def _key(described: Described, row: Texts) -> Key:
    return tuple(value or "" for value in row[: len(described.keys)])
