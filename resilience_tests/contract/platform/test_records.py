"""Records: each request makes its item once, whoever keeps the rows."""

from asyncio import gather
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from resilience_tests.contract.platform.world import DIGEST, World, log_in, register
from sample_platform.errors import BadInput, NotAuthor, NotFound, NotServing, RequestReused
from sample_platform.model import (
    Counts,
    NewPost,
    Registration,
    Revision,
    Taste,
    Written,
    post_id,
    session_token,
)
from sample_platform.ports import Records

EMPTY = Counts(users=0, sessions=0, posts=0, likes=0, views=0, comments=0, entries=0, cents=0, waiting=0)
P1 = post_id("up-1")
Operation = Callable[[Records], Awaitable[Written[object]]]

OPERATIONS: dict[str, Operation] = {
    "log_in": lambda r: r.open_session(user="eve", token=session_token("q"), request="q"),
    "upload": lambda r: r.register_upload(post=post_id("q"), made=_registration(), request="q"),
    "edit": lambda r: r.edit(post=P1, user="ada", revision=Revision(title="new"), request="q"),
    "delete": lambda r: r.delete(post=P1, user="ada", request="q"),
    "like": lambda r: r.like(post=P1, user="bob", request="q"),
    "view": lambda r: r.view(post=P1, request="q"),
    "comment": lambda r: r.comment(post=P1, user="bob", body="nice", request="q"),
    "earn": lambda r: r.earn(account="ada", cents=5, post=P1, request="q"),
}

BEFORE = replace(EMPTY, users=2, sessions=2, posts=1, waiting=1)

AFTER = {
    "log_in": replace(BEFORE, users=3, sessions=3),
    "upload": replace(BEFORE, posts=2, waiting=2),
    "edit": BEFORE,
    "delete": replace(BEFORE, posts=0, waiting=0),
    "like": replace(BEFORE, likes=1),
    "view": replace(BEFORE, views=1),
    "comment": replace(BEFORE, comments=1),
    "earn": replace(BEFORE, entries=1, cents=5),
}


def _registration() -> Registration:
    return Registration(new=NewPost(author="ada", title="again"), sha256=DIGEST, size=7)


async def _one_post(records: Records) -> None:
    await log_in(records, "ada", "bob")
    assert await register(records, "up-1") == P1


async def _counts(records: Records) -> Counts:
    return (await records.counts()).value


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_retry_finds_what_the_first_attempt_made(world: World, name: str) -> None:
    await _one_post(world.records)
    assert await _counts(world.records) == BEFORE
    first = await OPERATIONS[name](world.records)
    again = await OPERATIONS[name](world.records)
    assert (first.item, first.fresh, again.fresh) == (again.item, True, False)
    assert await _counts(world.records) == AFTER[name]


@pytest.mark.parametrize("name", OPERATIONS)
async def test_attempts_at_the_same_time_make_one_item(world: World, name: str) -> None:
    await _one_post(world.records)
    written = await gather(*(OPERATIONS[name](world.records) for _ in range(6)))
    assert sum(each.fresh for each in written) == 1
    assert len({each.item for each in written}) == 1
    assert await _counts(world.records) == AFTER[name]


async def test_likes_and_deletes_of_one_post_at_the_same_time_end_without_a_deadlock(world: World) -> None:
    await log_in(world.records, "ada")
    for turn in range(10):
        post = await register(world.records, f"up-{turn}")
        likes = [world.records.like(post=post, user=f"u{n}", request=f"l-{turn}-{n}") for n in range(7)]
        gone = world.records.delete(post=post, user="ada", request=f"d-{turn}")
        outcomes = await gather(*likes[:3], gone, *likes[3:], return_exceptions=True)
        assert all(isinstance(each, Written | NotFound) for each in outcomes), outcomes
        assert isinstance(outcomes[3], Written)
    assert (await _counts(world.records)).likes == 0


async def test_two_users_like_and_one_likes_twice(world: World) -> None:
    await _one_post(world.records)
    for user, request in (("bob", "l-1"), ("cyd", "l-2"), ("bob", "l-3")):
        await world.records.like(post=P1, user=user, request=request)
    seen = (await world.records.post(P1)).value
    assert seen is not None
    assert seen.likes == 2


async def test_a_late_retry_does_not_bring_back_a_deleted_post(world: World) -> None:
    await _one_post(world.records)
    await world.records.delete(post=P1, user="ada", request="d-1")
    assert await register(world.records, "up-1") == P1
    assert (await world.records.post(P1)).value is None


async def test_a_late_retry_of_an_edit_does_not_undo_a_newer_one(world: World) -> None:
    await _one_post(world.records)
    for request, title in (("e-1", "one"), ("e-2", "two"), ("e-1", "one")):
        await world.records.edit(post=P1, user="ada", revision=Revision(title=title), request=request)
    seen = (await world.records.post(P1)).value
    assert seen is not None
    assert seen.title == "two"


async def test_a_deleted_post_takes_its_comments_and_likes_but_no_money(world: World) -> None:
    await _one_post(world.records)
    for name in ("like", "comment", "earn"):
        await OPERATIONS[name](world.records)
        await world.records.comment(post=P1, user="bob", body="b", request="c-2")
    await world.records.delete(post=P1, user="ada", request="d-1")
    assert await _counts(world.records) == replace(EMPTY, users=2, sessions=2, entries=1, cents=5)


