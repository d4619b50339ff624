"""What only a real store over a network can do to us."""

import asyncio
import hashlib
import resource
import tempfile
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from aiohttp import web
from aiohttp.test_utils import RawTestServer

from cutover.adapters.memory.objects import MemoryBody, MemoryObjects, MemoryStore
from cutover.adapters.s3 import wire
from cutover.adapters.s3.address import Limits
from cutover.adapters.s3.objects import S3Objects
from cutover.adapters.s3.wire import Request, Wire
from cutover.engine.objects import copy_object
from cutover.errors import Inconclusive, Refused, SiteUnreachable
from cutover.model.change import ObjectName
from cutover.model.objects import ObjectInfo
from resilience_tests.contract.objects.conftest import SITE, S3Place
from resilience_tests.contract.objects.server import HASTY, QUICK, SECRET
from resilience_tests.contract.objects.test_objects import HEADERS, METADATA, body, content

LARGE_BYTES = 70 << 20
MEMORY_BYTES_MAX = 40 << 20
"""Three parts of an upload (8 MiB each), and what the sockets hold."""

BLOCK = hashlib.sha256(b"block").digest() * (1 << 15)  # 1 MiB


class LongBody:
    """A large body that is never in memory whole."""

    def __init__(self, size: int = LARGE_BYTES, *, last: bytes = b"end") -> None:
        self._blocks, self._last = size >> 20, last
        digest = hashlib.sha256()
        for _ in range(self._blocks):
            digest.update(BLOCK)
        digest.update(last)
        self.sha256 = digest.hexdigest()
        self.info = ObjectInfo(
            size=(self._blocks << 20) + len(last),
            etag="",
            content_type="video/mp4",
            headers=HEADERS,
            metadata=METADATA,
        )

    async def blocks(self) -> AsyncIterator[bytes]:
        """The bytes, from the start."""
        for _ in range(self._blocks):
            yield BLOCK
        yield self._last


async def test_a_large_object_is_copied_in_bounded_memory(s3_place: S3Place) -> None:
    store, sent = s3_place.store(), LongBody()
    with _allocations() as peak:
        assert await store.put_if_absent("large", sent)
        async with store.fetch("large") as found:
            assert (found.sha256, found.info.size) == (sent.sha256, sent.info.size)
            assert (found.info.headers, found.info.metadata) == (HEADERS, METADATA)
            assert await store.put_if_absent("copy", found)
        assert await store.sha256("copy") == (sent.sha256, sent.info.size)
        assert peak() < MEMORY_BYTES_MAX
    assert await _unfinished(s3_place) == 0


async def test_a_large_object_does_not_replace_one_that_comes_while_it_is_sent(s3_place: S3Place) -> None:
    store, other = s3_place.store(), s3_place.store()

    class Overtaken(LongBody):
        async def blocks(self) -> AsyncIterator[bytes]:
            yield BLOCK
            assert await other.put_if_absent("large", body(b"faster"))
            for _ in range(self._blocks - 1):
                yield BLOCK
            yield self._last

    assert not await store.put_if_absent("large", Overtaken())
    assert await content(store, "large") == b"faster"
    assert await _unfinished(s3_place) == 0


class Patience:
    """Stands for the bound of a request: keeps until when it was put off."""

    def __init__(self) -> None:
        self.until: list[float] = []

    def reschedule(self, when: float) -> None:
        self.until.append(when)


async def test_a_large_body_is_given_time_for_each_block_and_not_for_the_whole(s3_place: S3Place) -> None:
    """Eight bodies share a link, and none of them may be given up while it moves."""
    address, limits = (
        s3_place.server.address("b"),
        Limits(connect_seconds=0.3, answer_seconds=1.0, attempts=1),
    )
    sender, patience = Wire(address, "west", limits), Patience()
    assert sender._patience(Request(method="PUT", key="k", body=bytes(wire.BLOCK_BYTES + 1))).total is None
    assert sender._patience(Request(method="PUT", key="k", body=b"short")).total is not None
    taken = []
    async for block in sender._paced(_two_blocks(), patience):  # type: ignore[arg-type]
        taken.append((block, len(patience.until)))
    assert taken == [(b"first", 1), (b"second", 2)]  # each has its own bound before it is handed out
    assert len(patience.until) == 3  # and so has the answer
    assert patience.until[0] >= limits.connect_seconds + limits.answer_seconds


