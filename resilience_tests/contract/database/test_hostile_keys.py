"""Keys that look like something else are keys like any other, in memory and in PostgreSQL."""

from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from cutover.model.change import Delete, Key
from cutover.ports.database import Aside
from resilience_tests.contract.database.pair import GUARD, LIKES, POSTS, Pair, edit, like, pair_of, post
from resilience_tests.contract.database.values import WORDS

HOSTILE = [
    "",
    " ",
    " lead",
    "trail ",
    "\t\n\r\x07\x1b[31m\x7f",
    "\u2028\u0085\u00a0\u200b\ufeff",
    "../x",
    "a/../b",
    "NULL",
    "null",
    "\\N",
    "\\",
    "\\.",
    '"',
    "'",
    "''",
    'x\'); drop table likes; --\\ %s $1 "q"',
    "$$",
    "{}",
    "{a,NULL}",
    "(1,2)",
    '["a"]',
    "public.posts",
    "1",
    "01",
    "1.0",
    "e\u0301",
    "\u00e9",
    "İıſß",
    "日本語😀",
    "\u202eright to left",
    "\U0010ffff",
    "k" * 2000,
    "ü" * 1000,
]
"""Text that a key may be; PostgreSQL has none with a NUL in it."""

WORD_LISTS = st.lists(WORDS, unique=True, min_size=1, max_size=6)
few = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(params=["memory", "postgres"])
async def pair(request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    async with pair_of(request.param, request) as made:
        yield made


@few
@example(words=HOSTILE)
@given(words=WORD_LISTS)
async def test_rows_are_written_followed_found_and_removed_by_any_key(pair: Pair, words: list[str]) -> None:
    east, west = pair.east, pair.west
    await east.write(*(post(key, f"title of {key}") for key in words))
    await east.write(*(like(key, who) for key, who in zip(words, reversed(words), strict=True)))
    await east.write(*(edit(key, key, number) for number, key in enumerate(words)))
    assert not await pair.catch_up()
    for end in (east, west):
        posts, likes = await end.contents(POSTS), await end.contents(LIKES)
        assert posts == {(key,): edit(key, key, number).row for number, key in enumerate(words)}
        assert set(likes) == set(zip(words, reversed(words), strict=True))
        assert set(await end.rows.digests_of(LIKES, list(likes))) == set(likes)
    for number, key in enumerate(words):
        found, _ = await east.rows.read_again(POSTS, (key,))
        assert found is not None
        assert found.changes == (post(key, key, number),)
    await east.write(*(Delete(LIKES, pair_) for pair_ in zip(words, reversed(words), strict=True)))
    await east.write(*(Delete(POSTS, (key,)) for key in words))
    assert not await pair.catch_up()
    for end in (east, west):
        assert await end.contents(POSTS) == await end.contents(LIKES) == {}


@few
@example(words=HOSTILE)
@given(words=WORD_LISTS)
async def test_what_is_kept_about_a_row_is_kept_under_its_key(pair: Pair, words: list[str]) -> None:
    """Whatever was set aside, touched, and asked for by whom."""
    east, west = pair.east, pair.west
    await west.site.watch_touched(guard=GUARD)
    for key in words:
        await east.write(post(key, key), request=f"request {key}")
    batch = await east.until_mark("all")
    assert [item.request for item in batch if item.changes] == [f"request {key}" for key in words]
    aside = [Aside(table=POSTS, key=(key,), reason=f"no object {key}") for key in words]
    await pair.apply(batch, aside=aside)
    assert await west.contents(POSTS) == {}
    kept = {row.key: row.reason for row in await west.applier.set_aside()}
    assert kept == {row.key: row.reason for row in aside}
    await pair.apply(batch)
    assert list(await west.applier.set_aside()) == []
    touched = await west.site.touched(99)
    assert set(touched[POSTS]) == {(key,) for key in words}
    await west.site.forget_touched(touched)
    assert await west.site.touched(99) == {}
    await east.write(*(Delete(POSTS, (key,)) for key in words))
    await pair.catch_up()
    await west.site.forget_touched(await west.site.touched(99))
    assert await pair.same()


async def test_a_table_is_copied_in_chunks_that_end_at_any_key(pair: Pair) -> None:
    east, west = pair.east, pair.west
    await east.write(*(post(key, key) for key in HOSTILE))
    await east.until_mark("in the log, and to be copied nevertheless")
    await west.site.follow(backfill=True, guard=GUARD)
    after: Key | None = None
    while True:
        chunk = await east.rows.read_chunk(POSTS, after, 1)
        (mark,) = await east.until_mark(f"after {after}")
        await west.applier.place(chunk, without=(), aside=(), mark=mark, guard=GUARD)
        (copied,) = [one for one in await west.applier.copying() if one.table == POSTS]
        assert copied.done == (chunk.last is None)
        if chunk.last is None:
            break
        assert (chunk.rows, copied.after) == (1, chunk.last)
        after = chunk.last
    assert set(await west.contents(POSTS)) == {(key,) for key in HOSTILE}
    assert await pair.same()
