"""What a site wrote while its peer served comes home in one transaction of the peer, or not at all."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace

import pytest

from cutover.adapters.postgres import merging
from cutover.adapters.postgres.rows import PostgresRows
from cutover.errors import Refused, SiteUnreachable, StaleTerm
from cutover.model.action import Guard
from cutover.model.change import Delete, Insert, Key, Row, Update
from cutover.model.merge import Kept, Reference, Settled
from cutover.model.position import Position
from cutover.ports.database import Merged, Place
from resilience_tests.contract.database.link import GUARD, Link, following, plan_of, table
from resilience_tests.contract.database.server import Database
from resilience_tests.contract.database.sites import merge, site_of

SCHEMA = (
    "create table authors (id bigint primary key, name text unique, at timestamptz, data bytea)",
    "create table posts (id bigint generated always as identity primary key, author bigint references authors"
    " on delete cascade, title text check (title <> 'bad'), views int not null default 0,"
    " size int generated always as (length(title)) stored)",
    "create table heard (what text)",
    "create function hear() returns trigger language plpgsql as"
    " $$ begin insert into heard values (tg_op || ' ' || tg_table_name); return null; end $$",
    "create trigger hears after insert or update or delete on authors for each row execute function hear()",
)
PLAN = plan_of(table("authors"), table("posts"))
ANN: Row = {"id": "1", "name": "ann", "at": "2026-01-02 03:04:05+00", "data": "\\x00ff"}
BOB: Row = {"id": "2", "name": "bob", "at": None, "data": None}
FILLED = (
    "insert into authors values (1, 'ann', '2026-01-02 03:04:05Z', '\\x00ff'), (2, 'bob', null, null)",
    "insert into posts (author, title) values (1, 'one'), (2, 'two')",
    "delete from heard",
)
UPTO = Position("7", 1, 4096)
LATER = Guard(2, 0)


@pytest.fixture
async def link(database: Database, peer: Database) -> AsyncIterator[Link]:
    """`there` (east) serves under epoch 1, and `here` reads its log."""
    async with following(PLAN, database, peer, schema=SCHEMA, filled=FILLED) as made:
        async with site_of(peer, plan=PLAN) as east:
            await east.open(epoch=1, started=await east.instant(), seconds=600, guard=GUARD)
        yield made


def author(number: int, expected: Row | None, row: Row | None, *kept: Kept) -> Settled:
    """What is settled of one author."""
    return Settled(table="public.authors", key=(str(number),), expected=expected, row=row, kept=kept)


def post(number: int, expected: Row | None, row: Row | None) -> Settled:
    """What is settled of one post."""
    return Settled(table="public.posts", key=(str(number),), expected=expected, row=row)


def post_row(number: int, author: int | None, title: str) -> Row:
    """A post that nobody has seen."""
    by = None if author is None else str(author)
    return {"id": str(number), "author": by, "title": title, "views": "0"}


CYD: Row = {"id": "3", "name": "cyd", "at": "2026-05-06 07:08:09.5+00", "data": ""}
LOST = Kept(
    table="public.authors",
    key=("1",),
    row={"id": "1", "name": 'anna \\ "x" é', "at": None, "data": "\\x01"},
    site="west",
    reason="both sites changed it",
    request="request-9",
)


async def test_a_merge_is_one_transaction_of_this_site_in_its_log(link: Link, peer: Database) -> None:
    settled = [
        author(3, None, CYD),
        author(1, ANN, {**ANN, "name": "anne"}),
        post(9, None, post_row(9, 3, "nine")),
        post(2, post_row(2, 2, "two"), None),
        author(2, BOB, BOB),
    ]
    async with site_of(peer, plan=PLAN) as east:
        assert not await merge(east, settled, upto=UPTO, guard=GUARD)
        assert (await east.look()).applied == UPTO
    (merged, _) = await link.until_mark("merged")
    assert not merged.foreign
    assert [(type(change), change.key) for change in merged.changes] == [  # type: ignore[union-attr]
        (Delete, ("2",)),
        (Update, ("1",)),
        (Insert, ("3",)),
        (Insert, ("9",)),
    ]
    assert await peer.rows("select * from heard") == []
    assert await peer.rows("select id, title, size from posts order by 1") == [(1, "one", 3), (9, "nine", 4)]
    assert await link.rows.rows_of("public.authors", [("1",), ("3",), ("8",)]) == {
        ("1",): {**ANN, "name": "anne"},
        ("3",): CYD | {"data": "\\x"},
    }


async def test_what_was_merged_is_remembered_until_the_peer_follows_again(link: Link, peer: Database) -> None:
    async with site_of(peer, plan=PLAN) as east:
        assert await link.rows.merged() == []
        assert await merge(east, [author(1, ANN, ANN), post(1, None, None)], upto=UPTO, guard=GUARD)
        assert await link.rows.merged() == []
        await merge(east, [author(1, ANN, ANN), post(7, None, None)], upto=UPTO, guard=GUARD)
        assert await link.rows.merged() == [("public.authors", ("1",)), ("public.posts", ("7",))]
        await east.forget_merged(guard=GUARD)
        assert await link.rows.merged() == []


async def test_where_nothing_is_ours_nothing_was_merged_and_nothing_is_kept(database: Database) -> None:
    rows = PostgresRows(database.address("cutover_admin"), site="east", plan=PLAN)
    assert await rows.merged() == []
    await rows.close_connections()
    async with site_of(database, plan=PLAN) as east:
        assert list(await east.quarantine()) == []


async def test_a_row_that_was_changed_meanwhile_stops_the_whole_merge(link: Link, peer: Database) -> None:
    settled = [author(3, None, CYD, LOST), author(1, ANN, {**ANN, "name": "anne"}), author(2, None, BOB)]
    await peer.run("update authors set name = 'ANN' where id = 1")
    async with site_of(peer, plan=PLAN) as east:
        refused = await merge(east, settled, upto=UPTO, guard=GUARD)
        assert [(row.table, row.key) for row in refused] == [
            ("public.authors", ("1",)),
            ("public.authors", ("2",)),
        ]
        assert {row.reason for row in refused} == {merging.CHANGED_MEANWHILE}
        await nothing_was_changed(link, peer)


async def nothing_was_changed(link: Link, peer: Database) -> None:
    """Neither rows nor records nor the log know of a merge."""
    assert await peer.rows("select count(*) from authors") == [(2,)]
    assert await peer.rows("select count(*) from posts") == [(2,)]
    for name in ("applied", "quarantine", "merged"):
        assert await peer.rows(f"select * from cutover.{name}") == []
    assert await link.rows.merged() == []


TWO = post_row(2, 2, "two")


@pytest.mark.parametrize(
    ("settled", "refused"),
    [
        ([author(3, None, {**CYD, "name": "ann"})], {"3": "23505"}),
        ([author(1, ANN, {**ANN, "name": "bob"}), author(3, None, CYD)], {"1": "authors_name_key"}),
        ([post(2, TWO, {**TWO, "title": "bad"}), post(4, None, post_row(4, 1, "bad"))], {"2": "", "4": ""}),
        ([post(4, None, {**post_row(4, 1, "x"), "views": None})], {"4": "23502"}),
        ([post(4, None, post_row(4, 8, "x"))], {"4": "foreign key posts_author_fkey"}),
        ([post(2, TWO, {**TWO, "author": "8"})], {"2": "foreign key posts_author_fkey"}),
        ([author(2, BOB, None)], {"2": "rows of public.posts refer to it"}),
        ([author(2, BOB, None), post(4, None, post_row(4, 2, "x"))], {"4": "not there", "2": "refer"}),
    ],
    ids=[
        "a value that is taken",
        "a value that is taken, of an update",
        "a check",
        "a null",
        "no parent",
        "no parent, of an update",
        "a parent that is still referred to",
        "a parent that goes while a child comes",
    ],
)
async def test_a_row_that_a_constraint_refuses_comes_back_with_the_reason(
    link: Link, peer: Database, settled: list[Settled], refused: dict[str, str]
) -> None:
    async with site_of(peer, plan=PLAN) as east:
        found = await merge(east, settled, upto=UPTO, guard=GUARD)
    assert sorted(row.key for row in found) == sorted((key,) for key in refused)
    assert all(refused[row.key[0]] in row.reason for row in found)
    await nothing_was_changed(link, peer)


async def test_what_one_row_frees_another_may_take_and_families_come_and_go_together(
    link: Link, peer: Database
) -> None:
    settled = [
        author(3, None, {**CYD, "name": "bob"}),
        author(2, BOB, None),
        post(2, TWO, None),
        post(4, None, post_row(4, 3, "four")),
        post(5, None, post_row(5, None, "nobody's")),
    ]
    async with site_of(peer, plan=PLAN) as east:
        assert not await merge(east, settled, upto=UPTO, guard=GUARD)
    assert await peer.rows("select id, author from posts order by 1") == [(1, 1), (4, 3), (5, None)]


async def test_a_closed_site_merges_nothing_even_when_there_is_nothing_to_write(
    link: Link, peer: Database
) -> None:
    async with site_of(peer, plan=PLAN) as east:
        await east.close(guard=GUARD)
        for settled in ([author(3, None, CYD)], [author(1, ANN, ANN, LOST)], []):
            with pytest.raises(Refused, match="takes no writes"):
                await merge(east, settled, upto=UPTO, guard=GUARD)
        await nothing_was_changed(link, peer)


async def test_a_site_whose_lease_is_over_merges_nothing(link: Link, peer: Database) -> None:
    async with site_of(peer, plan=PLAN) as east:
        await east.renew_lease(epoch=1, started=await east.instant(), seconds=-1)
        with pytest.raises(Refused, match="takes no writes"):
            await merge(east, [author(3, None, CYD)], upto=UPTO, guard=GUARD)
        await nothing_was_changed(link, peer)


async def test_a_merge_of_an_older_coordinator_is_refused(link: Link, peer: Database) -> None:
    async with site_of(peer, plan=PLAN) as east:
        await east.forget_merged(guard=LATER)
        with pytest.raises(StaleTerm):
            await merge(east, [author(3, None, CYD)], upto=UPTO, guard=GUARD)
        with pytest.raises(StaleTerm):
            await east.forget_merged(guard=GUARD)
        await nothing_was_changed(link, peer)


async def test_a_row_that_comes_or_changes_while_others_are_decided_on_stops_the_merge(
    link: Link, peer: Database
) -> None:
    async def decide(there: Mapping[Place, Row]) -> Merged:
        assert there == {("public.authors", ("1",)): ANN}
        await peer.run(
            "insert into authors values (3, 'first')", "update authors set name = 'Bob' where id = 2"
        )
        return Merged(settled=[author(3, None, CYD, LOST), author(2, BOB, None)], upto=UPTO)

    places = [("public.authors", ("1",)), ("public.authors", ("3",))]
    async with site_of(peer, plan=PLAN) as east:
        refused = await east.merge(places, decide, guard=GUARD)
        assert [row.key for row in refused] == [("3",), ("2",)]
        assert (await east.look()).kept == 0
    assert await peer.rows("select name from authors order by id") == [("ann",), ("Bob",), ("first",)]


async def test_rows_do_not_stay_locked_when_whoever_merges_falls_silent(
    link: Link, peer: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        merging, "_SESSION", (*merging._SESSION, "set idle_in_transaction_session_timeout = 100")
    )

    async def silent(_: Mapping[Place, Row]) -> Merged:
        await peer.run("update authors set name = 'ANN' where id = 1")
        return Merged(settled=[author(3, None, CYD)], upto=UPTO)

    async with site_of(peer, plan=PLAN) as east:
        with pytest.raises(SiteUnreachable):
            await east.merge([("public.authors", ("1",))], silent, guard=GUARD)
        await nothing_was_changed(link, peer)


async def test_how_far_the_peers_log_is_in_outlives_a_crash(link: Link, peer: Database) -> None:
    async with site_of(peer, plan=PLAN) as east:
        await merge(east, [author(3, None, CYD)], upto=UPTO, guard=GUARD)
        peer.server.restart()
        assert (await east.look()).applied == UPTO
        await east.follow(backfill=False, guard=GUARD, rejoin=True)
        assert (await east.look()).applied == UPTO


async def test_a_merge_waits_for_the_user_who_holds_a_row_and_sees_what_he_did(
    link: Link, peer: Database
) -> None:
    async with site_of(peer, plan=PLAN) as east, peer.session() as user:
        async with user.transaction():
            await user.execute("update authors set name = 'ANN' where id = 1")
            merging_now = asyncio.create_task(
                merge(east, [author(1, ANN, {**ANN, "name": "anne"})], upto=UPTO, guard=GUARD)
            )
            await peer.until("select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'")
        assert [row.key for row in await merging_now] == [("1",)]
        assert await peer.rows("select name from authors where id = 1") == [("ANN",)]


async def test_a_child_that_a_user_adds_while_its_parent_is_merged_away_is_seen(
    link: Link, peer: Database
) -> None:
    await peer.run("delete from posts where id = 2")
    async with site_of(peer, plan=PLAN) as east, peer.session() as user:
        async with user.transaction():
            await user.execute("insert into posts (author, title) values (2, 'new')")
            merging_now = asyncio.create_task(merge(east, [author(2, BOB, None)], upto=UPTO, guard=GUARD))
            await peer.until("select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'")
        (refused,) = await merging_now
        assert "refer to it" in refused.reason
        assert await peer.rows("select count(*) from authors") == [(2,)]


async def test_a_parent_that_a_user_deletes_while_its_child_is_merged_in_is_missed(
    link: Link, peer: Database
) -> None:
    await peer.run("delete from posts where id = 2")
    async with site_of(peer, plan=PLAN) as east, peer.session() as user:
        async with user.transaction():
            await user.execute("delete from authors where id = 2")
            merging_now = asyncio.create_task(
                merge(east, [post(4, None, post_row(4, 2, "late"))], upto=UPTO, guard=GUARD)
            )
            await peer.until("select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'")
        (refused,) = await merging_now
        assert "is not there" in refused.reason
        assert await peer.rows("select id, author from posts") == [(1, 1)]


async def test_a_row_that_is_held_for_too_long_makes_the_merge_try_later(
    link: Link, peer: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(merging, "_SESSION", ("set lock_timeout = 100",))
    async with site_of(peer, plan=PLAN) as east, peer.session() as user, user.transaction():
        await user.execute("update authors set name = 'ANN' where id = 1")
        with pytest.raises(SiteUnreachable):
            await merge(east, [author(1, ANN, None)], upto=UPTO, guard=GUARD)


async def test_a_close_waits_for_the_merge_that_is_under_way(link: Link, peer: Database) -> None:
    async with site_of(peer, plan=PLAN) as east, peer.session() as user:
        async with user.transaction():
            await user.execute("update authors set name = name where id = 2")
            merging_now = asyncio.create_task(
                merge(east, [author(2, BOB, {**BOB, "name": "Bob"})], upto=UPTO, guard=GUARD)
            )
            await peer.until("select count(*) > 0 from pg_stat_activity where wait_event_type = 'Lock'")
            close = asyncio.create_task(east.close(guard=GUARD))
        assert not await merging_now
        end = await close
        assert (await east.look()).end.reaches(end)
        changes = [change for item in await link.until_mark("closed") for change in item.changes]
        assert [type(change) for change in changes][-1] is Update


# -- what is kept ------------------------------------------------------------------------------


async def kept_by(link: Link, peer: Database, *versions: Kept) -> None:
    """Merge nothing but what is to be kept."""
    async with site_of(peer, plan=PLAN) as east:
        assert not await merge(east, [author(1, ANN, ANN, *versions)], upto=UPTO, guard=GUARD)


async def test_a_kept_version_is_listed_whole_until_somebody_decided(link: Link, peer: Database) -> None:
    deleted = replace(LOST, row=None, request=None, key=("2",))
    await kept_by(link, peer, LOST, deleted)
    async with site_of(peer, plan=PLAN) as east:
        first, second = await east.quarantine()
        assert (first.kept, second.kept) == (LOST, deleted)
        assert (await east.look()).kept == 2
        await east.resolve(first.number, take=False)
        assert [one.number for one in await east.quarantine()] == [second.number]
        await east.forget_merged(guard=GUARD)
        assert (await east.look()).kept == 1
        assert await peer.rows("select decided from cutover.quarantine order by number") == [
            ("left",),
            (None,),
        ]


async def test_a_version_that_is_taken_stands_there_and_the_peer_hears_of_it(
    link: Link, peer: Database
) -> None:
    gone = replace(LOST, table="public.posts", key=("2",), row=None)
    back = replace(LOST, key=("3",), row=dict(CYD))
    await kept_by(link, peer, LOST, gone, back)
    async with site_of(peer, plan=PLAN) as east:
        for one in await east.quarantine():
            await east.resolve(one.number, take=True)
        assert list(await east.quarantine()) == []
    assert await peer.rows("select name, data from authors order by id") == [
        ('anna \\ "x" é', b"\x01"),
        ("bob", None),
        ("cyd", b""),
    ]
    assert await peer.rows("select id from posts") == [(1,)]
    seen = [(change.table, change.key) for item in await link.until_mark("x") for change in item.changes]  # type: ignore[union-attr]
    assert seen[-3:] == [("public.authors", ("1",)), ("public.posts", ("2",)), ("public.authors", ("3",))]
    assert await peer.rows("select * from heard") == []


@pytest.mark.parametrize("take", [True, False])
async def test_a_number_that_is_unknown_or_decided_is_refused_by_name(
    link: Link, peer: Database, *, take: bool
) -> None:
    await kept_by(link, peer, LOST)
    async with site_of(peer, plan=PLAN) as east:
        (one,) = await east.quarantine()
        with pytest.raises(Refused, match=f"number {one.number + 1}"):
            await east.resolve(one.number + 1, take=take)
        await east.resolve(one.number, take=True)
        with pytest.raises(Refused, match=f"number {one.number}"):
            await east.resolve(one.number, take=take)


async def test_a_version_that_cannot_stand_there_stays_in_quarantine(link: Link, peer: Database) -> None:
    taken = replace(LOST, row={**ANN, "name": "bob"})
    parent = replace(LOST, row=None)
    await kept_by(link, peer, taken, parent)
    async with site_of(peer, plan=PLAN) as east:
        first, second = await east.quarantine()
        with pytest.raises(Refused, match="authors_name_key"):
            await east.resolve(first.number, take=True)
        with pytest.raises(Refused, match=r"rows of public\.posts refer to it"):
            await east.resolve(second.number, take=True)
        await east.close(guard=GUARD)
        with pytest.raises(Refused, match="takes no writes"):
            await east.resolve(first.number, take=True)
        assert (await east.look()).kept == 2


# -- what a merge is decided on ----------------------------------------------------------------


async def test_rows_are_read_as_the_log_carries_them(link: Link, peer: Database) -> None:
    await peer.run(f"alter database {peer.name} set DateStyle = 'German'")
    await peer.run("update authors set name = name", "update posts set title = title")
    changes = [change for item in await link.until_mark("x") for change in item.changes]
    for name in ("public.authors", "public.posts"):
        logged: dict[Key, Row] = {
            change.key: change.row
            for change in changes
            if isinstance(change, Update) and change.table == name
        }
        assert len(logged) == 2
        assert await link.rows.rows_of(name, list(logged)) == logged


async def test_the_rows_that_refer_to_a_parent_are_named(link: Link, peer: Database) -> None:
    await peer.run("insert into posts (author, title) values (1, 'three'), (null, 'four')")
    async with site_of(peer, plan=PLAN) as east:
        (reference,) = await east.references()
    assert reference == Reference(child="public.posts", columns=("author",), parent="public.authors")
    found = await link.rows.referring(reference, [("2",), ("1",), ("8",)])
    assert {parent: sorted(children) for parent, children in found.items()} == {
        ("2",): [("2",)],
        ("1",): [("1",), ("3",)],
        ("8",): [],
    }
    assert await link.rows.referring(reference, []) == {}
    assert await link.rows.rows_of("public.posts", []) == {}


async def test_references_are_those_on_a_planned_key_in_its_order(database: Database) -> None:
    await database.run(
        'create table "Order" (a int, b int, code text unique, primary key (a, b))',
        "create table line (id int primary key, y int, x int, up int references line, code text references"
        ' "Order" (code), other int, foreign key (y, x) references "Order" (b, a))',
        "create table unplanned (id int primary key, line int references line)",
        "alter table line add foreign key (other) references unplanned",
    )
    plan = plan_of(table("Order", "a", "b"), table("line"))
    async with site_of(database, plan=plan) as east:
        assert set(await east.references()) == {
            Reference(child="public.line", columns=("x", "y"), parent="public.Order"),
            Reference(child="public.line", columns=("up",), parent="public.line"),
        }
