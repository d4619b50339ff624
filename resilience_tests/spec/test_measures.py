"""The figures of a drill are those that its clients saw."""

import io
from collections.abc import Iterator

import pytest

from drill.history import Event, History, HistoryWriter, Outcome, history_of
from drill.measures import longest_write_pause, measure
from drill.verdict import Finding, Verdict

Call = tuple[float, float, str, Outcome, int | None]
"""When it is sent, when it is over, what it is, how it ends, with which status."""


def ok(begins: float, ends: float, f: str = "upload") -> Call:
    return begins, ends, f, Outcome.OK, None


def timed_out(begins: float, ends: float, f: str = "upload") -> Call:
    return begins, ends, f, Outcome.UNKNOWN, None


def turned_down(begins: float, ends: float, f: str = "upload") -> Call:
    return begins, ends, f, Outcome.FAILED, 404


def happened(*calls: Call, fault_at: float | None = None) -> History:
    """Write the calls down in the order of their times."""
    clock = [0.0]
    writer = HistoryWriter(io.BytesIO(), lambda: clock[0])
    asked: dict[int, Event] = {}

    def lines() -> Iterator[Event]:
        moments = [(call[0], 1, number) for number, call in enumerate(calls)]
        moments += [(call[1], 0, number) for number, call in enumerate(calls)]
        moments += [(fault_at, 2, -1)] if fault_at is not None else []
        for t, what, number in sorted(moments):
            clock[0] = t
            if what == 2:
                yield writer.fault(name="kill", victim="east", point="drain", bite={"operations": 1})
                continue
            _, _, f, outcome, status = calls[number]
            if what == 1:
                asked[number] = writer.invoke(f"c{number}", f, key=None, value=None, request=f"r-{number}")
                yield asked[number]
            else:
                value = {"attempts": 2} if status is None else {"status": status}
                yield writer.complete(asked[number], outcome, value=value)

    return history_of(list(lines()))


@pytest.mark.parametrize(
    ("calls", "pause"),
    [
        ([ok(0, 1), ok(1.1, 1.2)], (1.1, 1.2)),
        ([ok(0, 1), ok(0.5, 3)], (1, 3)),
        ([ok(0, 1), timed_out(2, 2.5), timed_out(3, 4), ok(5, 6)], (2, 6)),
        ([ok(0, 1), turned_down(2, 2.5), ok(5, 6)], (5, 6)),
        ([ok(0, 1), ok(2, 9, "get"), ok(8, 8.5)], (8, 8.5)),
        ([ok(0, 1), ok(1.5, 2), timed_out(3, 9)], (1.5, 2)),
    ],
    ids=[
        "nobody tried in between",
        "somebody was waiting all the time",
        "trying began before it worked",
        "a refusal of its own is an answer",
        "a read is no write",
        "what never ended is no pause between two",
    ],
)
def test_the_write_pause_is_the_longest_wait_between_two_acknowledged_writes(
    calls: list[Call], pause: tuple[float, float]
) -> None:
    found = longest_write_pause(happened(*calls))
    assert found is not None
    assert (found.begins, found.ends) == pause


def test_without_two_acknowledged_writes_there_is_no_pause_to_tell() -> None:
    assert measure(happened(ok(0, 1))).write_pause_ms is None


def test_recovery_counts_from_the_fault_to_the_first_answer_of_each_journey() -> None:
    history = happened(
        ok(0, 1), timed_out(1.5, 4), ok(5, 6), ok(6, 6.1, "feed"), timed_out(7, 8, "comment"), fault_at=2
    )
    measured = measure(history)
    assert measured.rto_s == {"log_in": None, "upload": 4, "comment": None, "feed": 0.1}


def test_without_a_fault_there_is_nothing_to_recover_from() -> None:
    assert measure(happened(ok(0, 1), ok(1, 2))).rto_s == {}


def test_outcomes_and_attempts_are_counted() -> None:
    measured = measure(happened(ok(0, 1), timed_out(1, 2), turned_down(2, 3)))
    assert measured.operations == {"ok": 1, "failed": 1, "unknown": 1}
    assert measured.amplification == 2


def test_losses_are_those_that_the_checker_counted() -> None:
    counts = {"lost_posts": 2, "lost_cents": 250, "hidden_posts": 1, "hidden_ledger": 2}
    finding = Finding(checker="acknowledged", verdict=Verdict.VIOLATED, counts=counts)
    other = Finding(checker="converged", verdict=Verdict.VIOLATED, counts={"lost_posts": 9})
    measured = measure(happened(), [finding, other], lag_s=0.2)
    assert measured.rpo == {"posts": 2, "comments": 0, "cents": 250, "hidden": 3}
    assert measured.lag_s == 0.2
