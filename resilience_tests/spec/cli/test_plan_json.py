"""The plan in entry 0 of a journal is read back as it was written, or not at all."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from cutover.model.plan import Deletes, Gates, Lease, MergeRule, ObjectOf, Plan, Table
from cutover.model.plan_json import plan_digest, plan_from_json, plan_to_json

POSTS = Table(
    name="posts",
    key=("id",),
    merge=MergeRule.RECORD,
    counters=("likes",),
    objects=(ObjectOf(key_column="object_key", bucket="videos", digest_column="sha256"),),
)
EARNINGS = Table(name="earnings", schema="money", key=("author", "at"), merge=MergeRule.APPEND)
PLAN = Plan(
    name="move",
    source="east",
    target="west",
    tables=(POSTS, EARNINGS),
    deletes=Deletes.REQUIRE_REQUEST,
    gates=Gates(lag_seconds=1.5, drain_seconds=9, drain_attempts=7, approve_cutover=True, delete_rows=5),
    lease=Lease(seconds=4, margin=0.5),
)

Edit = Callable[[dict[str, Any]], object]


def test_a_plan_comes_back_from_the_journal_as_it_went_in() -> None:
    assert plan_from_json(json.loads(json.dumps(plan_to_json(PLAN)))) == PLAN


def test_equal_plans_have_one_digest_however_their_numbers_are_spelled() -> None:
    assert plan_digest(replace(PLAN, lease=Lease(seconds=4.0, margin=0.5))) == plan_digest(PLAN)
    assert plan_digest(plan_from_json(plan_to_json(PLAN))) == plan_digest(PLAN)


def test_the_digest_of_a_plan_is_the_same_in_every_version() -> None:
    """A migration begun by an older version is carried on by this one, so this value never changes."""
    assert plan_digest(PLAN) == "d66fb79009ae2f271be9d33dee238befc0d5d2c8e1c461b8d1f02b18a1e8a033"


@pytest.mark.parametrize(
    "edited",
    [
        replace(PLAN, name="other"),
        replace(PLAN, source="west", target="east"),
        replace(PLAN, deletes=Deletes.RECORD_TRANSACTION),
        replace(PLAN, gates=replace(PLAN.gates, approve_cutover=False)),
        replace(PLAN, lease=replace(PLAN.lease, margin=0.25)),
        replace(PLAN, tables=(EARNINGS, POSTS)),
        replace(PLAN, tables=(replace(POSTS, key=("uid",)), EARNINGS)),
        replace(PLAN, tables=(replace(POSTS, merge=MergeRule.QUEUE), EARNINGS)),
        replace(PLAN, tables=(replace(POSTS, counters=()), EARNINGS)),
        replace(PLAN, tables=(replace(POSTS, objects=()), EARNINGS)),
        replace(PLAN, tables=(POSTS, replace(EARNINGS, schema="public"))),
    ],
)
def test_an_edited_plan_has_another_digest(edited: Plan) -> None:
    assert plan_digest(edited) != plan_digest(PLAN)


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (lambda data: data.update(schema=2), "plan.schema"),
        (lambda data: data.update(schema=True), "plan.schema"),
        (lambda data: data.update(extra=1), "unknown key 'extra'"),
        (lambda data: data.pop("tables"), "'tables' is missing"),
        (lambda data: data.update(name=None), "plan.name"),
        (lambda data: data.update(deletes="never"), "plan.deletes"),
        (lambda data: data.update(tables={}), "plan.tables"),
        (lambda data: data["tables"].append(3), "plan.tables[2]"),
        (lambda data: data["tables"][0].update(key=[1]), "plan.tables[0].key"),
        (lambda data: data["tables"][0]["objects"][0].pop("bucket"), "plan.tables[0].objects[0]"),
        (lambda data: data["gates"].update(lag_seconds=float("inf")), "plan.gates.lag_seconds"),
        (lambda data: data["gates"].update(drain_attempts=1.5), "plan.gates.drain_attempts"),
        (lambda data: data["gates"].update(approve_cutover=1), "plan.gates.approve_cutover"),
        (lambda data: data["lease"].update(seconds="3"), "plan.lease.seconds"),
    ],
)
def test_a_foreign_plan_is_refused_and_the_place_is_named(edit: Edit, place: str) -> None:
    data = json.loads(json.dumps(plan_to_json(PLAN)))
    edit(data)
    with pytest.raises(ValueError, match=r"^plan") as refused:
        plan_from_json(data)
    assert place in str(refused.value)


@pytest.mark.parametrize("data", [None, [], "plan", 3])
def test_what_is_no_object_is_no_plan(data: object) -> None:
    with pytest.raises(ValueError, match="an object is needed"):
        plan_from_json(data)
