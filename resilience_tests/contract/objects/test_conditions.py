"""A store that breaks a promise is found out before anything rests on it."""

import pytest

from cutover.adapters.s3.address import S3Address
from cutover.adapters.s3.objects import S3Objects
from cutover.errors import SiteUnreachable
from cutover.model.outputs import ANY_KEYS, PATHS
from cutover.model.secret import Secret
from resilience_tests.contract.objects.conftest import SITE
from resilience_tests.contract.objects.liar import lying
from resilience_tests.contract.objects.server import QUICK

LIES = {
    "ignores If-None-Match": [
        "a put with If-None-Match: * is not",
        "an upload in parts",
        "at once with If-None-Match",
    ],
    "ignores If-None-Match on POST": ["an upload in parts"],
    "ignores If-Match": ["a put with If-Match does not", "a delete with If-Match", "at once with If-Match"],
    "ignores If-Match on DELETE": ["a delete with If-Match"],
    "makes what is not there": ["makes an object that was not there"],
    "ignores digests": ["does not have the sha256"],
    "folds keys": ["keys are changed: two plain paths"],
    "drops a header": ["do not come back as they were sent"],
    "rewrites keys": ["keys are changed: two that differ"],
    "checks long before it writes": ["at once with If-None-Match", "at once with If-Match"],
}


@pytest.mark.parametrize("lie", LIES)
async def test_a_store_that_breaks_a_promise_is_named_for_it(lie: str) -> None:
    sentences, left = await _proven(lie)
    assert len(sentences) == len(LIES[lie]), sentences
    for sentence, expected in zip(sentences, LIES[lie], strict=True):
        assert expected in sentence
        assert "bucket 'uploads'" in sentence
    assert left == []


async def test_a_store_that_breaks_none_is_not_accused() -> None:
    assert await _proven("") == ([], [])


async def test_a_store_that_asks_to_be_spared_is_not_accused() -> None:
    assert await _proven("asks to be spared") == ([], [])


@pytest.mark.parametrize("trouble", ["breaks down", "breaks down late"])
async def test_a_store_that_breaks_down_is_out_of_reach_and_not_accused(trouble: str) -> None:
    with pytest.raises(SiteUnreachable, match="500"):
        await _proven(trouble)


async def test_a_store_that_keeps_paths_is_taken_for_what_it_says() -> None:
    assert await _proven("rewrites keys", keys=PATHS) == ([], [])
    sentences, _ = await _proven("folds keys", keys=PATHS)
    assert ["two plain paths" in sentence for sentence in sentences] == [True]


async def _proven(lie: str, keys: str = ANY_KEYS) -> tuple[list[str], list[str]]:
    """What is said of such a store, and the keys that are left in it."""
    async with lying(lie) as (endpoint, liar):
        address = S3Address(
            endpoint=endpoint,
            region="r",
            bucket="uploads",
            access_key="key",
            secret_key=Secret("secret"),
            keys=keys,
        )
        store = S3Objects(address, SITE, QUICK)
        try:
            return await store.prove_conditions(), list(liar.objects)
        finally:
            await store.close()
