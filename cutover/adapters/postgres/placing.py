"""Writing a chunk's rows, which stay unread wherever that is allowed.

Rows go from COPY to COPY. A few of them may be kept out, because the stream
has brought something newer, and a few may be here already. A chunk with many
of these, with rows that must not become visible, or with a row that is
refused, goes through a temporary table, where it can be looked at.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import AsyncConnection

from cutover.adapters.postgres.batch import Writer, is_of_row, why_refused
from cutover.adapters.postgres.catalog import Described, quoted
from cutover.adapters.postgres.records import Records, key_from_json, key_json
from cutover.adapters.postgres.rows import Blocks
from cutover.adapters.postgres.runs import by_key, insert_missing, on_conflict
from cutover.adapters.postgres.session import Texts, texts
from cutover.errors import Refused
from cutover.model.change import Chunk, Key

FEW = 100
"""Most rows of a chunk that are kept out or make way: each is compared with every row of it."""

_STAGED = "pg_temp.cutover_chunk"
_NUMBER = "cutover ordinal"
_ORDINAL = quoted(_NUMBER)

_AFTER = "select after from cutover.copying where table_name = $1"
_COPIED = """
insert into cutover.copying as c (table_name, after, rows, done)
values ($1, $2::jsonb, $3::bigint, $4::boolean)
on conflict (table_name) do update
set after = coalesce(excluded.after, c.after), rows = c.rows + excluded.rows, done = excluded.done
"""


@dataclass(slots=True)
class Placing:
    """One chunk on its way into its table, inside a transaction of the applier."""

    writer: Writer
    table: Described
    chunk: Chunk
    records: Records
    without: Collection[Key]
    aside: dict[Key, str]  #: with the reason

    @property
    def _connection(self) -> AsyncConnection[Any]:
        return self.writer.connection

    @property
    def _blocks(self) -> Blocks:
        if not isinstance(self.chunk.payload, Blocks):
            raise Refused(f"a chunk of {self.chunk.table} can be placed here only if PostgreSQL gave it")
        return self.chunk.payload

    async def place(self) -> None:
        """Write the rows, and how far the table is copied."""
        before = self.records.copy()
        await self._run("savepoint whole")
        try:
            await self._place_directly()
        except psycopg.Error as error:
            if not is_of_row(error):
                raise
            self.records.restore(before)
            await self._run("rollback to savepoint whole")
            await self._place_staged()
        last = None if self.chunk.last is None else key_json(self.chunk.last)
        done = str(self.chunk.last is None)
        await texts(self._connection, _COPIED, [self.chunk.table, last, str(self.chunk.rows), done])

    async def _place_directly(self) -> None:
        """Straight into the table; what is here already makes way, and comes back if the chunk lacks it."""
        here = await self._here()
        known = [key for table, key in self.records.known if table == self.chunk.table]
        kept_out = {*self.without, *self.aside}
        if self.aside or self.writer.watching or len({*here, *known, *kept_out}) > FEW:
            await self._place_staged()
            return
        made_way = await self._make_way([key for key in here if key not in kept_out])
        # NOT before a list fails here ("cache lookup failed for function 0"): no planner sees it.
        others = f" where ({self.table.among([*kept_out])}) is not true" if kept_out else ""
        await self._copy_in(self.table.sql, others)
        for key in await self._keys_among([key for key in known if key not in kept_out]):
            self.records.written((self.chunk.table, key))
        await self._come_back(made_way)

    async def _make_way(self, keys: Sequence[Key]) -> list[Texts]:
        """Take these rows out of the table; returns their values."""
        if not keys:
            return []
        query = (
            f"delete from {self.table.sql} where {self.table.among(keys)} returning {self.table.column_list}"
        )
        return await texts(self._connection, query)

    async def _come_back(self, rows: Sequence[Texts]) -> None:
        """Nothing disappears because a chunk does not have it: only a delete in the log removes a row."""
        if rows:
            shape = tuple(column.name for column in self.table.columns)
            command, arrays = insert_missing(self.table, shape, rows)
            await texts(self._connection, command, arrays)

    async def _keys_among(self, keys: Sequence[Key]) -> list[Key]:
        if not keys:
            return []
        query = f"select {self.table.key_list} from {self.table.sql} where {self.table.among(keys)}"
        return [key_of(row) for row in await texts(self._connection, query)]

    async def _here(self) -> list[Key]:
        """Keys of the chunk's range that are here already: all, or more than a few."""
        found = await texts(self._connection, _AFTER, [self.chunk.table])
        after = key_from_json(found[0][0]) if found and found[0][0] is not None else None
        query = (
            f"select {self.table.key_list} from {self.table.sql}"
            f" where {self.table.within(after, self.chunk.last)} limit {FEW + 1}"
        )
        return [key_of(row) for row in await texts(self._connection, query)]

    async def _place_staged(self) -> None:
        """Through a temporary table as a whole; what is refused there is set aside."""
        await self._stage()
        await self._pick(self.without)
        await self._set_aside()
        await self._upsert_between(1, self.chunk.rows)
        await self._note([key for table, key in self.records.known if table == self.chunk.table])

    async def _stage(self) -> None:
        """Copy rows into a temporary table, numbered."""
        columns = ", ".join(quoted(name) for name in self._blocks.columns)
        await self._run(
            f"create temporary table cutover_chunk on commit drop as"
            f" select {columns} from {self.table.sql} with no data"
        )
        await self._run(
            f"alter table {_STAGED} add {_ORDINAL} bigint generated always as identity primary key"
        )
        await self._copy_in(_STAGED, "")

    async def _copy_in(self, into: str, where: str) -> None:
        columns = ", ".join(quoted(name) for name in self._blocks.columns)
        form = "binary" if self._blocks.binary else "text"
        command = f"copy {into} ({columns}) from stdin (format {form}){where}"
        async with self._connection.cursor() as cursor, cursor.copy(command.encode()) as copy:
            for block in self._blocks.blocks:
                await copy.write(block)

    async def _pick(self, keys: Collection[Key]) -> dict[Key, str]:
        """Take these rows out of the temporary table; returns each as JSON."""
        if not keys:
            return {}
        matching, arrays = by_key(self.table, keys)
        return await self._taken(f"using {matching}", arrays)

    async def _taken(self, condition: str, parameters: Sequence[str]) -> dict[Key, str]:
        keys = ", ".join(f"t.{quoted(name)}" for name in self.table.table.key)
        query = f"delete from {_STAGED} as t {condition} returning {keys}, to_jsonb(t) - '{_NUMBER}'"
        rows = await texts(self._connection, query, parameters)
        return {key_of(row[:-1]): row[-1] or "" for row in rows}

    async def _set_aside(self) -> None:
        """Rows that must not become visible: what is visible of them stays as it is."""
        for key, row in (await self._pick(self.aside)).items():
            self.records.put_aside((self.chunk.table, key), self.aside[key], row)

    async def _upsert(self, where: str) -> None:
        columns = [self.table.named[name] for name in self._blocks.columns]
        listed = ", ".join(quoted(column.name) for column in columns)
        await self._run(
            f"insert into {self.table.sql} ({listed}) overriding system value select {listed} from {_STAGED}"
            f" where {where} on conflict ({self.table.key_list}) do {on_conflict(self.table, columns)}"
        )

    async def _upsert_between(self, first: int, last: int) -> None:
        """Halve what is refused until the one row is found."""
        await self._run("savepoint part")
        try:
            await self._upsert(f"{_ORDINAL} between {first} and {last}")
        except psycopg.Error as error:
            if not is_of_row(error):
                raise
            await self._run("rollback to savepoint part; release savepoint part")
            await self._refused_between(first, last, error)
        else:
            await self._run("release savepoint part")

    async def _refused_between(self, first: int, last: int, error: psycopg.Error) -> None:
        if first < last:
            middle = (first + last) // 2
            await self._upsert_between(first, middle)
            await self._upsert_between(middle + 1, last)
            return
        for key, row in (await self._taken(f"where {_ORDINAL} = {first}", ())).items():
            self.records.put_aside((self.chunk.table, key), why_refused(error), row)

    async def _note(self, known: Sequence[Key]) -> None:
        """What is written is no longer set aside, and is to be compared."""
        rows = await texts(self._connection, f"select {self.table.key_list} from {_STAGED}")
        written = {key_of(row) for row in rows}
        for key in written.intersection(known):
            self.records.written((self.chunk.table, key))
        if self.writer.watching:
            self.records.touched |= dict.fromkeys((self.chunk.table, key) for key in written)

    async def _run(self, command: str) -> None:
        await self._connection.execute(command.encode())


def key_of(row: Texts) -> Key:
    """A key from a row of its columns, none of which is null."""
    return tuple(value or "" for value in row)
