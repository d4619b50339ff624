"""The merge of one row, over all that two sites can do to it apart."""

from itertools import product

import pytest

from cutover.model.change import UNCHANGED, Change, Delete, Insert, Row, Transaction, Update
from cutover.model.plan import MergeRule
from cutover.model.position import Position
from cutover.protocol.merging import Divergences, Scene, fold, settle, taken
from resilience_tests.spec.protocol.parted_rows import (
    BASE,
    NAME,
    PLACE,
    STATES,
    Case,
    Side,
    every_case,
    plan_with,
)

WAYS = [
    pytest.param(rule, counters, whole, id=f"{rule.value}{'-counters' * counters}{'-whole' * whole}")
    for rule in MergeRule
    for counters, whole in ((False, False), (False, True), (True, True))
]


def _survives(case: Case, side: Side) -> bool:
    """Whether a site's last version is visible, merged into what is, or kept whole."""
    version, visible = case.row_of(side), case.one.row
    if visible == version or any(lost.row == version for lost in case.one.kept):
        return True
    if version is None or visible is None:
        return version is None and case.base is None  # made and deleted again
    table, base = case.plan.tables[0], case.base
    changed = {column for column, value in version.items() if base is None or base[column] != value}
    if table.order is not None and STATES.index(str(visible["state"])) >= STATES.index(str(version["state"])):
        changed.discard("state")
    return all(visible[column] == version[column] for column in changed - {*table.counters})


@pytest.mark.parametrize(("rule", "counters", "whole"), WAYS)
def test_no_last_version_of_either_site_vanishes(
    *,
    rule: MergeRule,
    counters: bool,
    whole: bool,
) -> None:
    judged = 0
    for case in every_case(rule, counters=counters, whole=whole):
        judged += 1
        for side in (case.left, case.survivor):
            assert not side.deeds or _survives(case, side), f"{side.name}: {case} -> {case.one}"
    assert judged > 100


@pytest.mark.parametrize("rule", list(MergeRule))
def test_a_counter_is_what_it_was_and_both_differences(rule: MergeRule) -> None:
    for case in every_case(rule, counters=True, whole=True):
        visible = case.one.row
        rows = [case.row_of(side) for side in (case.left, case.survivor)]
        if visible is None or case.base is None or None in rows or _made_anew(case):
            continue
        sum_of_both = 5 + sum(int(str(row["n"])) - 5 for row in rows if row is not None)
        assert visible["n"] == str(sum_of_both), f"{case} -> {case.one}"


def _made_anew(case: Case) -> bool:
    return any(deed.verb == "make" for side in (case.left, case.survivor) for deed in side.deeds)


@pytest.mark.parametrize(("rule", "counters", "whole"), WAYS)
def test_a_users_edit_beats_a_delete_and_a_jobs_does_not(
    *,
    rule: MergeRule,
    counters: bool,
    whole: bool,
) -> None:
    judged = 0
    for case in every_case(rule, counters=counters, whole=whole):
        for side, other in ((case.left, case.survivor), (case.survivor, case.left)):
            version = case.row_of(side)
            if case.base is None or version is None or case.row_of(other) is not None or _made_anew(case):
                continue
            if not side.deeds:
                continue
            judged += 1
            _judge_an_edit_against_a_delete(case, side, version)
    assert judged > 10


def _judge_an_edit_against_a_delete(case: Case, side: Side, version: Row) -> None:
    visible, one = case.one.row, case.one
    if case.edited(side, by_user=True):
        assert visible is not None, f"{case} -> {one}"
        assert visible["text"] == version["text"], f"{case} -> {one}"
        assert any(lost.row is None for lost in one.kept), f"the delete is kept: {case} -> {one}"
    else:
        assert visible is None, f"{case} -> {one}"
        assert any(lost.row == version for lost in one.kept), f"{case} -> {one}"


@pytest.mark.parametrize(("rule", "counters", "whole"), WAYS)
def test_what_only_one_site_did_is_taken_as_it_is(
    *,
    rule: MergeRule,
    counters: bool,
    whole: bool,
) -> None:
    for case in every_case(rule, counters=counters, whole=whole):
        if not case.survivor.deeds:
            one = case.one
            assert one.row == case.row_of(case.left), f"{case} -> {one}"
            assert one.kept == (), f"{case} -> {one}"


def test_a_queue_never_moves_back() -> None:
    for case in every_case(MergeRule.QUEUE, counters=False, whole=False):
        visible, rows = case.one.row, [case.row_of(case.left), case.row_of(case.survivor)]
        if visible is None or None in rows:
            continue
        furthest = max(STATES.index(str(row["state"])) for row in rows if row is not None)
        if case.survivor.deeds and case.base is not None:
            assert STATES.index(str(visible["state"])) == furthest, f"{case} -> {case.one}"


