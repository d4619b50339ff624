"""Chunk and stream in order, snapshots, positions, and the brake."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cutover.engine.touched import Touched
from cutover.model.change import Delete, Insert, Transaction, Truncate, Update
from cutover.model.plan import Deletes, Gates
from cutover.model.position import XID_SPAN, Position, Snapshot
from cutover.protocol.copying import keys_touched, reason_to_brake, superseded
from resilience_tests.spec.protocol.worlds import PLAN

HERE = Position("db", 1, 10)
TABLE = "public.posts"


def transaction(*changes: Insert | Update | Delete | Truncate, request: str | None = None) -> Transaction:
    return Transaction(xid=7, position=HERE, changes=changes, request=request)


def test_a_row_whose_transaction_is_logged_and_not_yet_visible_is_not_overwritten_by_the_chunk() -> None:
    """Its commit record is in the log before readers see it, so two marks around the read would miss it."""
    snapshot = Snapshot(xmin=100, xmax=110, running=frozenset({105}))
    touched = [(("seen",), 104), (("running",), 105), (("later",), 110)]
    assert superseded(snapshot, touched) == {("running",), ("later",)}


@given(
    xmax=st.integers(min_value=3, max_value=XID_SPAN * 5),
    back=st.integers(min_value=1, max_value=XID_SPAN // 2 - 1),
)
def test_the_low_half_of_a_transaction_id_finds_its_snapshot_again(xmax: int, back: int) -> None:
    xid = max(0, xmax - back)
    snapshot = Snapshot(xmin=xmax, xmax=xmax)
    if xid > 0:
        assert snapshot.widen(xid % XID_SPAN) in (xid, xid % XID_SPAN)
        assert snapshot.sees(xid % XID_SPAN) == (snapshot.widen(xid % XID_SPAN) < xmax)


def test_transaction_ids_are_told_apart_across_a_wraparound() -> None:
    snapshot = Snapshot(xmin=XID_SPAN + 5, xmax=XID_SPAN + 10)
    assert snapshot.sees(XID_SPAN - 1)
    assert not snapshot.sees(12)
    assert snapshot.past(4)


def test_positions_of_different_logs_never_reach_each_other() -> None:
    assert Position("db", 1, 10).reaches(HERE)
    assert not Position("db", 1, 9).reaches(HERE)
    assert not Position("db", 2, 99).reaches(HERE)
    assert not Position("other", 1, 99).reaches(HERE)
    assert Position.parse(str(HERE)) == HERE


def test_a_changed_key_touches_both_rows() -> None:
    change = Update(TABLE, ("new",), {"id": "new"}, old_key=("old",))
    assert list(keys_touched(transaction(change))) == [(TABLE, ("new",)), (TABLE, ("old",))]


def test_the_brake_stops_a_truncate_and_too_many_deletes() -> None:
    few = replace(PLAN, gates=Gates(delete_rows=2))
    deletes = [Delete(TABLE, (str(n),)) for n in range(3)]
    assert reason_to_brake(few, transaction(*deletes[:2])) is None
    assert "deletes 3 rows" in str(reason_to_brake(few, transaction(*deletes)))
    assert "empties public.posts" in str(reason_to_brake(PLAN, transaction(Truncate((TABLE,)))))


@pytest.mark.parametrize(("request_id", "braked"), [(None, True), ("r-1", False)])
def test_where_the_plan_says_so_a_delete_without_a_request_is_stopped(
    request_id: str | None,
    braked: bool,  # noqa: FBT001 - pytest passes it by name
) -> None:
    strict = replace(PLAN, deletes=Deletes.REQUIRE_REQUEST)
    reason = reason_to_brake(strict, transaction(Delete(TABLE, ("1",)), request=request_id))
    assert (reason is not None) == braked


@given(applied=st.integers(1, 8), durable=st.integers(0, 8), visible=st.integers(0, 8))
def test_the_log_is_forgotten_only_where_it_is_both_durable_here_and_visible_there(
    applied: int, durable: int, visible: int
) -> None:
    """Either alone loses changes: those of a crash here, or those that a chunk read since does not show."""
    touched = Touched()
    for number in range(1, applied + 1):
        place = Position("db", 1, number)
        touched.note(Transaction(xid=100 + number, position=place, changes=(Delete(TABLE, (str(number),)),)))
    touched.saw(Snapshot(xmin=101 + visible, xmax=200))
    found = touched.confirmable(Position("db", 1, min(durable, applied)))
    assert (found.offset if found else 0) == min(durable, applied, visible)
