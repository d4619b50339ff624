"""Objects: bytes are stored once, compared when the key is taken, and never taken for done."""

from asyncio import gather
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from resilience_tests.contract.platform.world import World
from sample_platform.body import BytesBody, Spool, file_body
from sample_platform.errors import NotFound, OtherBytes
from sample_platform.model import object_key
from sample_platform.ports import Objects

LARGE = Random(5).randbytes(3_000_000)


async def _read(objects: Objects, key: str) -> bytes:
    download = await objects.open(key)
    data = b"".join([chunk async for chunk in download.chunks()])
    await download.close()
    assert len(data) == download.size
    return data


@pytest.mark.parametrize("data", [b"", b"x", b"\0\xff" * 1000], ids=["empty", "one", "binary"])
async def test_bytes_come_back_as_they_were_put(world: World, data: bytes) -> None:
    body = BytesBody(data)
    key = object_key(body.sha256)
    assert await world.objects.size(key) is None
    assert await world.objects.put_if_absent(key, body)
    assert not await world.objects.put_if_absent(key, body)
    assert await world.objects.size(key) == len(data)
    assert await _read(world.objects, key) == data


async def test_a_file_comes_back_as_it_was(world: World, tmp_path: Path) -> None:
    path = tmp_path / "film\udcff.mp4"
    path.write_bytes(LARGE)
    body = await file_body(path)
    assert (body.size, body.sha256) == (len(LARGE), sha256(LARGE).hexdigest())
    assert await world.objects.put_if_absent("objects/film", body)
    assert not await world.objects.put_if_absent("objects/film", body)
    assert await _read(world.objects, "objects/film") == LARGE


async def test_other_bytes_under_the_key_are_never_taken_for_done(world: World) -> None:
    await world.objects.put_if_absent("objects/k", BytesBody(b"first"))
    for other in (b"other", b"firs", b""):
        with pytest.raises(OtherBytes):
            await world.objects.put_if_absent("objects/k", BytesBody(other))
    assert await _read(world.objects, "objects/k") == b"first"


async def test_of_racing_puts_of_equal_bytes_one_stores(world: World) -> None:
    stored = await gather(*(world.objects.put_if_absent("objects/k", BytesBody(b"same")) for _ in range(6)))
    assert sorted(stored) == [False] * 5 + [True]


async def test_what_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.objects.open("objects/none")


async def test_a_download_may_be_left_half_way(world: World, tmp_path: Path) -> None:
    (tmp_path / "film").write_bytes(LARGE)
    await world.objects.put_if_absent("objects/film", await file_body(tmp_path / "film"))
    for _ in range(10):
        download = await world.objects.open("objects/film")
        chunks = download.chunks()
        assert await anext(chunks)
        await chunks.aclose()  # type: ignore[attr-defined]
        await download.close()
    assert await world.objects.size("objects/film") == len(LARGE)


@pytest.mark.parametrize("size", [0, 1, 1 << 20, len(LARGE)])
async def test_a_spooled_body_has_the_digest_of_its_bytes(tmp_path: Path, size: int) -> None:
    data = LARGE[:size]
    with Spool(tmp_path) as spool:
        for start in range(0, size, 65_536):
            await spool.take(data[start : start + 65_536])
        body = await spool.body()
        assert (body.size, body.sha256) == (size, sha256(data).hexdigest())
        for _ in range(2):
            assert b"".join([chunk async for chunk in body.chunks()]) == data
    assert list(tmp_path.iterdir()) == []
