"""What the bytes of the log mean, message by message."""

from struct import pack

import pytest

from cutover.adapters.postgres.pgoutput import Decoder
from cutover.model.change import UNCHANGED, Delete, Insert, Row, Transaction, Truncate, Update
from cutover.model.position import Position
from resilience_tests.contract.database.link import plan_of, table

POSTS, OTHER = 7, 8
PLAN = plan_of(table("posts"))
SAME, NULL = object(), None


def text(value: str) -> bytes:
    return value.encode() + b"\0"


def relation(number: int, name: str, *columns: str) -> bytes:
    described = b"".join(b"\0" + text(column) + pack(">Ii", 25, -1) for column in columns)
    return (
        b"R" + pack(">I", number) + text("public") + text(name) + b"d" + pack(">H", len(columns)) + described
    )


def values(*given: object) -> bytes:
    return pack(">H", len(given)) + b"".join(map(value, given))


def value(given: object) -> bytes:
    if given is SAME:
        return b"u"
    if given is NULL:
        return b"n"
    encoded = str(given).encode()
    return b"t" + pack(">I", len(encoded)) + encoded


def message(prefix: str, content: str, *, flags: int = 1) -> bytes:
    return b"M" + pack(">BQ", flags, 99) + text(prefix) + pack(">I", len(content)) + content.encode()


def transaction(*messages: bytes, number: int = POSTS) -> Transaction:
    decoder = Decoder(PLAN, "77", 3, origin="cutover_west")
    begin, commit = b"B" + pack(">QqI", 0x50, 0, 4_000_000_000), b"C\0" + pack(">QQq", 0x48, 0x50, 0)
    for known in (relation(POSTS, "posts", "title", "id"), relation(OTHER, "other", "id"), begin, *messages):
        assert decoder.feed(1, known) is None
    ended = decoder.feed(1, commit)
    assert ended is not None
    return ended


def test_a_transaction_ends_at_the_end_of_its_commit_and_names_its_xid() -> None:
    ended = transaction()
    assert (ended.xid, ended.position) == (4_000_000_000, Position("77", 3, 0x50))
    assert (ended.changes, ended.foreign, ended.request, ended.mark) == ((), False, None, None)


def test_a_row_has_its_values_by_name_and_its_key_from_the_plan() -> None:
    ended = transaction(b"I" + pack(">I", POSTS) + b"N" + values("nüll\n", "5"))
    assert ended.changes == (Insert("public.posts", ("5",), {"title": "nüll\n", "id": "5"}),)


def test_null_is_not_the_empty_text() -> None:
    (first, second) = transaction(
        b"I" + pack(">I", POSTS) + b"N" + values(NULL, "5"),
        b"I" + pack(">I", POSTS) + b"N" + values("", "6"),
    ).changes
    assert isinstance(first, Insert)
    assert isinstance(second, Insert)
    assert (first.row["title"], second.row["title"]) == (None, "")


def test_tables_outside_the_plan_are_passed_over() -> None:
    assert transaction(b"I" + pack(">I", OTHER) + b"N" + values("5")).changes == ()
    assert transaction(b"T" + pack(">IBI", 1, 0, OTHER)).changes == ()
    assert transaction(b"T" + pack(">IBII", 2, 0, OTHER, POSTS)).changes == (Truncate(("public.posts",)),)


def test_a_large_value_that_did_not_change_is_left_out() -> None:
    ended = transaction(b"U" + pack(">I", POSTS) + b"N" + values(SAME, "5"))
    assert ended.changes == (Update("public.posts", ("5",), {"title": UNCHANGED, "id": "5"}),)


def test_a_whole_old_row_is_told_and_fills_in_what_was_left_out() -> None:
    old: Row = {"title": "long", "id": "5"}
    ended = transaction(b"U" + pack(">I", POSTS) + b"O" + values("long", "5") + b"N" + values(SAME, "5"))
    assert ended.changes == (Update("public.posts", ("5",), old, old=old),)
    ended = transaction(b"U" + pack(">I", POSTS) + b"O" + values("long", "5") + b"N" + values("a", "6"))
    assert ended.changes == (Update("public.posts", ("6",), {"title": "a", "id": "6"}, ("5",), old),)


def test_an_old_key_fills_in_key_columns_only() -> None:
    ended = transaction(b"U" + pack(">I", POSTS) + b"K" + values(NULL, "4") + b"N" + values(SAME, "5"))
    assert ended.changes == (Update("public.posts", ("5",), {"title": UNCHANGED, "id": "5"}, ("4",)),)
    ended = transaction(b"U" + pack(">I", POSTS) + b"K" + values(NULL, "4") + b"N" + values("a", SAME))
    assert ended.changes == (Update("public.posts", ("4",), {"title": "a", "id": "4"}),)


def test_a_delete_names_the_key_whether_the_whole_row_is_logged_or_not() -> None:
    ended = transaction(b"D" + pack(">I", POSTS) + b"K" + values(NULL, "5"))
    assert ended.changes == (Delete("public.posts", ("5",)),)
    ended = transaction(b"D" + pack(">I", POSTS) + b"O" + values("a", "5"))
    assert ended.changes == (Delete("public.posts", ("5",), {"title": "a", "id": "5"}),)


def test_a_row_without_its_key_is_an_error_and_not_another_row() -> None:
    with pytest.raises(ValueError, match=r"public\.posts"):
        transaction(b"D" + pack(">I", POSTS) + b"K" + values("a", NULL))


def test_requests_and_marks_travel_in_messages_of_the_transaction() -> None:
    ended = transaction(message("cutover.request", "r-1"), message("cutover.mark", "m-1"), message("x", "y"))
    assert (ended.request, ended.mark) == ("r-1", "m-1")
    ended = transaction(message("cutover.request", "r-1", flags=0))
    assert ended.request is None


def test_what_came_from_the_peer_is_foreign_and_brings_no_changes() -> None:
    origin = b"O" + pack(">Q", 5) + text("cutover_west")
    ended = transaction(
        origin, b"I" + pack(">I", POSTS) + b"N" + values("a", "5"), b"T" + pack(">IBI", 1, 0, POSTS)
    )
    assert (ended.foreign, ended.changes) == (True, ())


def test_what_came_from_elsewhere_is_carried_though_it_has_an_origin() -> None:
    origin = b"O" + pack(">Q", 5) + text("cutover_west2")
    ended = transaction(origin, b"I" + pack(">I", POSTS) + b"N" + values("a", "5"))
    assert (ended.foreign, len(ended.changes)) == (False, 1)


def test_a_message_of_another_protocol_version_is_refused_with_its_place() -> None:
    with pytest.raises(ValueError, match="AB1"):
        Decoder(PLAN, "77", 3, origin="cutover_west").feed(0xAB1, b"S" + pack(">IB", 1, 0))