async def _two_blocks() -> AsyncIterator[bytes]:
    yield b"first"
    yield b"second"


async def test_a_large_object_with_a_wrong_digest_is_not_stored(s3_place: S3Place) -> None:
    store, wrong = s3_place.store(), LongBody()
    wrong.sha256 = hashlib.sha256(b"another").hexdigest()
    with pytest.raises(Refused, match="are not those of sha256"):
        await store.put_if_absent("large", wrong)
    assert await store.head("large") is None
    assert await _unfinished(s3_place) == 0


async def test_the_lost_answer_to_the_end_of_a_large_upload_is_looked_up(s3_place: S3Place) -> None:
    store, sent = s3_place.store(), LongBody()

    class Struck(LongBody):
        async def blocks(self) -> AsyncIterator[bytes]:
            async for block in super().blocks():
                if block is self._last:
                    await s3_place.server.strike(
                        "lose_acknowledgement", method="POST", bucket=s3_place.bucket, count=1
                    )
                yield block

    assert await store.put_if_absent("large", Struck())
    assert await store.sha256("large") == (sent.sha256, sent.info.size)


@pytest.mark.parametrize("room", [0, LARGE_BYTES >> 1, LARGE_BYTES])
async def test_our_own_full_disk_is_not_taken_for_a_store_out_of_reach(s3_place: S3Place, room: int) -> None:
    store = s3_place.store()
    assert await store.put_if_absent("large", LongBody())
    with _files_of(room), pytest.raises(Refused, match="Make room there"):
        async with store.fetch("large"):
            pass


async def test_a_missing_folder_for_temporary_files_is_not_taken_for_a_store_out_of_reach(
    s3_place: S3Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = s3_place.store()
    assert await store.put_if_absent("large", LongBody())
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/folder")
    with pytest.raises(Refused, match="/no/such/folder cannot be written"):
        async with store.fetch("large"):
            pass


@pytest.mark.parametrize(
    "said", [b"", b'<?xml version="1.0"?>\n  ', b"<Error><Code>InternalError</Code></Error>"]
)
async def test_the_end_of_a_large_upload_is_no_yes_until_the_store_says_what_it_made(
    s3_place: S3Place, said: bytes
) -> None:
    """S3 answers 200 at once, keeps the connection busy with blanks, and only then says how it went."""

    async def answer(request: web.BaseRequest) -> web.Response:
        async for _ in request.content.iter_any():
            pass
        if request.method == "POST" and "uploads" in request.rel_url.query:
            return web.Response(body=b"<Result><UploadId>only</UploadId></Result>")
        if request.method == "POST":
            return web.Response(body=said)
        if request.method in ("GET", "HEAD"):
            return web.Response(status=404, body=b"<Error><Code>NoSuchKey</Code></Error>")
        return web.Response(headers={"ETag": '"part"'})

    async with RawTestServer(answer) as late:
        address = s3_place.server.address(s3_place.bucket, endpoint=str(late.make_url("")))
        store = s3_place.kept(S3Objects(address, SITE, HASTY))
        with pytest.raises(Inconclusive):
            await store.put_if_absent("large", LongBody())


async def test_a_store_that_asks_to_be_spared_is_asked_again(s3_place: S3Place) -> None:
    store = s3_place.store()
    for method in ("PUT", "HEAD", "GET"):
        await s3_place.server.strike("fail503", method=method, bucket=s3_place.bucket, count=2)
    assert await store.put_if_absent("key", body(b"x"))
    assert await store.head("key") is not None
    assert await content(store, "key") == b"x"


async def test_a_store_that_only_asks_to_be_spared_is_unreachable(s3_place: S3Place) -> None:
    store = s3_place.store()
    await s3_place.server.strike("fail503", bucket=s3_place.bucket)
    with pytest.raises(SiteUnreachable, match="503"):
        await store.put_if_absent("key", body(b"x"))
    with pytest.raises(SiteUnreachable, match="503"):
        await store.sha256("key")


async def test_a_store_that_takes_a_put_and_says_nothing_leaves_it_inconclusive(s3_place: S3Place) -> None:
    store = s3_place.kept(S3Objects(s3_place.server.address(s3_place.bucket), SITE, HASTY))
    await s3_place.server.strike("hang", bucket=s3_place.bucket)
    with pytest.raises(Inconclusive):
        await store.put_if_absent("key", body(b"x"))
    with pytest.raises(SiteUnreachable):
        await store.head("key")


async def test_a_refusal_after_a_lost_answer_does_not_say_that_nothing_was_stored(s3_place: S3Place) -> None:
    """The key pair is withdrawn, or a clock jumps, between a put that went in and its repetition."""
    asked: list[str] = []

    async def answer(request: web.BaseRequest) -> web.Response:
        asked.append(request.method)
        if asked == ["PUT"]:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=403, body=b"<Error><Code>RequestTimeTooSkewed</Code></Error>")

    async with RawTestServer(answer) as skewed:
        address = s3_place.server.address(s3_place.bucket, endpoint=str(skewed.make_url("")))
        store = s3_place.kept(S3Objects(address, SITE, HASTY))
        with pytest.raises(Inconclusive):
            await store.put_if_absent("key", body(b"x"))
    assert asked.count("PUT") == HASTY.attempts


