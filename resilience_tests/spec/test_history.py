"""What is written about a drill can be read back, also when its writer was killed."""

import io
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drill.history import (
    HistoryBroken,
    HistoryWriter,
    Kind,
    Outcome,
    history_of,
    pair,
    read_history,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def written(sink: io.BytesIO) -> HistoryWriter:
    ticks = count()
    return HistoryWriter(sink, lambda: next(ticks) / 10)


def tell(writer: HistoryWriter) -> None:
    """Two clients, a fault that bites, and one call that nobody answers."""
    writer.move(stage="backfill", direction="forward", actions=["copy_rows"], entry=3)
    upload = writer.invoke("client-1", "upload", key="p-1", value={"title": "ä\udcff"}, request="r-1")
    like = writer.invoke("client-2", "like", key="p-1", value={"user": "ann"}, request="r-2")
    writer.fault(name="kill", victim="east", point="backfill/copy_rows:during", bite={"operations": 2})
    writer.complete(like, Outcome.FAILED)
    writer.heal(name="kill", victim="east")
    writer.complete(upload, Outcome.OK, value={"post": "p-1"}, site="east", epoch=1)
    writer.invoke("client-2", "get", key="p-1", value=None, request="r-3")


def test_a_history_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    sink = io.BytesIO()
    tell(written(sink))
    path = tmp_path / "history.jsonl"
    path.write_bytes(sink.getvalue())
    events = read_history(path)
    assert b"".join(event.line() for event in events) == sink.getvalue()
    history = history_of(events)
    assert [operation.outcome for operation in history.operations] == [
        Outcome.OK,
        Outcome.FAILED,
        Outcome.UNKNOWN,
    ]
    upload = history.of("upload")[0]
    assert upload.asked["title"] == "ä\udcff"
    assert (upload.answered["post"], upload.begins, upload.ends) == ("p-1", 1, 6)
    assert (history.moves[0].stage, history.moves[0].actions, history.moves[0].entry) == (
        "backfill",
        ("copy_rows",),
        3,
    )
    assert history.faults[0].bite == {"operations": 2}
    assert (history.heals[0].victim, history.heals[0].t) == ("east", 0.5)


def test_equal_drills_write_equal_bytes() -> None:
    first, second = io.BytesIO(), io.BytesIO()
    tell(written(first))
    tell(written(second))
    assert first.getvalue() == second.getvalue()


@given(value=st.dictionaries(st.text(), JSON), key=st.none() | st.text())
def test_whatever_a_line_says_it_is_one_line_of_ascii(value: dict[str, object], key: str | None) -> None:
    sink = io.BytesIO()
    event = written(sink).invoke("client-1", "upload", key=key, value=value, request="r")
    assert sink.getvalue().isascii()
    assert sink.getvalue().count(b"\n") == 1
    assert sink.getvalue() == event.line()


def test_the_order_of_the_keys_of_a_value_does_not_show() -> None:
    one, other = io.BytesIO(), io.BytesIO()
    written(one).invoke("c", "like", key="p", value={"a": 1, "b": 2}, request="r")
    written(other).invoke("c", "like", key="p", value={"b": 2, "a": 1}, request="r")
    assert one.getvalue() == other.getvalue()


def test_an_invoke_has_left_the_process_before_the_call_does(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    with path.open("wb") as file:
        writer = HistoryWriter(file, lambda: 0.0)
        writer.invoke("client-1", "upload", key="p-1", value=None, request="r-1")
        assert [event.f for event in read_history(path)] == ["upload"]


def test_a_line_that_a_killed_writer_left_half_written_is_left_out(tmp_path: Path) -> None:
    sink = io.BytesIO()
    tell(written(sink))
    path = tmp_path / "history.jsonl"
    path.write_bytes(sink.getvalue()[:-20])
    assert len(read_history(path)) == 7


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_bytes(b'{"n":0}\n')
    with pytest.raises(HistoryBroken, match="line 1"):
        read_history(path)


@pytest.mark.parametrize("kept", [(0, 2), (1, 2), (0, 1, 1, 2)])
def test_a_history_with_lines_lost_or_put_in_is_broken(tmp_path: Path, kept: tuple[int, ...]) -> None:
    """An acknowledgement that is gone from it would be a promise that nobody looks at."""
    sink = io.BytesIO()
    writer = written(sink)
    writer.complete(writer.invoke("client-1", "like", key="p-1", value=None, request="r-1"), Outcome.OK)
    writer.heal(name="kill", victim="source")
    lines = sink.getvalue().splitlines(keepends=True)
    path = tmp_path / "history.jsonl"
    path.write_bytes(b"".join(lines[n] for n in kept))
    with pytest.raises(HistoryBroken, match="lost or put in"):
        read_history(path)


def test_a_client_that_gave_up_waiting_and_went_on_leaves_an_open_operation() -> None:
    sink = io.BytesIO()
    writer = written(sink)
    lost = writer.invoke("client-1", "like", key="p-1", value=None, request="r-1")
    following = writer.invoke("client-1", "like", key="p-2", value=None, request="r-2")
    done = writer.complete(following, Outcome.OK)
    first, second = pair([lost, following, done])
    assert first.outcome is Outcome.UNKNOWN
    assert first.possible
    assert not first.ok
    assert second.ok


def test_an_answer_that_nobody_asked_for_is_refused() -> None:
    writer = written(io.BytesIO())
    asked = writer.invoke("client-1", "like", key="p-1", value=None, request="r-1")
    answer = writer.complete(asked, Outcome.OK)
    with pytest.raises(ValueError, match="r-1"):
        pair([answer])
    assert answer.type is Kind.OK
