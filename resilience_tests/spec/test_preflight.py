"""What preflight refuses, each by the name of the thing that must be mended."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from cutover.model.plan import MergeRule, ObjectOf, Plan, Table
from cutover.model.survey import (
    Column,
    ForeignKey,
    IdSequence,
    Kind,
    LongTransaction,
    Survey,
    TableSurvey,
    UniqueIndex,
)
from cutover.protocol.preflight import problems

PLAN = Plan(
    name="test",
    source="east",
    target="west",
    tables=(
        Table(
            name="post",
            key=("id",),
            merge=MergeRule.RECORD,
            counters=("views",),
            objects=(ObjectOf(key_column="file"),),
        ),
    ),
)
KEY = UniqueIndex(columns=("id",), primary=True, deferrable=False, partial=False)
ID = Column(name="id", type="bigint", nullable=False, generated=False)
IDS = IdSequence(name="public.post_id_seq", lowest=1, highest=32767, step=1, usable=True)
COLUMNS = (
    ID,
    Column(name="views", type="bigint", nullable=True, generated=False),
    Column(name="file", type="text", nullable=True, generated=False),
)
POST = TableSurvey(
    name="public.post",
    kind=Kind.TABLE,
    unlogged=False,
    inherits=False,
    row_security=False,
    admin_owns=True,
    applier_owns=True,
    has_rows=False,
    estimated_rows=0,
    columns=COLUMNS,
    indexes=(KEY,),
    foreign_keys=(),
    rules=(),
    always_triggers=(),
    sequences=(IDS,),
    publications=(),
    subscriptions=(),
)
EAST, WEST = (Survey(site=name, version=18, tables=(POST,)) for name in ("east", "west"))

SERVERS: Mapping[str, dict[str, object]] = {
    "PostgreSQL 13 is not supported": {"version": 13},
    "a standby": {"standby": True},
    "a connection pooler": {"pooled": True},
    "wal_level is replica": {"wal_level": "replica"},
    "fsync is off": {"settings_off": ("fsync",)},
    "synchronous_commit is off": {"settings_off": ("synchronous_commit",)},
    "no replication slot is free": {"slots_free": 0},
    "no walsender is free": {"walsenders_free": 0},
    "CREATE on the database is missing": {"missing_rights": ("CREATE on the database",)},
    "a schema `cutover` that is not ours": {"foreign_schema": True},
    "prepared transaction 'two-phase'": {"prepared": ("two-phase",)},
    "pid 17 in database 'other' has been in one transaction for 90 s": {
        "long_transactions": (LongTransaction(pid=17, database="other", seconds=90.2),)
    },
    "the encodings differ": {"encoding": "LATIN1"},
}
TABLES: Mapping[str, dict[str, object]] = {
    "is a partitioned table": {"kind": Kind.PARTITIONED},
    "is a foreign table": {"kind": Kind.FOREIGN},
    "is a view": {"kind": Kind.VIEW},
    "is unlogged": {"unlogged": True},
    "inherits": {"inherits": True},
    "row-level security": {"row_security": True},
    "cutover_admin lacks": {"admin_owns": False},
    "cutover_applier lacks": {"applier_owns": False},
    "it is not there": {"indexes": ()},
    "it is deferrable": {"indexes": (replace(KEY, deferrable=True),)},
    "it covers only some rows": {"indexes": (replace(KEY, partial=True),)},
    "'id' may be null": {"columns": (replace(ID, nullable=True), *COLUMNS[1:])},
    "'id' is generated": {"columns": (replace(ID, generated=True), *COLUMNS[1:])},
    "has no column 'file'": {"columns": COLUMNS[:2]},
    "has no column 'views'": {"columns": (ID, COLUMNS[2])},
    "the rule 'r'": {"rules": ("r",)},
    "the trigger 't' enabled for replicas": {"always_triggers": ("t",)},
    "public.post_id_seq, which counts down": {"sequences": (replace(IDS, step=-1),)},
    "public.post_id_seq, which cutover_admin may not": {"sequences": (replace(IDS, usable=False),)},
    "the sequence public.ids_of_posts at": {"sequences": (replace(IDS, name="public.ids_of_posts"),)},
    "the sequence public.post_id_seq at": {"sequences": ()},
    "the sequence public.post_id_seq gives out 1": {"sequences": (replace(IDS, highest=2147483647),)},
    "the publication 'p'": {"publications": ("p",)},
    "the subscription 's'": {"subscriptions": ("s",)},
    "leaves the plan (table public.person)": {
        "foreign_keys": (ForeignKey(name="f", table="public.post", refers_to="public.person"),)
    },
    "leaves the plan (table public.remark)": {
        "foreign_keys": (ForeignKey(name="f", table="public.remark", refers_to="public.post"),)
    },
    "column 'views' is": {"columns": (ID, replace(COLUMNS[1], type="integer"), COLUMNS[2])},
    "column 'more' is at": {"columns": (*COLUMNS, replace(ID, name="more"))},
}


def test_two_sites_that_fit_have_nothing_to_mend() -> None:
    assert problems(PLAN, EAST, WEST) == []


@pytest.mark.parametrize("expected", SERVERS)
@pytest.mark.parametrize("changed", ["east", "west"])
def test_a_server_that_cannot_carry_the_plan_is_told_why(expected: str, changed: str) -> None:
    found = found_with(changed, SERVERS[expected], {})
    assert any(expected in problem and repr(changed) in problem for problem in found), found
    assert all(problem.endswith(".") for problem in found)


@pytest.mark.parametrize("expected", TABLES)
@pytest.mark.parametrize("changed", ["east", "west"])
def test_a_table_that_cannot_be_moved_is_told_why(expected: str, changed: str) -> None:
    found = found_with(changed, {}, TABLES[expected])
    assert any(expected in problem and repr(changed) in problem for problem in found), found
    assert any("public.post" in problem for problem in found)
    assert all(problem.endswith(".") for problem in found)


def found_with(changed: str, server: Mapping[str, object], table: Mapping[str, object]) -> list[str]:
    """The problems of two fitting sites of which one is changed."""
    tables = (replace(POST, **table),)  # type: ignore[arg-type]
    sites = {site.site: site for site in (EAST, WEST)}
    sites[changed] = replace(sites[changed], **{"tables": tables, **server})  # type: ignore[arg-type]
    return problems(PLAN, sites["east"], sites["west"])


def test_a_target_that_has_rows_is_refused_and_a_source_that_has_some_is_not() -> None:
    full = (replace(POST, has_rows=True),)
    assert problems(PLAN, replace(EAST, tables=full), WEST) == []
    (problem,) = problems(PLAN, EAST, replace(WEST, tables=full))
    assert "public.post has rows already" in problem
    assert "cutover uninstall" not in problem


def test_rows_behind_the_fence_of_an_earlier_migration_are_taken_out_after_that() -> None:
    full = (replace(POST, has_rows=True),)
    (problem,) = problems(PLAN, EAST, replace(WEST, tables=full, installed=True))
    assert "run `cutover uninstall` with the plan of that one first, then empty it" in problem


def test_a_missing_table_is_named_once() -> None:
    (problem,) = problems(PLAN, EAST, replace(WEST, tables=()))
    assert "'west': table public.post is not there" in problem


def test_a_target_older_than_the_source_is_refused_and_a_newer_one_is_not() -> None:
    assert problems(PLAN, replace(EAST, version=16), WEST) == []
    (problem,) = problems(PLAN, EAST, replace(WEST, version=16))
    assert "newer than 16" in problem


def test_a_full_server_that_has_our_slot_already_is_not_refused() -> None:
    assert problems(PLAN, replace(EAST, slots_free=0, slot_ours=True), WEST) == []


def test_large_objects_matter_only_where_a_planned_table_could_name_one() -> None:
    with_objects = replace(EAST, large_objects=True)
    assert problems(PLAN, with_objects, WEST) == []
    columns = (*COLUMNS, replace(COLUMNS[1], name="lob", type="oid"))
    tables = (replace(POST, columns=columns),)
    (problem,) = problems(PLAN, replace(with_objects, tables=tables), replace(WEST, tables=tables))
    assert "large objects" in problem
