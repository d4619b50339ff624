"""The platform's promises, over HTTP on real servers and as an object in memory."""

from asyncio import Event, create_task, gather, wait_for
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from json import dumps
from pathlib import Path
from random import Random

import pytest

from resilience_tests.contract.platform.servers import Server, free_port
from resilience_tests.contract.platform.world import MemoryWorld, RealWorld, World, platform_of, register
from sample_platform.body import BytesBody, file_body
from sample_platform.client import Client
from sample_platform.database import Address
from sample_platform.errors import BadInput, NotFound, NotServing, Unavailable, Unknown
from sample_platform.limits import TAGS_MAX, TEXT_BYTES_MAX
from sample_platform.model import Answer, NewPost, Revision, object_key, post_id
from sample_platform.objects_s3 import Store
from sample_platform.ports import PlatformApi
from sample_platform.service import serve

LARGE = Random(5).randbytes(3_000_000)
HOSTILE = {
    "empty": "",
    "unicode": "ünï©ødé 漢字 🎬 \u202e rtl",
    "control": "line\r\nX-Evil: 1\ttab\x01\x7f",
    "quotes": "'; drop table posts; -- \\ \" %s %(x)s {}",
    "long": "x" * TEXT_BYTES_MAX,
    "long unicode": "漢" * (TEXT_BYTES_MAX // 3),
}
UNKEPT = {"NUL": "a\0b", "surrogate": "\ud800", "long": "x" * (TEXT_BYTES_MAX + 1)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A platform as its users see it, and what it stands on."""

    api: PlatformApi
    world: World


@asynccontextmanager
async def serving(address: Address, store: Store, folder: Path) -> AsyncIterator[str]:
    """The service as a task; gives its address."""
    secrets = folder / "credentials.json"
    keys = {"access_key": store.access_key, "secret_key": store.secret_key}
    secrets.write_text(dumps({"postgres": {"platform": address.password}, "s3": keys}))
    port = free_port()
    settings: dict[str, object] = {
        "site": "east",
        "listen": {"host": "127.0.0.1", "port": port},
        "postgres": {"host": address.host, "port": address.port, "database": address.database},
        "s3": {"endpoint": store.endpoint, "bucket": store.bucket, "region": store.region},
        "credentials_file": str(secrets),
    }
    ready = Event()
    task = create_task(serve(settings, ready.set))
    try:
        await wait_for(ready.wait(), 10)
        yield f"http://127.0.0.1:{port}"
    finally:
        task.cancel()
        with suppress(BaseException):
            await task


@pytest.fixture
async def site(world: World, request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    """In memory without HTTP, on real servers with it."""
    if isinstance(world, MemoryWorld):
        yield Site(api=platform_of(world), world=world)
        return
    assert isinstance(world, RealWorld)
    async with (
        serving(world.address, request.getfixturevalue("bucket"), tmp_path) as url,
        Client(url) as client,
    ):
        yield Site(api=client, world=world)


async def _upload(site: Site, data: bytes, request: str, *, user: str = "ada") -> str:
    await site.api.log_in(user=user, request=f"login-{user}")
    new = NewPost(author=user, title="t", caption="c", tags=("x", "y"), audio="a")
    return (await site.api.upload(new, BytesBody(data), request=request)).value


async def test_an_upload_is_registered_queued_and_read_back(site: Site) -> None:
    post = await _upload(site, b"film", "up-1")
    assert post == post_id("up-1")
    answer = await site.api.get(post)
    served = answer.value
    assert (answer.site, answer.epoch, answer.state) == ("east", None, "known")
    assert (served.sha256, served.size) == (sha256(b"film").hexdigest(), 4)
    row = served.post
    assert (row.author, row.title, row.caption, row.tags, row.audio) == ("ada", "t", "c", ("x", "y"), "a")
    assert (row.object_key, row.sha256, row.size) == (object_key(served.sha256), served.sha256, 4)
    queue = (await site.api.queue()).value
    assert queue.waiting + queue.done == (post,)
    assert (await site.api.list()).value == (post,)


@pytest.mark.parametrize("kind", HOSTILE)
async def test_any_text_comes_back_as_it_was(site: Site, kind: str) -> None:
    text = HOSTILE[kind]
    user = text[:90] or "nobody"
    await site.api.log_in(user=user, request="l-1")
    new = NewPost(author=user, title=text, caption=text, tags=(text, "b", "b"), audio=text[:300])
    post = (await site.api.upload(new, BytesBody(b"film"), request="up-1")).value
    row = (await site.api.get(post)).value.post
    assert (row.author, row.title, row.caption, row.tags) == (user, text, text, (text, "b", "b"))
    await site.api.comment(post, user=user, body=text, request="c-1")
    assert (await site.api.comments(post)).value[0].body == text
    await site.api.edit(post, Revision(title="new", tags=()), user=user, request="e-1")
    assert (await site.api.look(post)).value.title == "new"
    await site.api.feed(user)


@pytest.mark.parametrize(
    "bad", ["a\0b", "\ud800", "x" * (TEXT_BYTES_MAX + 1)], ids=["NUL", "surrogate", "long"]
)
@pytest.mark.parametrize("field", ["title", "caption", "tags", "audio"])
async def test_text_that_cannot_be_kept_is_refused_by_name(site: Site, field: str, bad: str) -> None:
    await site.api.log_in(user="ada", request="l-1")
    value = {field: (bad,) if field == "tags" else bad}
    new = replace(NewPost(author="ada", title="t"), **value)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=field.removesuffix("s")):
        await site.api.upload(new, BytesBody(b"film"), request="up-1")
    assert (await site.api.counts()).value.posts == 0


async def test_names_in_addresses_may_hold_anything(site: Site) -> None:
    for name in ("..", "../..", "a/b?c#d%2F", "漢", "."):
        await site.api.log_in(
            user=name,
            request=f"l-{name!a}".replace("'", "")
            .replace("\\", "")
            .replace("?", "")
            .replace("#", "")
            .replace("%", ""),
        )
        assert not (await site.api.feed(name)).value.degraded
        for call in (site.api.look, site.api.get):
            with pytest.raises(NotFound):
                await call(name)
    with pytest.raises(BadInput):
        await site.api.look("a\0b")


async def test_bad_requests_are_refused_by_value(site: Site) -> None:
    post = await _upload(site, b"film", "up-1")
    new = NewPost(author="ada", title="t", tags=("t",) * (TAGS_MAX + 1))
    with pytest.raises(BadInput, match="tags"):
        await site.api.upload(new, BytesBody(b""), request="up-2")
    with pytest.raises(BadInput, match="cents"):
        await site.api.earn(account="ada", cents=2**60, request="m-1")
    with pytest.raises(BadInput, match="request id"):
        await site.api.like(post, user="ada", request="a b")
    with pytest.raises(BadInput, match="limit"):
        await site.api.list(limit=0)
    with pytest.raises(BadInput, match="user"):
        await site.api.log_in(user="", request="l-1")


async def test_an_empty_and_a_large_file_are_content_like_any_other(site: Site, tmp_path: Path) -> None:
    path = tmp_path / "film\udcff.mp4"
    path.write_bytes(LARGE)
    await site.api.log_in(user="ada", request="l-1")
    new = NewPost(author="ada", title="large")
    large = (await site.api.upload(new, await file_body(path), request="up-1")).value
    assert (await site.api.get(large)).value.sha256 == sha256(LARGE).hexdigest()
    empty = await _upload(site, b"", "up-2")
    served = (await site.api.get(empty)).value
    assert (served.size, served.sha256) == (0, sha256(b"").hexdigest())


async def test_two_posts_own_equal_bytes_and_one_is_deleted(site: Site) -> None:
    first = await _upload(site, b"same", "up-1")
    second = await _upload(site, b"same", "up-2", user="bob")
    await site.api.delete(first, user="ada", request="d-1")
    with pytest.raises(NotFound):
        await site.api.get(first)
    assert (await site.api.get(second)).value.sha256 == sha256(b"same").hexdigest()
    await site.api.delete(second, user="bob", request="d-2")
    assert await site.world.objects.size(object_key(sha256(b"same").hexdigest())) == 4


async def test_ten_attempts_of_one_upload_at_once_make_one_post(site: Site) -> None:
    posts = await gather(*(_upload(site, b"film", "up-1") for _ in range(10)))
    assert set(posts) == {post_id("up-1")}
    counts = (await site.api.counts()).value
    assert (counts.posts, counts.users, counts.sessions) == (1, 1, 1)


async def test_counters_comments_and_money_add_up(site: Site) -> None:
    post = await _upload(site, b"film", "up-1")
    for n in range(3):
        await site.api.like(post, user=f"u{n}", request=f"l-{n}")
        await site.api.view(post, user=f"u{n}", request=f"v-{n}")
        await site.api.comment(post, user=f"u{n}", body="b", request=f"c-{n}")
        await site.api.earn(account="ada", cents=7, post=post, request=f"m-{n}")
    row = (await site.api.look(post)).value
    assert (row.likes, row.views) == (3, 3)
    counts = (await site.api.counts()).value
    assert (counts.comments, counts.entries, counts.cents) == (3, 3, 21)


async def test_a_session_is_known_by_its_token(site: Site) -> None:
    token = (await site.api.log_in(user="ada", request="l-1")).value
    assert (await site.api.log_in(user="ada", request="l-1")).value == token
    assert (await site.api.session(token)).value == "ada"
    with pytest.raises(NotFound):
        await site.api.session("s-none")


async def test_a_feed_is_personal_and_repeats_nothing(site: Site) -> None:
    liked = await _upload(site, b"1", "up-1", user="ada")
    same_author = await _upload(site, b"2", "up-2", user="ada")
    await site.api.log_in(user="bob", request="l-9")
    other = NewPost(author="bob", title="t")
    unrelated = (await site.api.upload(other, BytesBody(b"3"), request="up-3")).value
    await site.api.like(liked, user="cyd", request="k-1")
    page = (await site.api.feed("cyd")).value
    assert (page.posts, page.degraded) == ((same_author, unrelated), False)


async def test_a_site_that_does_not_serve_refuses_also_what_would_write_nothing(site: Site) -> None:
    """A repeated like finds its row and meets no fence; answering it would still be a promise."""
    site.world.install_engine()
    post = await _upload(site, b"film", "up-1")
    assert (await site.api.like(post, user="bob", request="l-0")).epoch == 1
    site.world.grant(None)
    for request in ("l-0", "l-1"):
        with pytest.raises(NotServing) as refused:
            await site.api.like(post, user="bob", request=request)
        assert refused.value.site == "east"
    stale = await site.api.look(post)
    assert (stale.state, stale.age_s, stale.value.likes) == ("stale", None, 1)


async def test_a_closed_site_refuses_by_name_and_tells_its_epoch(site: Site) -> None:
    post = await _upload(site, b"film", "up-1")
    site.world.install_engine()
    site.world.close_fence()
    with pytest.raises(NotServing) as refused:
        await site.api.view(post, user="bob", request="v-1")
    assert (refused.value.site, refused.value.epoch) == ("east", 1)
    assert (await site.api.look(post)).value.views == 0


@dataclass(slots=True)
class Frozen:
    """The serving check of a site that was succeeded right behind its commit."""

    answer: bool | None

    async def epoch(self) -> int | None:
        return 1

    async def still_serving(self, epoch: int | None) -> bool:
        if self.answer is None:
            raise Unavailable("nobody answers")
        return self.answer


@pytest.mark.parametrize("answer", [False, None], ids=["succeeded", "silent"])
async def test_no_write_is_acknowledged_without_the_serving_check(world: World, answer: bool | None) -> None:  # noqa: FBT001
    platform = platform_of(world, serving=Frozen(answer))
    calls = [
        platform.log_in(user="ada", request="l-1"),
        platform.upload(NewPost(author="ada", title="t"), BytesBody(b"film"), request="up-1"),
        platform.edit(post_id("up-1"), Revision(title="n"), user="ada", request="e-1"),
        platform.like(post_id("up-1"), user="bob", request="k-1"),
        platform.view(post_id("up-1"), user="bob", request="v-1"),
        platform.comment(post_id("up-1"), user="bob", body="b", request="c-1"),
        platform.earn(account="ada", cents=1, request="m-1"),
        platform.delete(post_id("up-1"), user="ada", request="d-1"),
    ]
    for call in calls:
        with pytest.raises(Unknown):
            await call


async def test_the_queue_is_worked_and_keeps_what_has_no_bytes(world: World) -> None:
    platform = platform_of(world)
    await platform.log_in(user="ada", request="l-1")
    await platform.upload(NewPost(author="ada", title="t"), BytesBody(b"film"), request="up-1")
    bare = await register(world.records, "up-2")
    assert (await platform.work_queue()).value == 1
    page = (await platform.queue()).value
    assert (page.waiting, page.done) == ((bare,), (post_id("up-1"),))


async def test_reads_and_writes_on_a_dead_database_make_nothing_up(
    server: Server, fresh_database: Address, bucket: Store, tmp_path: Path
) -> None:
    """Goal: no read invents a value when the database is gone, and known rows tell their age."""
    dead = replace(fresh_database, port=free_port())
    async with serving(dead, bucket, tmp_path) as url, Client(url) as client:
        reads = (client.counts, client.queue, client.list, client.health)
        for read in reads:
            with pytest.raises(Unknown):
                await read()
        for named in (client.look, client.get, client.comments, client.feed, client.session):
            with pytest.raises(Unknown):
                await named("p-1")
        with pytest.raises(Unavailable):
            await client.like("p-1", user="bob", request="l-1")
    assert server.process is not None


async def test_a_client_tells_not_sent_from_not_answered() -> None:
    async with Client(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(Unavailable):
            await client.earn(account="ada", cents=1, request="m-1")
        with pytest.raises(Unavailable):
            await client.upload(NewPost(author="a", title="t"), BytesBody(b"x"), request="up-1")


async def test_the_service_is_the_same_api(site: Site) -> None:
    answers: list[Answer[object]] = [await site.api.health(), await site.api.counts(), await site.api.queue()]
    assert {(answer.site, answer.state, answer.age_s) for answer in answers} == {("east", "known", 0.0)}
