"""What preflight finds at a real server."""

import pytest

from cutover.adapters.postgres import survey as surveying
from cutover.adapters.postgres.survey import survey
from cutover.model.survey import ForeignKey, IdSequence, Kind, Survey, TableSurvey, UniqueIndex
from cutover.protocol.preflight import problems
from resilience_tests.contract.database.server import Database, Server
from resilience_tests.contract.database.sites import PLAN, PREPARED, TABLES, prepared


async def look(database: Database, site: str = "east") -> Survey:
    """Survey it as the admin."""
    return await survey(database.address("cutover_admin"), plan=PLAN, site=site)


async def post(database: Database) -> TableSurvey:
    """What a survey says of the table post."""
    found = (await look(database)).table("public.post")
    assert found is not None
    return found


async def test_two_plain_sites_have_nothing_to_mend(database: Database, peer: Database) -> None:
    await database.run(*TABLES, "insert into post values (1, 'x')")
    await peer.run(*TABLES)
    east, west = await look(database), await look(peer, "west")
    assert problems(PLAN, east, west) == []
    assert (east.version, east.wal_level, east.encoding) == (18, "logical", "UTF8")
    assert [(table.name, table.has_rows) for table in east.tables] == [
        ("public.post", True),
        ("public.video", False),
    ]


async def test_a_prepared_site_has_nothing_to_mend_either(database: Database, peer: Database) -> None:
    async with prepared(database) as east, prepared(peer, "west"):
        await east.keep_log(guard=PREPARED)
        found = await look(database)
        assert found.slot_ours
        assert problems(PLAN, found, await look(peer, "west")) == []


async def test_what_a_table_is_made_of_is_seen(database: Database) -> None:
    await database.run(
        "create table post (id bigint unique deferrable, title varchar(9), up text generated always as"
        " (upper(title)) stored)",
        "alter table post replica identity full, enable row level security",
        "create unique index part on post (title) where id > 0",
        "create rule r as on insert to post do nothing",
        "create table person (id bigint primary key)",
        "alter table post add author bigint references person",
        "create function f() returns trigger language plpgsql as 'begin return null; end'",
        "create trigger t after insert on post execute function f()",
        "create trigger always after insert on post execute function f()",
        "alter table post enable always trigger always",
        "create sequence s increment -1 owned by post.id",
    )
    await database.run("create publication p for all tables", role="postgres")
    found = await post(database)
    assert [(column.name, column.type, column.generated) for column in found.columns] == [
        ("id", "bigint", False),
        ("title", "character varying(9)", False),
        ("up", "text", True),
        ("author", "bigint", False),
    ]
    assert found.indexes == (
        UniqueIndex(columns=("id",), primary=False, deferrable=True, partial=False),
        UniqueIndex(columns=("title",), primary=False, deferrable=False, partial=True),
    )
    assert found.foreign_keys == (
        ForeignKey(name="post_author_fkey", table="public.post", refers_to="public.person"),
    )
    assert (found.rules, found.always_triggers, found.publications) == (("r",), ("always",), ("p",))
    assert found.sequences == (
        IdSequence(name="public.s", lowest=-(2**63), highest=-1, step=-1, usable=True),
    )
    assert found.row_security


async def test_a_sequence_that_was_renamed_at_one_site_is_named(database: Database, peer: Database) -> None:
    await database.run(*TABLES)
    await peer.run(*TABLES, "alter sequence video_id_seq rename to videos_id_seq")
    first, second = problems(PLAN, await look(database), await look(peer, "west"))
    assert "public.video_id_seq at 'east'" in first
    assert "public.videos_id_seq at 'west'" in second


async def test_a_sequence_that_no_column_owns_is_compared_and_must_be_ours_to_set(
    database: Database, peer: Database
) -> None:
    await database.run(*TABLES)
    await database.run("create sequence ids", "grant usage on sequence ids to platform", role="postgres")
    await database.run("alter table post alter id set default nextval('ids')")
    await peer.run(*TABLES)
    not_ours, not_there = problems(PLAN, await look(database), await look(peer, "west"))
    assert "public.ids, which cutover_admin may not read and set" in not_ours
    assert "public.ids at 'east' only" in not_there


async def test_what_kind_of_relation_a_name_stands_for_is_seen(database: Database) -> None:
    await database.run("create table post (id bigint primary key) partition by range (id)")
    assert (await post(database)).kind is Kind.PARTITIONED
    await database.run("drop table post", "create view post as select 1 as id")
    assert (await post(database)).kind is Kind.VIEW
    await database.run("drop view post", "create unlogged table post (id bigint primary key)")
    assert (await post(database)).unlogged
    await database.run("create table child () inherits (post)")
    assert (await post(database)).inherits
    await database.run("drop table post cascade")
    assert (await look(database)).table("public.post") is None


async def test_a_right_that_a_role_lacks_is_named(database: Database) -> None:
    await database.run(
        "revoke execute on function pg_replication_origin_drop(text) from cutover_admin",
        "revoke execute on function pg_replication_origin_session_setup(text) from cutover_applier",
        role="postgres",
    )
    await database.run("create table post (id bigint primary key)", role="postgres")
    assert (await look(database)).missing_rights == (
        "EXECUTE on pg_replication_origin_drop(text) for cutover_admin",
        "EXECUTE on pg_replication_origin_session_setup(text) for cutover_applier",
    )
    found = await post(database)
    assert not found.admin_owns
    assert not found.applier_owns


async def test_a_default_that_acknowledges_too_early_is_seen(database: Database) -> None:
    await database.run(f"alter database {database.name} set synchronous_commit = off", role="postgres")
    assert (await look(database)).settings_off == ("synchronous_commit",)


async def test_transactions_that_hold_a_slot_up_are_named_even_in_another_database(
    database: Database, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveying, "LONG_SECONDS", 0.0)
    other = server.fresh()
    async with other.session() as writer:
        await writer.execute("begin")
        await writer.execute("create table t ()")
        (found,) = (await look(database)).long_transactions
        assert (found.pid, found.database) == (writer.info.backend_pid, other.name)
        await writer.execute("prepare transaction 'held'")
        assert (await look(database)).prepared == ("held",)
        assert not (await look(database)).pooled
    server.drop(other)
