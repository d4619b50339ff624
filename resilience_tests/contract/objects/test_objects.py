"""What a copy of an object may rely on, whatever the store."""

import asyncio
import hashlib

import pytest

from cutover.adapters.memory.objects import MemoryBody
from cutover.errors import Inconclusive, Missing, Refused, SiteUnreachable
from cutover.model.objects import ObjectInfo
from cutover.ports.objects import ObjectStore
from resilience_tests.contract.objects.conftest import OTHER_BUCKET, Place

HOSTILE_KEYS = [
    "plain.txt",
    "d//x",
    "//",
    "./x",
    "../x",
    "a/../b",
    "a/./b",
    "a/..",
    "..",
    "/lead",
    "trail/",
    "a b+c%20d&e=f?g#h",
    "%2F",
    "naïve/日本語/😀",
    "e\u0301 is not \u00e9",
    "tab\tnewline\nreturn\rbell\x07",
    "\x00nul",
    "\x7f",
    "back\\slash\"quote'<tag>&amp;",
    "k" * 1024,
    "ü" * 512,
]

METADATA = {
    "owner": "user=7; role=\"a\", 'b'",
    "raw": "Grüße, 日本語 😀",
    "encoded": "=?UTF-8?Q?Gr=C3=BC=C3=9Fe?=",
    "empty": "",
    "inner": "two  blanks",
    "path": "../../etc/x%00 \\ \u202e\u0301\U0010ffff",
    "odd.name!#$%&'*+^_`|~": "name",
    "long": "ü" * 600,  # S3 takes 2 KB of all names and values
}
HEADERS = {
    "Cache-Control": "private, max-age=60",
    "Content-Disposition": "attachment; filename*=UTF-8''na%C3%AFve.txt",
    "Content-Encoding": "gzip",
    "Content-Language": "de, en",
    "Expires": "Thu, 01 Jan 2099 00:00:00 GMT",
}


def body(data: bytes, content_type: str | None = "text/plain; charset=utf-8") -> MemoryBody:
    """A body with all the metadata that an object can have."""
    info = ObjectInfo(size=len(data), etag="", content_type=content_type, headers=HEADERS, metadata=METADATA)
    return MemoryBody(info, data)


async def content(store: ObjectStore, key: str, bucket: str | None = None) -> bytes:
    """The bytes of an object."""
    async with store.fetch(key, bucket=bucket) as found:
        return b"".join([block async for block in found.blocks()])


@pytest.mark.parametrize("key", HOSTILE_KEYS)
async def test_every_key_is_kept_to_the_byte(place: Place, key: str) -> None:
    store = place.store()
    assert await store.put_if_absent(key, body(key.encode()))
    assert await content(store, key) == key.encode()
    assert await store.head(key) is not None
    assert await store.sha256(key) == (hashlib.sha256(key.encode()).hexdigest(), len(key.encode()))


async def test_keys_that_look_alike_are_different_objects(place: Place) -> None:
    store = place.store()
    for key in HOSTILE_KEYS:
        assert await store.put_if_absent(key, body(key.encode())), key
    for key in HOSTILE_KEYS:
        assert await content(store, key) == key.encode()


async def test_metadata_is_carried_over_byte_for_byte(place: Place) -> None:
    store = place.store()
    await store.put_if_absent("from", body(b"x"))
    async with store.fetch("from") as found:
        assert await store.put_if_absent("to", found)
    for key in ("from", "to"):
        info = await store.head(key)
        assert info is not None
        assert (info.size, info.content_type) == (1, "text/plain; charset=utf-8")
        assert (info.headers, info.metadata) == (HEADERS, METADATA)


@pytest.mark.parametrize("blank", ["\u202f", "\u3000", "\u00a0", "\u2028", "\u0085"])
async def test_blanks_of_other_scripts_are_carried_over(place: Place, blank: str) -> None:
    """macOS puts U+202F into the name of every screenshot, and Japanese text is full of U+3000."""
    store, name = place.store(), f"{blank}4{blank}{blank}PM{blank}.png"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    info = ObjectInfo(size=1, etag="", headers=headers, metadata={"name": name})
    assert await store.put_if_absent("blanks", MemoryBody(info, b"x"))
    found = await store.head("blanks")
    assert found is not None
    assert (found.headers, found.metadata) == (headers, {"name": name})


async def test_an_object_without_metadata_stays_without(place: Place) -> None:
    store = place.store()
    await store.put_if_absent("bare", MemoryBody(ObjectInfo(size=1, etag=""), b"x"))
    info = await store.head("bare")
    assert info is not None
    assert (info.content_type, info.headers, info.metadata) == ("binary/octet-stream", {}, {})


