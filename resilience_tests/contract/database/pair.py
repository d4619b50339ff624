"""Two prepared sites behind the ports, in memory or in PostgreSQL: what passes here must pass for both."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from psycopg import AsyncRawCursor, errors

from cutover.adapters.memory.replication import MemoryApplier, MemoryLog, MemoryRows
from cutover.adapters.memory.server import Fenced, MemoryServer
from cutover.adapters.memory.session import MemorySession, Work
from cutover.adapters.memory.site import MemorySite
from cutover.adapters.postgres.applier import PostgresApplier
from cutover.adapters.postgres.changelog import PostgresLog
from cutover.adapters.postgres.rows import PostgresRows
from cutover.adapters.postgres.site import PostgresSite
from cutover.model.action import Guard
from cutover.model.change import Change, Delete, Insert, Key, LogItem, Row, Transaction, Truncate, Update
from cutover.model.merge import Reference
from cutover.model.plan import MergeRule, Plan, Table
from cutover.ports.database import Applier, Aside, ChangeLog, Rows, SiteDatabase
from resilience_tests.contract.database.server import Database

POSTS, LIKES, SEQUENCE = "public.posts", "public.likes", "public.counted_id_seq"
SMALL_SEQUENCE, SMALL_BOUND = "public.counted_few_seq", 32767
PLAN = Plan(
    name="move",
    source="east",
    target="west",
    tables=(
        Table(name="posts", key=("id",), merge=MergeRule.COUNTER, counters=("likes",)),
        Table(name="likes", key=("post", "who"), merge=MergeRule.APPEND),
        Table(name="counted", key=("id",), merge=MergeRule.RECORD),
    ),
)
SCHEMA = (
    "create table posts (id text primary key, title text unique, likes int not null)",
    "create table likes (post text references posts, who text, primary key (post, who))",
    "create table counted (id bigserial primary key, few smallserial)",
)
REFERENCE = Reference(child=LIKES, columns=("post",), parent=POSTS)
GUARD, LATER = Guard(1, 7), Guard(1, 8)
DEADLINE_SECONDS = 20.0

Write = Callable[[Sequence[Change], str], Awaitable[None]]


class NotServing(Exception):
    """The fence refused a user's write."""


def post(key: str, title: str, likes: int = 0) -> Insert:
    """A new post."""
    return Insert(POSTS, (key,), {"id": key, "title": title, "likes": str(likes)})


def edit(key: str, title: str, likes: int = 0) -> Update:
    """A post as it is from now on."""
    return Update(POSTS, (key,), post(key, title, likes).row)


def like(key: str, who: str) -> Insert:
    """Somebody likes a post."""
    return Insert(LIKES, (key, who), {"post": key, "who": who})


@dataclass(slots=True)
class End:
    """One site. `log` is its own, as the peer reads it; `applier` writes what the peer's log says."""

    site: SiteDatabase
    rows: Rows
    log: ChangeLog
    applier: Applier
    write_changes: Write
    crash: Callable[[], Awaitable[None]]  #: a power cut, and it is up again
    _items: AsyncIterator[LogItem] | None = field(default=None)

    async def write(self, *changes: Change, request: str = "") -> None:
        """One transaction of a user; NotServing when the fence refuses it."""
        await self.write_changes(changes, request)

    async def contents(self, table: str) -> dict[Key, Row]:
        """Every row, page by page."""
        found: dict[Key, Row] = {}
        after: Key | None = None
        while True:
            page = await self.rows.digests(table, after, 50)
            found |= await self.rows.rows_of(table, list(page.rows))
            if page.last is None:
                return found
            after = page.last

    async def open(self, *, epoch: int = 1, guard: Guard = GUARD, seconds: float = 600) -> None:
        """Let users write here."""
        await self.site.open(epoch=epoch, started=await self.site.instant(), seconds=seconds, guard=guard)

    async def until_mark(self, name: str) -> list[Transaction]:
        """Everything that the log has up to a mark, which is written now."""
        await self.rows.mark(name)
        self._items = self._items or self.log.read()
        found: list[Transaction] = []
        async with asyncio.timeout(DEADLINE_SECONDS):
            while not found or found[-1].mark != name:
                item = await anext(self._items)
                if isinstance(item, Transaction):
                    found.append(item)
        return found

    async def leave_log(self) -> None:
        """Stop reading; the next reader begins at what was confirmed."""
        self._items = None
        await self.log.close()


