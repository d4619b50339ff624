"""Whoever is suspended in the middle of something keeps nobody waiting without a bound."""

import asyncio

from psycopg import AsyncConnection, errors

from cutover.adapters.postgres.applier import PostgresApplier
from cutover.adapters.postgres.connect import connect
from cutover.adapters.postgres.session import texts
from cutover.model.observation import FenceState
from resilience_tests.contract.database.server import Database
from resilience_tests.contract.database.sites import G1, G2, PLAN, PREPARED, TABLES, opened, prepared, site_of
from resilience_tests.contract.database.suspended import CUT_SHORT, suspended

DEADLINE_SECONDS = 15.0
WRITE = "insert into post values (default)"
WAITING = "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and datname = '{}')"


async def used(database: Database, *statements: str) -> None:
    """Users' statements are answered, if only by the fence."""
    async with asyncio.timeout(DEADLINE_SECONDS), database.session() as user:
        for statement in statements:
            await answered(user, statement)


async def answered(user: AsyncConnection, statement: str) -> bool:
    """Whether the fence let it pass."""
    try:
        await user.execute(statement.encode())
    except errors.ReadOnlySqlTransaction:
        return False
    return True


async def test_a_closer_that_is_suspended_between_any_two_answers_keeps_no_writer_waiting(
    database: Database,
) -> None:
    async with prepared(database) as east:
        await database.run("alter table post alter id set default (random() * 1e9)::bigint")
        await opened(east)
        async with suspended(database, "close") as closer:
            while await closer.stops():
                await used(database, WRITE)
                closer.go_on()
            assert closer.process.returncode == 0
        assert (await east.fence()).state is FenceState.CLOSED


async def test_writers_go_on_while_a_close_waits_for_a_batch_of_the_worker(database: Database) -> None:
    async with prepared(database) as east, database.session("cutover_applier") as worker:
        await east.follow(backfill=False, guard=PREPARED)
        await opened(east)
        await worker.execute("begin")
        await worker.execute("select from cutover.follow for share")
        closing = asyncio.create_task(east.close(guard=G1))
        await database.until(WAITING.format(database.name))
        async with database.session() as user:
            await user.execute("set lock_timeout = '2s'")
            await user.execute("insert into post values (1)")
            await user.execute("insert into post values (2)")
        assert not closing.done()
        await worker.execute("rollback")
        await closing
        assert (await east.fence()).state is FenceState.CLOSED


async def test_an_installation_that_is_suspended_gives_the_table_back_to_its_users(
    database: Database,
) -> None:
    await database.run(*TABLES)
    async with suspended(database, "prepare", after="replica identity full") as installing:
        assert await installing.stops()
        await used(database, "select * from video", "insert into video default values")
        assert await installing.ends() == CUT_SHORT
    async with site_of(database) as east:
        await east.prepare(guard=G1)
        assert (await east.fence()).state is FenceState.OPEN


async def test_a_worker_that_is_suspended_in_a_batch_can_be_told_to_stop(database: Database) -> None:
    async with prepared(database) as east:
        await east.follow(backfill=False, guard=G1)
        async with suspended(database, "apply", after="for share", role="cutover_applier") as worker:
            assert await worker.stops()
            await east.unfollow(guard=G2)
            assert await worker.ends() == CUT_SHORT
        assert await database.rows("select from post") == []


async def test_a_site_can_be_set_up_while_who_began_is_suspended(database: Database) -> None:
    keeping = suspended(database, "keep_log", after="pg_advisory_lock")
    async with prepared(database) as east, keeping as coordinator:
        assert await coordinator.stops()
        await east.keep_log(guard=G2)
        assert await coordinator.ends() == CUT_SHORT


async def test_the_server_bounds_how_long_each_session_of_ours_is_silent(database: Database) -> None:
    settings = ("idle_in_transaction_session_timeout", "tcp_keepalives_idle", "tcp_user_timeout")
    connection = await connect(database.address("cutover_admin"), site="east")
    found = [await texts(connection, f"select setting from pg_settings where name = '{n}'") for n in settings]
    await connection.close()
    assert found == [[("10000",)], [("10",)], [("20000",)]]


async def test_a_batch_is_bounded_as_a_whole_where_the_server_can_do_it(database: Database) -> None:
    """Between the commands of a pipeline a session does not count as idle."""
    async with prepared(database):
        applier = PostgresApplier(database.address("cutover_applier"), site="east", plan=PLAN)
        await applier.start()
        assert applier._writer is not None
        assert await texts(applier._writer.connection, "show transaction_timeout") == [("1min",)]
        await applier.close()