@pytest.mark.parametrize("name", ["edit", "delete", "like", "view", "comment"])
async def test_a_post_that_is_not_there_is_refused_and_the_request_not_spent(world: World, name: str) -> None:
    await log_in(world.records, "ada")
    with pytest.raises(NotFound):
        await OPERATIONS[name](world.records)
    await register(world.records, "up-1")
    assert (await OPERATIONS[name](world.records)).fresh


async def test_only_the_author_changes_a_post(world: World) -> None:
    await _one_post(world.records)
    with pytest.raises(NotAuthor):
        await world.records.edit(post=P1, user="bob", revision=Revision(title="mine"), request="e-1")
    with pytest.raises(NotAuthor):
        await world.records.delete(post=P1, user="bob", request="d-1")


async def test_an_author_who_never_logged_in_cannot_upload(world: World) -> None:
    with pytest.raises(BadInput):
        await register(world.records, "up-1", author="stranger")
    assert await _counts(world.records) == EMPTY


async def test_a_request_id_used_for_something_else_is_refused(world: World) -> None:
    await _one_post(world.records)
    await world.records.comment(post=P1, user="bob", body="one", request="c-1")
    await world.records.earn(account="ada", cents=1, post=None, request="m-1")
    with pytest.raises(RequestReused):
        await world.records.comment(post=P1, user="bob", body="two", request="c-1")
    with pytest.raises(RequestReused):
        await world.records.earn(account="ada", cents=2, post=None, request="m-1")
    with pytest.raises(RequestReused):
        await world.records.open_session(user="bob", token=session_token("login-ada"), request="login-ada")
    other = replace(_registration(), sha256="f" * 64)
    with pytest.raises(RequestReused):
        await world.records.register_upload(post=P1, made=other, request="up-1")


@pytest.mark.parametrize("name", OPERATIONS)
async def test_a_closed_site_refuses_and_changes_nothing(world: World, name: str) -> None:
    await _one_post(world.records)
    world.install_engine()
    world.close_fence()
    with pytest.raises(NotServing) as refused:
        await OPERATIONS[name](world.records)
    assert refused.value.epoch == 1
    assert await _counts(world.records) == BEFORE


async def test_the_engine_is_noticed_when_it_comes_and_when_it_rules(world: World) -> None:
    await _one_post(world.records)
    assert (await world.records.view(post=P1, request="v-1")).epoch is None
    assert (await world.records.post(P1)).standing.serves
    world.install_engine()
    assert (await world.records.view(post=P1, request="v-2")).epoch == 1
    world.grant(2)
    assert (await world.records.post(P1)).standing.epoch == 2
    world.grant(None)
    assert not (await world.records.post(P1)).standing.serves


async def test_the_serving_check_compares_epochs(world: World) -> None:
    assert await world.serving.epoch() is None
    assert await world.serving.still_serving(None)
    world.install_engine()
    assert await world.serving.epoch() == 1
    assert await world.serving.still_serving(None)
    assert await world.serving.still_serving(1)
    assert not await world.serving.still_serving(2)
    world.grant(None)
    assert not await world.serving.still_serving(None)
    assert not await world.serving.still_serving(1)


async def test_pages_come_newest_first_and_go_on_behind_an_id(world: World) -> None:
    await log_in(world.records, "ada")
    made = [await register(world.records, f"up-{n}", tags=("t",)) for n in range(5)]
    newest = (await world.records.newest(limit=3, after=None)).value
    assert newest == tuple(reversed(made))[:3]
    assert (await world.records.newest(limit=9, after=newest[-1])).value == tuple(reversed(made))[3:]
    assert (await world.records.newest(limit=9, after="p-none")).value == ()
    recent = (await world.records.recent(limit=2)).value
    assert recent == tuple(Taste(post=post, author="ada", tags=("t",)) for post in reversed(made[-2:]))


async def test_likes_are_read_back_for_the_feed(world: World) -> None:
    await _one_post(world.records)
    assert (await world.records.likes_of("bob", limit=5)).value == ()
    await world.records.like(post=P1, user="bob", request="l-1")
    assert (await world.records.likes_of("bob", limit=5)).value == (Taste(post=P1, author="ada", tags=()),)


async def test_the_queue_moves_from_waiting_to_done_once(world: World) -> None:
    await _one_post(world.records)
    (entry,) = (await world.records.waiting(limit=9)).value
    assert (entry.post, entry.size) == (P1, 7)
    assert (await world.records.finish(entries=[entry.id], request="f-1")).item == 1
    assert (await world.records.finish(entries=[entry.id], request="f-2")).item == 0
    page = (await world.records.queue(limit=9)).value
    assert (page.waiting, page.done) == ((), (P1,))
    assert (await world.records.waiting(limit=9)).value == ()


async def test_comments_and_sessions_are_read_back(world: World) -> None:
    await _one_post(world.records)
    made = await world.records.comment(post=P1, user="bob", body="nice", request="c-1")
    (found,) = (await world.records.comments(P1, limit=9)).value
    assert (found.id, found.author, found.body) == (made.item, "bob", "nice")
    assert (await world.records.comments("p-none", limit=9)).value == ()
    assert (await world.records.session_user(session_token("login-ada"))).value == "ada"
    assert (await world.records.session_user("s-none")).value is None