@dataclass(slots=True)
class Pair:
    """East is the source and open, west follows it."""

    east: End
    west: End

    async def apply(
        self, batch: Sequence[Transaction], *, aside: Sequence[Aside] = (), guard: Guard = GUARD
    ) -> Sequence[Aside]:
        """Apply at west what east's log says."""
        return await self.west.applier.apply(batch, upserting=(), aside=aside, guard=guard)

    async def catch_up(self) -> Sequence[Aside]:
        """Apply all that east's log has."""
        return await self.apply(await self.east.until_mark("caught up"))

    async def same(self) -> bool:
        """Whether both sites hold the same rows."""
        for table in (POSTS, LIKES):
            if await self.east.contents(table) != await self.west.contents(table):
                return False
        return True


@asynccontextmanager
async def pair_of(kind: str, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Two sites of that kind, prepared; east's log is kept and west has been told to follow."""
    async with AsyncExitStack() as stack:
        if kind == "memory":
            east, west = _in_memory("east"), _in_memory("west")
        else:
            here: Database = request.getfixturevalue("database")
            there: Database = request.getfixturevalue("peer")
            east = await stack.enter_async_context(_in_postgres("east", here))
            west = await stack.enter_async_context(_in_postgres("west", there))
        for end in (east, west):
            await end.site.prepare(guard=GUARD)
        await east.site.keep_log(guard=GUARD)
        await west.site.follow(backfill=False, guard=GUARD)
        await west.applier.start()
        yield Pair(east, west)


def _in_memory(name: str) -> End:
    async def reach() -> None:
        await asyncio.sleep(0)

    clock = asyncio.get_running_loop().time
    server = MemoryServer(
        name,
        PLAN,
        clock,
        reach,
        unique={POSTS: ("title",)},
        references=(REFERENCE,),
        bounds={SMALL_SEQUENCE: SMALL_BOUND},
    )

    async def write(changes: Sequence[Change], request: str) -> None:
        try:
            await MemorySession(server).write(request, lambda work: _work(work, changes))
        except Fenced as error:
            raise NotServing from error

    async def crash() -> None:
        server.crash(None)

    log, applier = MemoryLog(server), MemoryApplier(server)
    return End(MemorySite(server), MemoryRows(server), log, applier, write, crash)


def _work(work: Work, changes: Sequence[Change]) -> None:
    for change in changes:
        match change:
            case Insert(table, key, row):
                work.insert(table, key, row)
            case Update(table, key, row):
                work.get(table, key)  # what is not looked at is not waited for
                work.update(table, key, row)
            case Delete(table, key):
                work.get(table, key)
                work.delete(table, key)


@asynccontextmanager
async def _in_postgres(name: str, database: Database) -> AsyncIterator[End]:
    await database.run(*SCHEMA)
    admin = database.address("cutover_admin")
    site = PostgresSite(site=name, connection=admin, plan=PLAN)
    rows = PostgresRows(admin, site=name, plan=PLAN)
    log = PostgresLog(admin, site=name, plan=PLAN)
    applier = PostgresApplier(database.address("cutover_applier"), site=name, plan=PLAN)

    async def write(changes: Sequence[Change], request: str) -> None:
        async with database.session() as session:
            try:
                async with session.transaction():
                    await session.execute("select set_config('cutover.request_id', %s, true)", [request])
                    for change in changes:
                        statement, values = _statement(change)
                        await AsyncRawCursor(session).execute(statement.encode(), values)
            except errors.ReadOnlySqlTransaction as error:
                raise NotServing from error

    async def crash() -> None:
        database.server.restart()

    try:
        yield End(site, rows, log, applier, write, crash)
    finally:
        await log.close()
        await applier.close()
        await rows.close_connections()
        await site.remove()  # a server has room for few origins
        await site.close_connections()


def _statement(change: Change) -> tuple[str, list[object]]:
    assert not isinstance(change, Truncate)
    key = dict(zip(PLAN.table(change.table).key, change.key, strict=True))
    if isinstance(change, Delete):
        named = " and ".join(f"{column} = ${n}" for n, column in enumerate(key, 1))
        return f"delete from {change.table} where {named}", list(key.values())
    row = dict(change.row)
    if isinstance(change, Insert):
        values = ", ".join(f"${n}" for n in range(1, len(row) + 1))
        return f"insert into {change.table} ({', '.join(row)}) values ({values})", list(row.values())
    sets = ", ".join(f"{column} = ${n}" for n, column in enumerate(row, 1))
    named = " and ".join(f"{column} = ${n}" for n, column in enumerate(key, len(row) + 1))
    return f"update {change.table} set {sets} where {named}", [*row.values(), *key.values()]
