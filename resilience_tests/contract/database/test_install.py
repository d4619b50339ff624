"""Putting our things into a user's database harms nobody, and taking them out leaves nothing."""

import asyncio
import re

import pytest
from psycopg.errors import ReadOnlySqlTransaction

from cutover.adapters.postgres import install
from cutover.adapters.postgres.site import PostgresSite
from cutover.errors import Refused
from cutover.model.action import Guard
from cutover.model.observation import FenceState
from cutover.model.plan import MergeRule, Plan, Table
from resilience_tests.contract.database.server import Database, binaries
from resilience_tests.contract.database.sites import G1, G2, PLAN, PREPARED, TABLES, opened, prepared, site_of

HOSTILE = Plan(
    name="hostile",
    source="ea\"st's %s {site}",
    target="west",
    tables=(
        Table(schema='Sch"ema', name="Ta ble.dot", key=('I"D', "größe"), merge=MergeRule.RECORD),
        Table(schema="public", name="select", key=("from",), merge=MergeRule.APPEND),
        Table(schema="public", name="%s{0}$$", key=("id",), merge=MergeRule.COUNTER, counters=("n",)),
    ),
)
HOSTILE_TABLES = (
    'create schema "Sch""ema"',
    'create table "Sch""ema"."Ta ble.dot" ("größe" text, "I""D" bigint, primary key ("größe", "I""D"))',
    'create table "select" ("from" bigint primary key)',
    'create table "%s{0}$$" (id bigserial primary key, n bigint)',
)
OURS = (
    "select oid::regclass::text, relkind::text, relreplident::text from pg_class"
    " where relnamespace not in ('pg_toast'::regnamespace, 'pg_catalog'::regnamespace)",
    "select oid::regprocedure::text from pg_proc where oid >= 16384",
    "select tgname, tgrelid::regclass::text from pg_trigger",
    "select nspname, nspacl::text from pg_namespace where nspname !~ '^pg_(toast_)?temp'",
    "select pubname from pg_publication",
    "select prrelid from pg_publication_rel",
    "select slot_name from pg_replication_slots where database = current_database()",
    "select roname from pg_replication_origin",
    "select count(*) from pg_depend",
    "select count(*) from pg_shdepend join pg_database on pg_database.oid = dbid"
    " where datname = current_database()",
    "select tgrelid::regclass::text, tgenabled::text from pg_trigger",
    "select indexrelid::regclass::text, indisreplident from pg_index where indrelid >= 16384",
)


async def everything(database: Database) -> list[list[tuple[object, ...]]]:
    """All that an installation could leave behind."""
    return [sorted(await database.rows(query), key=repr) for query in OURS]


async def test_taking_everything_out_leaves_the_database_as_it_was(database: Database) -> None:
    await database.run(
        *TABLES,
        "create table other (id bigint not null, n bigint)",
        "create unique index other_id on other (id)",
        "create unique index other_n on other (n, id)",
        "alter table other alter n set not null, replica identity using index other_n",
        "create table nothing (id bigint primary key)",
        "alter table nothing replica identity nothing",
    )
    more = (
        Table(name="other", key=("id",), merge=MergeRule.RECORD),
        Table(name="nothing", key=("id",), merge=MergeRule.COUNTER, counters=("id",)),
    )
    plan = Plan(name="more", source="east", target="west", tables=(*PLAN.tables, *more))
    before = await everything(database)
    async with site_of(database, plan=plan) as east:
        await used(east, database)
        assert await everything(database) != before
        await east.remove()
        assert await everything(database) == before
        await east.remove()
        await used(east, database)
        await east.remove()
    assert await everything(database) == before


async def used(site: PostgresSite, database: Database) -> None:
    """Leave behind whatever a migration leaves behind."""
    await site.prepare(guard=PREPARED)
    await opened(site)
    await site.keep_log(guard=G1)
    await site.follow(backfill=True, guard=G1)
    await database.run(
        f"select pg_replication_origin_create('cutover_{database.name}')", role="cutover_applier"
    )
    await site.close(guard=G2)


async def test_a_slot_that_is_being_read_is_taken_from_its_reader(database: Database) -> None:
    async with prepared(database) as east, database.session("cutover_admin") as reader:
        await east.keep_log(guard=G1)
        reading = asyncio.create_task(_read_for_ever(database))
        await database.until(
            "select active from pg_replication_slots where database = current_database() and active"
        )
        await east.remove()
        assert await reading != 0
        assert not reader.closed