HOSTILE = (
    None,
    UNCHANGED,
    "",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400000",
    "sNaN",
    "ß",
    "12345678901234567890.5",
)


@pytest.mark.parametrize("rule", list(MergeRule))
def test_no_value_of_a_row_stops_a_merge(rule: MergeRule) -> None:
    """A merge that raises would be tried again for ever."""
    plan = plan_with(rule, counters=True)
    for before, there, here in product(HOSTILE, repeat=3):
        rows: list[Row] = [{"id": "1", "text": x, "state": x, "n": x} for x in (before, there, here)]
        theirs, ours = _apart(rule, Update(NAME, ("1",), rows[1], old=rows[0]), Update(NAME, ("1",), rows[2]))
        scene = Scene(plan=plan, left="east", references=(), theirs=theirs, ours=ours, here={PLACE: rows[2]})
        (one,) = settle(scene)
        assert one.key == ("1",)


def _apart(rule: MergeRule, there: Change, here: Change) -> tuple[Divergences, Divergences]:
    theirs: Divergences = {}
    ours: Divergences = {}
    for seen, change in ((theirs, there), (ours, here)):
        at = Position("log", 1, 1)
        fold(plan_with(rule, counters=True), seen, Transaction(xid=1, position=at, changes=(change,)))
    return theirs, ours


def test_sums_keep_every_digit() -> None:
    old, new = "1" * 40 + ".25", "1" * 39 + "2.25"
    row: Row = {"id": "1", "text": "", "state": "", "n": "0.75"}
    there = Update(NAME, ("1",), {**row, "n": new}, old={**row, "n": old})
    theirs, ours = _apart(MergeRule.COUNTER, there, Update(NAME, ("1",), row, old=row))
    scene = Scene(
        plan=plan_with(MergeRule.COUNTER, counters=True),
        left="east",
        references=(),
        theirs=theirs,
        ours=ours,
        here={PLACE: {**row, "n": "9" * 40 + ".75"}},
    )
    (one,) = settle(scene)
    assert one.row is not None
    assert one.row["n"] == "1" + "0" * 40 + ".75"


def test_a_version_without_its_object_is_kept_and_what_it_counted_is_not() -> None:
    there, here = {**BASE, "text": "other bytes", "n": "8"}, {**BASE, "n": "15"}
    change, own = Update(NAME, ("1",), there, old=BASE), Update(NAME, ("1",), here, old=BASE)
    theirs, ours = _apart(MergeRule.COUNTER, change, own)
    scene = Scene(
        plan=plan_with(MergeRule.COUNTER, counters=True),
        left="east",
        references=(),
        theirs=theirs,
        ours=ours,
        here={PLACE: here},
        objects={PLACE: "it is gone"},
    )
    (one,) = settle(scene)
    assert one.row == {**BASE, "n": "18"}
    assert [(lost.row, lost.reason) for lost in one.kept] == [(there, "it is gone")]
    assert taken(scene.plan, one.kept[0], one.row) == {**there, "n": "18"}


def test_a_row_whose_key_changed_is_the_old_one_gone_and_the_new_one_made() -> None:
    old: Row = {"id": "1", "text": "one", "state": "", "n": "0"}
    new: Row = {"id": "2", "text": "one", "state": "", "n": "0"}
    theirs: Divergences = {}
    change = Update(NAME, ("2",), new, old_key=("1",), old=old)
    at = Position("log", 1, 1)
    plan = plan_with(MergeRule.RECORD, counters=True)
    fold(plan, theirs, Transaction(xid=1, position=at, changes=(change,), request="r"))
    scene = Scene(plan=plan, left="east", references=(), theirs=theirs, ours={}, here={PLACE: old})
    assert {one.key: one.row for one in settle(scene)} == {("1",): None, ("2",): new}
    back: Divergences = dict(theirs)
    undone = Update(NAME, ("1",), old, old_key=("2",), old=new)
    fold(plan, back, Transaction(xid=2, position=at, changes=(undone, Delete(NAME, ("9",), None))))
    fold(plan, back, Transaction(xid=3, position=at, changes=(Insert(NAME, ("9",), {**old, "id": "9"}),)))
    scene = Scene(plan=plan, left="east", references=(), theirs=back, ours={}, here={PLACE: old})
    assert {one.key: one.row for one in settle(scene) if one.changes} == {}
