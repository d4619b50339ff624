"""Two databases of which one follows the other, put together from the real adapters."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from cutover.adapters.postgres.applier import PostgresApplier
from cutover.adapters.postgres.changelog import PostgresLog
from cutover.adapters.postgres.rows import PostgresRows
from cutover.adapters.postgres.site import PostgresSite
from cutover.model.action import Guard
from cutover.model.change import Chunk, Key, LogItem, Quiet, Transaction
from cutover.model.plan import MergeRule, Plan, Table
from cutover.ports.database import Aside
from resilience_tests.contract.database.server import Database

GUARD = Guard(1, 7)
DEADLINE_SECONDS = 20.0


def plan_of(*tables: Table) -> Plan:
    """A plan from `east` to `west`."""
    return Plan(name="move", source="east", target="west", tables=tables)


def table(name: str, *key: str, **more: object) -> Table:
    """A planned table; its key is `id` unless another is named."""
    return Table(name=name, key=key or ("id",), merge=MergeRule.RECORD, **more)  # type: ignore[arg-type]


@dataclass(slots=True)
class Link:
    """`here` follows `there`."""

    plan: Plan
    here: Database
    there: Database
    log: PostgresLog
    rows: PostgresRows
    applier: PostgresApplier
    site: PostgresSite

    async def take(self) -> Transaction:
        """The next transaction of the log."""
        while True:
            item = await self.item()
            if isinstance(item, Transaction):
                return item

    async def item(self) -> LogItem:
        """The next item of the log."""
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await anext(self.log.read())

    async def until_mark(self, name: str) -> list[Transaction]:
        """Everything up to a mark, which is written now."""
        await self.rows.mark(name)
        found = [await self.take()]
        while found[-1].mark != name:
            found.append(await self.take())
        return found

    async def apply(
        self, batch: Sequence[Transaction], *, aside: Sequence[Aside] = (), upserting: Collection[str] = ()
    ) -> Sequence[Aside]:
        """Apply under the guard that this site was told."""
        return await self.applier.apply(batch, upserting=upserting, aside=aside, guard=GUARD)

    async def catch_up(self) -> Sequence[Aside]:
        """Apply everything that the log has now, in one commit."""
        return await self.apply(await self.until_mark("caught up"))

    async def place(self, chunk: Chunk, mark: Transaction, *, without: Collection[Key] = ()) -> None:
        """Place a chunk of which every object is here."""
        await self.applier.place(chunk, without=without, aside=(), mark=mark, guard=GUARD)

    async def close(self) -> None:
        """Let go of everything."""
        await self.log.close()
        await self.rows.close_connections()
        await self.applier.close()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Let users write here too for a while: then nothing of the peer's may be applied."""
        await self.site.open(epoch=1, started=await self.site.instant(), seconds=600, guard=GUARD)
        yield
        await self.site.close(guard=GUARD)

    async def quiet(self) -> Quiet:
        """The next word that the log has nothing for us."""
        while True:
            item = await self.item()
            if isinstance(item, Quiet):
                return item


@asynccontextmanager
async def following(
    plan: Plan,
    here: Database,
    there: Database,
    *,
    schema: Sequence[str],
    filled: Sequence[str] = (),
    backfill: bool = False,
) -> AsyncIterator[Link]:
    """Make the schema in both databases, prepare both, and let `here` (west) follow `there` (east).

    `filled` is run at `there` before anything of ours is.
    """
    for database in (here, there):
        await database.run(*schema)
    await there.run(*filled)
    east, west = _site(plan, "east", there), _site(plan, "west", here)
    link = link_of(plan, here, there, west, source="east")
    try:
        await east.prepare(guard=GUARD)
        await west.prepare(guard=GUARD)
        await east.keep_log(guard=GUARD)
        await west.follow(backfill=backfill, guard=GUARD)
        await link.applier.start()
        yield link
    finally:
        await link.close()
        await west.remove()  # a server has room for few origins
        await east.close_connections()
        await west.close_connections()


@asynccontextmanager
async def following_back(link: Link) -> AsyncIterator[Link]:
    """Let the other database follow too."""
    here, there = link.there, link.here
    site = _site(link.plan, "east", here)
    back = link_of(link.plan, here, there, site, source="west")
    try:
        await link.site.keep_log(guard=GUARD)
        await site.follow(backfill=False, guard=GUARD)
        await back.applier.start()
        yield back
    finally:
        await back.close()
        await site.remove()
        await site.close_connections()


def link_of(plan: Plan, here: Database, there: Database, site: PostgresSite, *, source: str) -> Link:
    """The adapters with which `site` follows `source`."""
    admin = there.address("cutover_admin")
    return Link(
        plan,
        here,
        there,
        PostgresLog(admin, site=source, plan=plan),
        PostgresRows(admin, site=source, plan=plan),
        PostgresApplier(here.address("cutover_applier"), site=site.site, plan=plan),
        site,
    )


def _site(plan: Plan, name: str, database: Database) -> PostgresSite:
    return PostgresSite(site=name, connection=database.address("cutover_admin"), plan=plan)