async def _read_for_ever(database: Database) -> int:
    address = database.address("cutover_admin")
    process = await asyncio.create_subprocess_exec(
        str(binaries() / "pg_recvlogical"),
        f"--dbname=host=127.0.0.1 port={address.port} dbname={address.database} user={address.user}",
        f"--slot=cutover_{database.name}",
        *("--start", "--no-loop", "--file=-"),
        *("--option=proto_version=1", "--option=publication_names=cutover"),
        env={"PGPASSWORD": address.password.reveal()},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


async def test_names_are_taken_as_they_are_whatever_they_are_made_of(database: Database) -> None:
    await database.run(*HOSTILE_TABLES)
    before = await everything(database)
    async with site_of(database, HOSTILE.source, HOSTILE) as site:
        await site.prepare(guard=PREPARED)
        await opened(site)
        assert (await site.fence()).state is FenceState.OPEN
        await database.run(
            'insert into "%s{0}$$" (n) values (1)', """insert into "Sch""ema"."Ta ble.dot" values ('x', 1)"""
        )
        assert list((await site.sequences()).values()) == [1]
        await site.raise_sequences(dict.fromkeys(await site.sequences(), 9), guard=G1)
        assert list((await site.sequences()).values()) == [9]
        await site.close(guard=G1)
        with pytest.raises(ReadOnlySqlTransaction, match=re.escape(HOSTILE.source)):
            await database.run('insert into "select" values (1)')
        published = await database.rows(
            "select tablename from pg_publication_tables where pubname = 'cutover'"
        )
        assert sorted(published) == sorted((table.name,) for table in HOSTILE.tables)
        await site.remove()

    assert await everything(database) == before


async def test_the_log_names_rows_by_the_plans_key_and_carries_old_counters(database: Database) -> None:
    await database.run(*TABLES, "create table keyed (n bigint primary key, id bigint not null unique)")
    keyed = Table(name="keyed", key=("id",), merge=MergeRule.RECORD)
    plan = Plan(name="keyed", source="east", target="west", tables=(*PLAN.tables, keyed))
    async with site_of(database, plan=plan) as east:
        await east.prepare(guard=PREPARED)
    identities = await database.rows(
        "select relname, relreplident::text from pg_class"
        " where relname in ('post', 'video', 'keyed') order by 1"
    )
    assert identities == [("keyed", "i"), ("post", "d"), ("video", "f")]


async def test_a_table_without_the_plans_key_is_refused_by_name(database: Database) -> None:
    await database.run("create table post (id bigint)", *TABLES[1:])
    async with site_of(database) as east:
        with pytest.raises(Refused, match=r"public\.post has no unique index over exactly \(id\)"):
            await east.prepare(guard=PREPARED)


async def test_writers_go_on_while_an_installation_waits_for_one_of_them(database: Database) -> None:
    await database.run(*TABLES)
    async with site_of(database) as east, database.session() as holder:
        async with holder.transaction():
            await holder.execute("insert into post values (1, 'x')")
            installing = asyncio.create_task(east.prepare(guard=PREPARED))
            await database.until(WAITS_FOR_POST)
            await database.run("set lock_timeout = '2s'; insert into post values (2, 'y')")
            assert not installing.done()
        await installing
        assert (await east.fence()).state is FenceState.OPEN


async def test_an_installation_that_cannot_get_a_table_names_who_has_it_and_can_go_on_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "WAIT_SECONDS", 0.1)
    await database.run(*TABLES)
    async with site_of(database) as east, database.session() as holder:
        async with holder.transaction():
            await holder.execute("insert into video default values")
            with pytest.raises(
                Refused, match=rf'"public"."video".*pid {holder.info.backend_pid} of platform'
            ):
                await east.prepare(guard=PREPARED)
        assert (await east.fence()).state is FenceState.ABSENT
        await east.prepare(guard=Guard(1, 1))
        assert (await east.fence()).state is FenceState.OPEN


async def test_a_worker_that_still_applies_is_named_before_its_origin_is_taken(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "WAIT_SECONDS", 0.2)
    async with prepared(database, "west") as west, database.session("cutover_applier") as worker:
        name = f"cutover_{database.name}"
        await worker.execute("select pg_replication_origin_create(%s)", [name])
        await worker.execute("select pg_replication_origin_session_setup(%s)", [name])
        with pytest.raises(Refused, match=rf"PID {worker.info.backend_pid}"):
            await west.remove()
        await worker.close()
        await database.until("select count(*) = 0 from pg_stat_activity where usename = 'cutover_applier'")
        await west.remove()


WAITS_FOR_POST = "select count(*) > 0 from pg_locks where relation = 'post'::regclass and not granted"
