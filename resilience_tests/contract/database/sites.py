"""A small schema, its plan, and a site that is prepared for it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from cutover.adapters.postgres.site import PostgresSite
from cutover.model.action import Guard
from cutover.model.change import Row
from cutover.model.merge import Settled
from cutover.model.plan import MergeRule, Plan, Table
from cutover.model.position import Position
from cutover.ports.database import Aside, Merged, Place, SiteDatabase
from resilience_tests.contract.database.server import Database

PLAN = Plan(
    name="test",
    source="east",
    target="west",
    tables=(
        Table(name="post", key=("id",), merge=MergeRule.RECORD),
        Table(name="video", key=("id",), merge=MergeRule.COUNTER, counters=("views",)),
    ),
)
TABLES = (
    "create table post (id bigint primary key, title text)",
    "create table video (id bigserial primary key, views bigint not null default 0)",
    "create table elsewhere (id bigint)",
)
PREPARED, G1, G2 = Guard(1, 0), Guard(1, 1), Guard(1, 2)


@asynccontextmanager
async def site_of(database: Database, name: str = "east", plan: Plan = PLAN) -> AsyncIterator[PostgresSite]:
    """The adapter on a database as it is."""
    site = PostgresSite(site=name, connection=database.address("cutover_admin"), plan=plan)
    try:
        yield site
    finally:
        await site.close_connections()


@asynccontextmanager
async def prepared(database: Database, name: str = "east") -> AsyncIterator[PostgresSite]:
    """The adapter on a database with the planned tables and everything of ours."""
    await database.run(*TABLES)
    async with site_of(database, name) as site:
        await site.prepare(guard=PREPARED)
        yield site


async def opened(site: PostgresSite, *, epoch: int = 1, guard: Guard = G1, seconds: float = 60) -> None:
    """Open it with a lease from now on."""
    await site.open(epoch=epoch, started=await site.instant(), seconds=seconds, guard=guard)


async def merge(
    site: SiteDatabase, settled: Sequence[Settled], *, upto: Position, guard: Guard
) -> Sequence[Aside]:
    """Merge what was settled already, whatever stands there once it is locked."""

    async def decide(_: Mapping[Place, Row]) -> Merged:
        return Merged(settled=settled, upto=upto)

    return await site.merge([(one.table, one.key) for one in settled], decide, guard=guard)
