"""Copy a table to another server beside writers, and compare with PostgreSQL's own subscription.

Ours is the engine's own worker. Both run in one go on the same two servers and the same rows (`--rows`,
pgbench_accounts' shape) while `--writes` updates a second go on at the
source. What is printed: seconds until the target had every row and had caught up, their ratio,
the largest memory of this process, and whether the two tables were equal.
"""

import argparse
import asyncio
import random
import resource
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from cutover.adapters.clock import SystemClock
from cutover.engine.parts import Parts
from cutover.engine.worker import Worker
from cutover.model.plan import MergeRule, Plan, Table
from resilience_tests.contract.database.link import Link, following
from resilience_tests.contract.database.server import SUPERUSER, Database, Server

SECONDS_MAX = 240
"""Longest round of ours: then something is wrong."""
LOOK_SECONDS = 0.02
SCHEMA = (
    "create table pgbench_accounts"
    " (aid int primary key, bid int, abalance int, filler char(84)) with (fillfactor = 100)"
)
FILL = "insert into pgbench_accounts select n, 1, 0, '' from generate_series(1, {}) n"
PLAN = Plan(
    name="backfill",
    source="east",
    target="west",
    tables=(Table(name="pgbench_accounts", key=("aid",), merge=MergeRule.RECORD),),
)
SUM = "select count(*), sum(abalance), sum(aid::bigint * abalance) from pgbench_accounts"


@asynccontextmanager
async def working(link: Link) -> AsyncIterator[None]:
    """The engine's own worker of the target."""
    worker = asyncio.ensure_future(Worker(_parts(link), "west", report=_tell).run())
    try:
        async with asyncio.timeout(SECONDS_MAX):
            yield
    finally:
        worker.cancel()
        await asyncio.wait([worker])


async def caught_up(link: Link) -> None:
    """Wait until what the source's log holds now is applied."""
    end = await link.there.rows("select (pg_current_wal_insert_lsn() - '0/0')::bigint")
    while not await _reached(link, int(str(end[0][0]))):
        await asyncio.sleep(LOOK_SECONDS)


async def _copied(link: Link) -> bool:
    return (await link.site.look()).tables_pending == 0


async def _reached(link: Link, end: int) -> bool:
    applied = (await link.site.look()).applied
    return applied is not None and applied.offset >= end


def _tell(trouble: str) -> None:
    print(f"the worker says: {trouble}")  # noqa: T201


def _parts(link: Link) -> Parts:
    """What the worker needs, and nothing else: there are no objects and no witness here."""
    nothing: Any = None
    return Parts(
        plan=PLAN,
        sites={"west": link.site},
        rows={"east": link.rows},
        stores={},
        logs={"east": lambda: link.log},
        appliers={"west": link.applier},
        register=nothing,
        journal=nothing,
        clock=SystemClock(),
        random=random.Random(1),
        preflight=nothing,
    )


@asynccontextmanager
async def writers(database: Database, rows: int, per_second: int) -> AsyncIterator[None]:
    """Update random rows at a rate, each in a transaction of its own."""
    task = asyncio.create_task(write(database, rows, per_second))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def write(database: Database, rows: int, per_second: int) -> None:
    """Keep the rate, whatever one write takes."""
    chance, loop = random.Random(1), asyncio.get_running_loop()
    begin, done = loop.time(), 0
    async with database.session() as connection:
        while True:
            await asyncio.sleep(max(0.0, begin + done / per_second - loop.time()))
            await connection.execute(
                "update pgbench_accounts set abalance = abalance + %s where aid = %s",
                [chance.randint(-5000, 5000), chance.randint(1, rows)],
                prepare=True,
            )
            done += 1


async def ours(east: Server, west: Server, options: argparse.Namespace) -> float:
    """Seconds of our backfill."""
    there, here = east.fresh(), west.fresh()
    filled = (FILL.format(options.rows), "vacuum analyze pgbench_accounts")
    async with following(PLAN, here, there, schema=[SCHEMA], filled=filled, backfill=True) as link:
        begin = time.perf_counter()
        async with working(link):
            async with writers(there, options.rows, options.writes):
                while not await _copied(link):
                    await asyncio.sleep(LOOK_SECONDS)
                await caught_up(link)
                seconds = time.perf_counter() - begin
            await caught_up(link)
        equal = await there.rows(SUM) == await here.rows(SUM)
    print(f"ours          {seconds:6.1f} s, equal: {equal}")  # noqa: T201
    east.drop(there)
    west.drop(here)
    return seconds


async def subscription(east: Server, west: Server, options: argparse.Namespace) -> float:
    """Seconds of PostgreSQL's own initial copy."""
    there, here = east.fresh(), west.fresh()
    await there.run(SCHEMA, FILL.format(options.rows), "vacuum analyze pgbench_accounts")
    await here.run(SCHEMA)
    await there.run("create publication bench for table pgbench_accounts", role=SUPERUSER)
    secret = east.passwords[SUPERUSER]
    conninfo = f"host=127.0.0.1 port={east.port} dbname={there.name} user={SUPERUSER} password={secret}"
    begin = time.perf_counter()
    async with writers(there, options.rows, options.writes):
        await here.run(f"create subscription bench connection '{conninfo}' publication bench", role=SUPERUSER)
        await here.until("select bool_and(srsubstate = 'r') from pg_subscription_rel")
        seconds = time.perf_counter() - begin
    await here.run("drop subscription bench", role=SUPERUSER)
    print(f"subscription  {seconds:6.1f} s")  # noqa: T201
    east.drop(there)
    west.drop(here)
    return seconds


async def measure(options: argparse.Namespace) -> None:
    """Both, in rounds, on servers that are taken away at the end."""
    east, west = Server.make(), Server.make()
    try:
        for _ in range(options.rounds):
            theirs = await subscription(east, west, options)
            mine = await ours(east, west, options)
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"ratio         {mine / theirs:6.1f}, memory at most {memory:.0f} MiB")  # noqa: T201
    finally:
        east.remove()
        west.remove()


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--writes", type=int, default=400, help="updates a second at the source")
    parser.add_argument("--rounds", type=int, default=1)
    asyncio.run(measure(parser.parse_args()))


if __name__ == "__main__":
    main()