@pytest.mark.parametrize("size", [0, 1, (8 << 20) - 1, 8 << 20, (8 << 20) + 1])
async def test_bytes_of_any_number_arrive_whole(place: Place, size: int) -> None:
    store, data = place.store(), b"0123456789abcde" * (size // 15 + 1)
    sent = body(data[:size])
    assert await store.put_if_absent("sized", sent)
    async with store.fetch("sized") as found:
        assert (found.info.size, found.sha256) == (size, sent.sha256)
        for _ in range(2):
            digest = hashlib.sha256()
            async for block in found.blocks():
                digest.update(block)
            assert digest.hexdigest() == sent.sha256
    assert await store.sha256("sized") == (sent.sha256, size)


async def test_a_key_that_is_there_is_left_untouched(place: Place) -> None:
    store = place.store()
    await store.put_if_absent("key", body(b"first"))
    before = await store.head("key")
    assert not await store.put_if_absent("key", body(b"second", "image/png"))
    assert await store.head("key") == before
    assert await content(store, "key") == b"first"


async def test_of_racing_writers_exactly_one_stores_its_bytes(place: Place) -> None:
    stores = [place.store() for _ in range(4)]
    for number in range(5):
        key, bodies = f"race {number}", [body(f"racer {racer}".encode()) for racer in range(4)]
        won = await asyncio.gather(
            *(store.put_if_absent(key, one) for store, one in zip(stores, bodies, strict=True))
        )
        assert sum(won) == 1
        assert await content(stores[0], key) == bodies[won.index(True)].data


async def test_an_object_that_is_not_there_is_said_to_be_missing(place: Place) -> None:
    store = place.store()
    assert await store.head("none") is None
    assert await store.sha256("none") is None
    with pytest.raises(Missing) as caught:
        async with store.fetch("none"):
            pass
    assert (caught.value.site, caught.value.key) == ("east", "none")


async def test_a_bucket_that_is_not_there_is_not_an_empty_one(place: Place) -> None:
    store = place.store()
    with pytest.raises(Refused, match="no-such-bucket"):
        await store.head("key", bucket="no-such-bucket")
    with pytest.raises(Refused, match="no-such-bucket"):
        await store.sha256("key", bucket="no-such-bucket")
    with pytest.raises(Refused, match="no-such-bucket"):
        await store.put_if_absent("key", body(b"x"), bucket="no-such-bucket")


async def test_buckets_are_apart(place: Place) -> None:
    store = place.store()
    assert await store.put_if_absent("key", body(b"own"))
    assert await store.put_if_absent("key", body(b"other"), bucket=OTHER_BUCKET)
    assert await content(store, "key") == b"own"
    assert await content(store, "key", OTHER_BUCKET) == b"other"


async def test_bytes_that_do_not_have_their_digest_are_not_stored(place: Place) -> None:
    store = place.store()
    wrong = MemoryBody(body(b"damaged").info, b"damaged", hashlib.sha256(b"whole").hexdigest())
    with pytest.raises(Refused, match="are not those of sha256"):
        await store.put_if_absent("key", wrong)
    assert await store.head("key") is None


async def test_a_put_whose_answer_is_lost_is_known_to_have_succeeded(place: Place) -> None:
    store = place.store()
    assert await store.head("key") is None  # from here on it has a connection that it would use again
    await place.lose_next_answer()
    assert await store.put_if_absent("key", body(b"x"))
    assert await content(place.store(), "key") == b"x"


async def test_a_lost_answer_about_somebody_elses_bytes_is_not_taken_for_success(place: Place) -> None:
    await place.store().put_if_absent("key", body(b"east"))
    await place.lose_next_answer()
    assert not await place.store().put_if_absent("key", body(b"west"))
    assert await content(place.store(), "key") == b"east"


async def test_a_lost_answer_about_other_metadata_is_not_taken_for_success(place: Place) -> None:
    await place.store().put_if_absent("key", body(b"x", "image/png"))
    await place.lose_next_answer()
    assert not await place.store().put_if_absent("key", body(b"x"))


async def test_a_put_whose_request_is_lost_is_not_believed_to_have_succeeded(place: Place) -> None:
    store = place.store()
    await place.lose_next_request()
    try:
        stored = await store.put_if_absent("key", body(b"x"))
    except Inconclusive:
        stored = False
    assert (await store.head("key") is not None) == stored


async def test_a_dead_store_is_unreachable_and_not_empty(place: Place) -> None:
    store = place.store(reachable=False)
    with pytest.raises(SiteUnreachable):
        await store.head("key")
    with pytest.raises(SiteUnreachable):
        await store.sha256("key")
    with pytest.raises(SiteUnreachable):
        await store.put_if_absent("key", body(b"x"))
    with pytest.raises(SiteUnreachable):
        async with store.fetch("key"):
            pass


async def test_a_store_that_keeps_its_promises_is_found_to(place: Place) -> None:
    assert await place.store().prove_conditions() == []


@pytest.mark.parametrize(
    "metadata", [{"a b": "x"}, {"a": " x"}, {"a": "x\r\nx-amz-acl: public"}, {"a": "\udcff"}]
)
async def test_metadata_that_no_header_can_carry_is_refused(place: Place, metadata: dict[str, str]) -> None:
    store = place.store()
    with pytest.raises(Refused, match="cannot be sent in a header"):
        await store.put_if_absent("key", MemoryBody(ObjectInfo(size=1, etag="", metadata=metadata), b"x"))
    assert await store.head("key") is None