async def test_a_server_that_takes_connections_and_nothing_more_is_given_up(s3_place: S3Place) -> None:
    async def swallow(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(swallow, "127.0.0.1", 0) as listener:
        endpoint = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        address = s3_place.server.address(s3_place.bucket, endpoint=endpoint)
        store = s3_place.kept(S3Objects(address, SITE, HASTY))
        with pytest.raises(SiteUnreachable):
            await store.sha256("key")
        with pytest.raises(Inconclusive):
            await store.put_if_absent("key", body(b"x"))


@pytest.mark.parametrize(
    ("changed", "code"),
    [({"secret": SECRET + "?"}, "SignatureDoesNotMatch"), ({"access_key": "nobody"}, "InvalidAccessKeyId")],
)
async def test_a_wrong_key_pair_is_named_without_its_secret(
    s3_place: S3Place, changed: dict[str, str], code: str
) -> None:
    address = s3_place.server.address(s3_place.bucket, **changed)
    store = s3_place.kept(S3Objects(address, SITE, QUICK))
    with pytest.raises(Refused, match=code) as caught:
        await store.put_if_absent("key", body(b"x"))
    message = str(caught.value)
    assert address.endpoint in message
    assert s3_place.bucket in message
    assert address.secret_key.reveal() not in message + repr(address)
    with pytest.raises(Refused, match="Check endpoint"):
        await store.head("key")


async def test_proving_the_conditions_leaves_nothing_behind(s3_place: S3Place) -> None:
    assert await s3_place.store().prove_conditions() == []
    assert b"<Key>" not in await _listing(s3_place, {"list-type": "2"})


async def test_an_object_that_is_cut_short_on_its_way_is_read_again(s3_place: S3Place) -> None:
    endings = [b"01234", b"0123456789"]

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n" + endings.pop(0))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as listener:
        endpoint = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        address = s3_place.server.address(s3_place.bucket, endpoint=endpoint)
        store = s3_place.kept(S3Objects(address, SITE, HASTY))
        assert await content(store, "key") == b"0123456789"
        endings += [b"01234", b"0123456789"]
        assert await store.sha256("key") == (hashlib.sha256(b"0123456789").hexdigest(), 10)
        endings += [b"", b"012345678"]
        with pytest.raises(SiteUnreachable):
            await store.sha256("key")


@pytest.mark.parametrize(
    ("key", "metadata", "why"),
    [
        ("", {}, "an empty key names no object"),
        ("k" * 1025, {}, "KeyTooLongError: its key is longer"),
        ("key", {"long": "x" * 3000}, "MetadataTooLarge: its metadata is larger"),
    ],
)
async def test_what_no_store_can_take_stands_in_the_way_of_its_own_row_only(
    s3_place: S3Place, key: str, metadata: dict[str, str], why: str
) -> None:
    memory, store = MemoryObjects(MemoryStore("west")), s3_place.store()
    name = ObjectName(bucket=None, key=key, sha256=None)
    sent = MemoryBody(ObjectInfo(size=1, etag="", metadata=metadata), b"x")
    assert await memory.put_if_absent(key, sent)
    assert why in str(await copy_object(memory, store, name))
    if not metadata:  # such a row may stand at the source, too: nobody checked what was written there
        assert why in str(await copy_object(store, memory, name))


async def test_an_archived_object_stands_in_the_way_of_its_own_row_only(s3_place: S3Place) -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=403, body=b"<Error><Code>InvalidObjectState</Code></Error>")

    async with RawTestServer(answer) as archive:
        address = s3_place.server.address(s3_place.bucket, endpoint=str(archive.make_url("")))
        store = s3_place.kept(S3Objects(address, SITE, HASTY))
        name = ObjectName(bucket=None, key="key", sha256=None)
        assert "it is archived" in str(await copy_object(store, s3_place.store(), name))


