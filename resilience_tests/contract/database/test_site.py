"""A site's database as coordinator and agent use it, on a real server."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from cutover.adapters.postgres.site import PostgresSite
from cutover.model.action import Guard
from cutover.model.observation import Fence, FenceState
from cutover.model.plan import MergeRule, Plan, Table
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
PREPARED, G1, G2 = Guard(1, 0), Guard(1, 1), Guard(1, 2)
SERVING = "select cutover.serving_epoch(), cutover.still_serving(0)"


async def test_a_site_of_which_nothing_is_ours_is_absent_and_has_an_end(database: Database) -> None:
    async with site_of(database) as east:
        seen = await east.look()
        assert seen.fence == await east.fence() == Fence(state=FenceState.ABSENT)
        assert seen.end.offset > 0
        assert not seen.slot


async def test_a_source_serves_on_between_its_preparation_and_its_first_epoch(database: Database) -> None:
    async with prepared(database) as east:
        assert await east.fence() == Fence(state=FenceState.OPEN, lease_live=True, guard=PREPARED)
        await database.run("insert into post values (1, 'x')")
        assert await database.rows(SERVING, "platform") == [(0, True)]
        await opened(east)
        assert await database.rows(SERVING, "platform") == [(1, True)]


async def test_a_target_is_closed_from_the_first_moment(database: Database) -> None:
    async with prepared(database, "west") as west:
        assert await west.fence() == Fence(state=FenceState.CLOSED, guard=PREPARED)
        assert not await west.probe_write()


async def test_a_site_opens_closes_and_opens_again(database: Database) -> None:
    async with prepared(database) as east:
        await opened(east)
        assert await east.probe_write()
        end = await east.close(guard=G1)
        assert not await east.probe_write()
        assert (await east.look()).end.reaches(end)
        await opened(east, epoch=2)
        assert (await east.fence()).epoch == 2
        assert await east.probe_write()


async def test_preparing_an_open_site_again_leaves_it_open(database: Database) -> None:
    async with prepared(database) as east:
        await opened(east)
        await east.prepare(guard=G2)
        assert (await east.fence()).state is FenceState.OPEN


async def test_the_log_is_kept_from_a_position_until_it_is_released(database: Database) -> None:
    async with prepared(database) as east:
        kept = await east.keep_log(guard=G1)
        assert (await east.look()).slot
        assert await east.keep_log(guard=G1) == kept
        await east.release_log(guard=G1)
        await east.release_log(guard=G1)
        assert not (await east.look()).slot


@asynccontextmanager
async def site_of(database: Database, name: str = "east", plan: Plan = PLAN) -> AsyncIterator[PostgresSite]:
    site = PostgresSite(site=name, connection=database.address("cutover_admin"), plan=plan)
    yield site
    await site.close_connections()


@asynccontextmanager
async def prepared(database: Database, name: str = "east") -> AsyncIterator[PostgresSite]:
    await database.run(
        "create table post (id bigint primary key, title text)",
        "create table video (id bigserial primary key, views bigint not null default 0)",
    )
    async with site_of(database, name) as site:
        await site.prepare(guard=PREPARED)
        yield site


async def opened(site: PostgresSite, *, epoch: int = 1, guard: Guard = G1, seconds: float = 60) -> None:
    await site.open(epoch=epoch, started=await site.instant(), seconds=seconds, guard=guard)
