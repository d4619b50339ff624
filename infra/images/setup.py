"""Makes a place's bucket once its store takes requests, and ends."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_delay, wait_fixed

from cutover.model.outputs import Credentials, ObjectStore
from infra.embedded.buckets import make_bucket
from infra.embedded.errors import ProcessFailed

PATIENCE_SECONDS = 60.0
"""Longest wait for a store that does not answer yet (seconds): its container may just be starting."""


async def serve(settings: Mapping[str, object], ready: Callable[[], None]) -> None:
    """Make the bucket that the settings name; one that is there already is fine.

    Settings: endpoint, bucket, region, credentials (path of a credentials file).
    Raises ProcessFailed with the store's answer, OSError when it cannot be reached.
    """
    store = ObjectStore(**{key: str(settings[key]) for key in ("endpoint", "bucket", "region")})
    known = Credentials.from_json(Path(str(settings["credentials"])).read_text())
    patient = AsyncRetrying(
        retry=retry_if_exception_type((OSError, ProcessFailed)),
        stop=stop_after_delay(PATIENCE_SECONDS),
        wait=wait_fixed(0.1),
        reraise=True,
    )
    await patient(asyncio.to_thread, make_bucket, store, known.s3)
    ready()