async def test_metadata_of_any_length_that_a_store_keeps_is_read(s3_place: S3Place) -> None:
    """A copy may be refused for it, and then its own row only; the store is not out of reach."""

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"x", headers={"x-amz-meta-long": "v" * 60_000})

    async with RawTestServer(answer) as generous:
        address = s3_place.server.address(s3_place.bucket, endpoint=str(generous.make_url("")))
        store = s3_place.kept(S3Objects(address, SITE, HASTY))
        found = await store.head("key")
        assert found is not None
        assert len(found.metadata["long"]) == 60_000
        name = ObjectName(bucket=None, key="key", sha256=None)
        assert "its metadata is larger" in str(await copy_object(store, s3_place.store(), name))


async def test_what_a_redirect_leads_to_is_taken_neither_for_an_object_nor_for_a_yes(
    s3_place: S3Place,
) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/login":
            return web.Response(body=b"<html>Log in, please</html>", headers={"ETag": '"page"'})
        await request.read()
        return web.Response(status=302, headers={"Location": "/login"})

    async with RawTestServer(answer) as elsewhere:
        address = s3_place.server.address(s3_place.bucket, endpoint=str(elsewhere.make_url("")))
        store = s3_place.kept(S3Objects(address, SITE, HASTY))
        refused = pytest.raises(Refused, match=r"status 302.*/login")
        with refused:
            await store.put_if_absent("key", body(b"x"))
        for ask in (store.head, store.sha256, partial(content, store)):
            with refused:
                await ask("key")


async def _unfinished(place: S3Place) -> int:
    """How many uploads were begun and neither ended nor aborted."""
    return (await _listing(place, {"uploads": ""})).count(b"<Upload>")


async def _listing(place: S3Place, query: dict[str, str]) -> bytes:
    wire = Wire(place.server.address(place.bucket), SITE, QUICK)
    try:
        answer = await wire.ask(Request(method="GET", query=query))
    finally:
        await wire.close()
    assert answer.status == 200, answer
    return answer.body


@contextmanager
def _files_of(most: int) -> Iterator[None]:
    """No file of this process may grow beyond `most` bytes: as on a disk without room."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextmanager
def _allocations() -> Iterator[Callable[[], int]]:
    """Tell the most bytes that were in use at once since the start."""
    tracemalloc.start()
    try:
        yield lambda: tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
