"""What every adapter does alike when it takes in what its peer wrote apart."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from cutover.errors import Inconclusive, Refused, SiteUnreachable
from cutover.model.change import Delete, Insert, Key, Row, Update
from cutover.model.merge import Kept, Settled
from cutover.model.position import Position
from cutover.ports.database import Aside, Merged, Place
from resilience_tests.contract.database.pair import (
    GUARD,
    LIKES,
    POSTS,
    REFERENCE,
    Pair,
    edit,
    like,
    pair_of,
    post,
)
from resilience_tests.contract.database.sites import merge

UPTO = Position("west", 1, 77)
ONE, TWO = post("1", "one").row, post("2", "two").row
KEPT = Kept(
    table=POSTS, key=("1",), row=post("1", "eins", 3).row, site="west", reason="both changed it", request="r"
)


@pytest.fixture(params=["memory", "postgres"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """East serves under epoch 1, with two posts and a like."""
    async with pair_of(request.param, request) as made:
        await made.east.open()
        await made.east.write(post("1", "one"), post("2", "two"), like("2", "ann"))
        yield made


def settled(key: str, expected: Row | None, row: Row | None, *kept: Kept) -> Settled:
    """What is settled of one post."""
    return Settled(table=POSTS, key=(key,), expected=expected, row=row, kept=kept)


LIKED = Settled(table=LIKES, key=("2", "ann"), expected=like("2", "ann").row, row=None)


async def unchanged(pair: Pair) -> bool:
    """Whether no merge left anything at east."""
    seen = await pair.east.site.look()
    return (
        await pair.east.contents(POSTS) == {("1",): ONE, ("2",): TWO}
        and await pair.east.contents(LIKES) == {("2", "ann"): like("2", "ann").row}
        and await pair.east.rows.merged() == []
        and (seen.kept, seen.applied) == (0, None)
    )


async def test_a_merge_writes_all_that_was_settled_as_this_sites_own_change(pair: Pair) -> None:
    await pair.catch_up()
    new = post("3", "three", 5).row
    wanted = [
        settled("1", ONE, edit("1", "uno").row, KEPT),
        settled("2", TWO, None),
        LIKED,
        settled("3", None, new),
        settled("9", None, None),
    ]
    assert not await merge(pair.east.site, wanted, upto=UPTO, guard=GUARD)
    assert await pair.east.contents(POSTS) == {("1",): edit("1", "uno").row, ("3",): new}
    seen = await pair.east.site.look()
    assert (seen.applied, seen.kept) == (UPTO, 1)
    assert await pair.east.applier.start() == UPTO
    places = [(one.table, one.key) for one in wanted]
    assert sorted(await pair.east.rows.merged()) == sorted(places)
    merged, mark = await pair.east.until_mark("merged")
    assert {type(change) for change in merged.changes} == {Insert, Update, Delete}
    assert not merged.foreign
    await pair.apply([merged, mark])
    assert await pair.same()
    await pair.east.site.forget_merged(guard=GUARD)
    assert await pair.east.rows.merged() == []
    assert len(await pair.east.site.quarantine()) == 1


async def test_a_row_that_was_set_aside_and_is_merged_is_not_set_aside_any_more(pair: Pair) -> None:
    await pair.catch_up()
    torn = [Aside(table=POSTS, key=(key,), reason="its object is missing") for key in ("3", "4")]
    await pair.east.write(post("3", "three"), post("4", "four"))
    await pair.apply(await pair.east.until_mark("aside"), aside=torn)
    await pair.west.open()
    whole = settled("3", None, post("3", "three").row)
    assert not await merge(pair.west.site, [whole], upto=UPTO, guard=GUARD)
    assert [row.key for row in await pair.west.applier.set_aside()] == [("4",)]


async def test_a_closed_site_or_one_without_a_lease_merges_nothing(pair: Pair) -> None:
    await pair.east.open(seconds=-1)
    with pytest.raises(Refused):
        await merge(pair.east.site, [settled("3", None, post("3", "x").row)], upto=UPTO, guard=GUARD)
    await pair.east.open()
    await pair.east.site.close(guard=GUARD)
    with pytest.raises(Refused):
        await merge(pair.east.site, [settled("1", ONE, ONE, KEPT)], upto=UPTO, guard=GUARD)
    assert await unchanged(pair)


NEW = post("3", "three").row


@pytest.mark.parametrize(
    ("wanted", "refused"),
    [
        ([settled("1", post("1", "before").row, NEW), settled("3", None, NEW, KEPT)], [("1",)]),
        ([settled("1", None, NEW)], [("1",)]),
        ([settled("8", NEW, None)], [("8",)]),
        ([settled("3", None, post("3", "one").row), settled("4", None, post("4", "four").row)], [("3",)]),
        ([settled("1", ONE, edit("1", "two").row)], [("1",)]),
        ([settled("2", TWO, None)], [("2",)]),
        ([Settled(table=LIKES, key=("8", "bob"), expected=None, row=like("8", "bob").row)], [("8", "bob")]),
    ],
    ids=[
        "a row that changed",
        "a row that came",
        "a row that went",
        "a value that is taken",
        "a value that is taken, of an update",
        "a parent with a child",
        "a child without a parent",
    ],
)
async def test_what_stands_in_the_way_is_named_and_nothing_is_changed(
    pair: Pair, wanted: list[Settled], refused: list[Key]
) -> None:
    found = await merge(pair.east.site, wanted, upto=UPTO, guard=GUARD)
    assert [row.key for row in found] == refused
    assert all(row.reason for row in found)
    assert await unchanged(pair)


async def test_a_merge_survives_a_power_cut_whole(pair: Pair) -> None:
    wanted = [settled("1", ONE, edit("1", "uno").row, KEPT), settled("3", None, NEW)]
    assert not await merge(pair.east.site, wanted, upto=UPTO, guard=GUARD)
    await pair.east.crash()
    seen = await pair.east.site.look()
    assert (seen.applied, seen.kept) == (UPTO, 1)
    assert len(await pair.east.rows.merged()) == 2
    await pair.east.open()
    assert not await merge(pair.east.site, (), upto=UPTO, guard=GUARD)
    assert len(await pair.east.rows.merged()) == 2


async def test_nobody_writes_to_the_rows_that_are_being_decided_on(pair: Pair) -> None:
    writers: list[asyncio.Task[None]] = []

    async def decide(there: Mapping[Place, Row]) -> Merged:
        assert there == {(POSTS, ("1",)): ONE}
        writers.append(asyncio.create_task(pair.east.write(edit("1", "by a user"))))
        await pair.east.write(edit("2", "of another row"))
        assert not writers[0].done()
        return Merged(settled=[settled("1", ONE, edit("1", "merged").row)], upto=UPTO)

    assert not await pair.east.site.merge([(POSTS, ("1",)), (POSTS, ("8",))], decide, guard=GUARD)
    await writers[0]
    rows = await pair.east.contents(POSTS)
    assert [row["title"] for _, row in sorted(rows.items())] == ["by a user", "of another row"]
    items = await pair.east.until_mark("all")
    titles = [
        change.row["title"]
        for item in items
        for change in item.changes
        if isinstance(change, Update) and change.key == ("1",)
    ]
    assert titles == ["merged", "by a user"]


async def test_a_merge_that_cannot_be_decided_changes_nothing_and_lets_go(pair: Pair) -> None:
    async def decide(_: Mapping[Place, Row]) -> Merged:
        raise SiteUnreachable("west", "it is gone again")

    with pytest.raises(SiteUnreachable, match="gone again"):
        await pair.east.site.merge([(POSTS, ("1",))], decide, guard=GUARD)
    assert await unchanged(pair)
    await pair.east.write(edit("1", "uno"))
    await pair.east.site.close(guard=GUARD)


async def test_a_power_cut_in_the_middle_of_a_merge_leaves_nothing_of_it(pair: Pair) -> None:
    async def decide(_: Mapping[Place, Row]) -> Merged:
        await pair.east.crash()
        return Merged(settled=[settled("1", ONE, edit("1", "uno").row, KEPT)], upto=UPTO)

    with pytest.raises((SiteUnreachable, Inconclusive)):
        await pair.east.site.merge([(POSTS, ("1",))], decide, guard=GUARD)
    assert await unchanged(pair)


async def test_a_kept_version_waits_until_somebody_decides(pair: Pair) -> None:
    gone = replace(KEPT, key=("2",), row=None)
    wanted = [settled("1", ONE, ONE, KEPT, gone), LIKED]
    assert not await merge(pair.east.site, wanted, upto=UPTO, guard=GUARD)
    await pair.east.crash()
    first, second = await pair.east.site.quarantine()
    assert (first.kept, second.kept) == (KEPT, gone)
    await pair.east.open()
    await pair.east.site.resolve(first.number, take=False)
    assert (await pair.east.contents(POSTS))["1",] == ONE
    await pair.east.site.resolve(second.number, take=True)
    assert ("2",) not in await pair.east.contents(POSTS)
    assert list(await pair.east.site.quarantine()) == []
    for take in (True, False):
        with pytest.raises(Refused, match=str(first.number)):
            await pair.east.site.resolve(first.number, take=take)


async def test_a_version_that_is_taken_is_written_over_what_stands_there_but_for_its_counters(
    pair: Pair,
) -> None:
    assert not await merge(pair.east.site, [settled("1", ONE, ONE, KEPT)], upto=UPTO, guard=GUARD)
    await pair.east.write(edit("1", "changed since", 1000))
    (one,) = await pair.east.site.quarantine()
    await pair.east.site.close(guard=GUARD)
    with pytest.raises(Refused):
        await pair.east.site.resolve(one.number, take=True)
    await pair.east.open()
    await pair.east.site.resolve(one.number, take=True)
    assert (await pair.east.contents(POSTS))["1",] == post("1", "eins", 1000).row
    await pair.catch_up()
    assert await pair.same()


async def test_a_version_that_is_taken_where_nothing_stands_brings_what_it_counted(pair: Pair) -> None:
    gone = replace(KEPT, key=("3",), row=post("3", "drei", 3).row)
    assert not await merge(pair.east.site, [settled("3", None, None, gone)], upto=UPTO, guard=GUARD)
    (one,) = await pair.east.site.quarantine()
    await pair.east.site.resolve(one.number, take=True)
    assert (await pair.east.contents(POSTS))["3",] == gone.row


async def test_who_refers_to_a_parent_is_named(pair: Pair) -> None:
    assert list(await pair.east.site.references()) == [REFERENCE]
    found = await pair.east.rows.referring(REFERENCE, [("1",), ("2",)])
    assert found == {("1",): [], ("2",): [("2", "ann")]}
