"""At a store that keeps keys as paths no object is ever taken for another one."""

from dataclasses import replace

import pytest

from cutover.adapters.memory.objects import MemoryBody
from cutover.adapters.s3.objects import S3Objects
from cutover.adapters.s3.paths import is_plain_path
from cutover.engine.objects import copy_object
from cutover.errors import ObjectRefused
from cutover.model.change import ObjectName
from cutover.model.objects import ObjectInfo
from cutover.model.outputs import PATHS
from resilience_tests.contract.objects.conftest import SITE, S3Place
from resilience_tests.contract.objects.server import QUICK

CHANGED = ("d//x", "/d/x", "d/x/", "./x", "d/./x", "d/../x", "", ".", "d/" + "n" * 256)
KEPT = ("d/x", "D/x", ".d/x", "d./x", "...", "d x", "ü\u0308", "objects/" + "0" * 64, "n" * 255)


@pytest.mark.parametrize("key", CHANGED)
def test_a_key_that_a_file_system_would_change_is_no_plain_path(key: str) -> None:
    assert not is_plain_path(key)


@pytest.mark.parametrize("key", KEPT)
def test_a_key_that_a_file_system_keeps_is_a_plain_path(key: str) -> None:
    assert is_plain_path(key)


async def test_neither_reading_nor_writing_takes_another_object_in_its_place(s3_place: S3Place) -> None:
    """The neighbour is there: what a store of paths would give back for the changed key."""
    any_keys = s3_place.store()
    body = MemoryBody(ObjectInfo(size=5, etag=""), b"bytes")
    await any_keys.put_if_absent("d/x", body)
    store = S3Objects(replace(any_keys.wire.address, keys=PATHS), SITE, QUICK)
    try:
        with pytest.raises(ObjectRefused, match="keeps keys as paths"):
            await store.put_if_absent("d//x", body)
        with pytest.raises(ObjectRefused, match="keeps keys as paths"):
            await store.head("d//x")
        with pytest.raises(ObjectRefused, match="keeps keys as paths"):
            await store.sha256("d//x")
        reason = await copy_object(store, any_keys, ObjectName(key="d//x", bucket=None, sha256=None))
        assert "keeps keys as paths" in str(reason)
        assert await store.sha256("d/x") == (body.sha256, 5)
    finally:
        await store.close()
