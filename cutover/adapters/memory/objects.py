"""One site's objects in memory, for simulated runs and as the contract's plainest form."""

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from cutover.adapters.memory.carry import Carry, Pause, paused
from cutover.adapters.s3.carried import headers_of
from cutover.errors import Inconclusive, Missing, Refused, SiteUnreachable
from cutover.model.objects import ObjectInfo
from cutover.ports.objects import Body

BLOCK_BYTES = 1 << 20
DEFAULT_TYPE = "binary/octet-stream"
"""What S3 says of an object that was stored without a content type."""


class MemoryBody:
    """A body that is held in memory."""

    def __init__(self, info: ObjectInfo, data: bytes, sha256: str | None = None) -> None:
        self.info, self.data = info, data
        self.sha256 = hashlib.sha256(data).hexdigest() if sha256 is None else sha256

    async def blocks(self) -> AsyncIterator[bytes]:
        """The bytes, from the start."""
        for start in range(0, len(self.data), BLOCK_BYTES):
            yield self.data[start : start + BLOCK_BYTES]

    def close(self) -> None:
        """Nothing is held that must be given back."""


@dataclass(slots=True)
class MemoryStore:
    """What all clients of one site's store share."""

    site: str
    bucket: str = "objects"  #: the site's own
    more_buckets: tuple[str, ...] = ()
    objects: dict[tuple[str, str], MemoryBody] = field(default_factory=dict)  #: by bucket and key


class MemoryObjects:
    """One client's way to a site's objects."""

    def __init__(self, store: MemoryStore, pause: Pause | None = None, carry: Carry | None = None) -> None:
        """Over `carry`, or with a `pause` before and after each effect."""
        self._store, self._carry = store, carry or paused(pause)

    @property
    def site(self) -> str:
        """Whose objects these are."""
        return self._store.site

    async def head(self, key: str, *, bucket: str | None = None) -> ObjectInfo | None:
        """What the store says of an object; None when there is none."""
        found = await self._read(key, bucket)
        return None if found is None else found.info

    @asynccontextmanager
    async def fetch(self, key: str, *, bucket: str | None = None) -> AsyncIterator[Body]:
        """Read an object; raises Missing when there is none."""
        found = await self._read(key, bucket)
        if found is None:
            raise Missing(site=self.site, key=key)
        yield found

    async def put_if_absent(self, key: str, body: Body, *, bucket: str | None = None) -> bool:
        """Store the bytes with their metadata; False when the key was there before."""
        new = await self._held(key, body)
        place = self._place(key, bucket)
        objects = self._store.objects
        try:
            return await self._carry(lambda: objects.setdefault(place, new) is new, effect=True)
        except Inconclusive as unclear:
            return await self._read_back(key, bucket, new, unclear)

    async def sha256(self, key: str, *, bucket: str | None = None) -> tuple[str, int] | None:
        """The digest (hex) and size of the bytes, or None when there is no such object."""
        found = await self._read(key, bucket)
        return None if found is None else (hashlib.sha256(found.data).hexdigest(), len(found.data))

    async def prove_conditions(self) -> list[str]:
        """Nothing is wrong with a dictionary."""
        await self._carry(lambda: None, effect=False)
        return []

    async def _read(self, key: str, bucket: str | None) -> MemoryBody | None:
        place = self._place(key, bucket)
        return await self._carry(lambda: self._store.objects.get(place), effect=False)

    async def _read_back(self, key: str, bucket: str | None, new: MemoryBody, unclear: Inconclusive) -> bool:
        """Whether an equal object is there now; raises `unclear` when that cannot be known."""
        try:
            found = await self._read(key, bucket)
        except SiteUnreachable:
            raise unclear from None
        if found is None:
            raise unclear
        return (found.info, found.data) == (new.info, new.data)

    async def _held(self, key: str, body: Body) -> MemoryBody:
        """The body as it is kept; raises Refused when its digest is wrong, or S3 could not take it."""
        headers_of(body.info, what=f"object {key!r} at site {self.site!r}")
        data = b"".join([block async for block in body.blocks()])
        if hashlib.sha256(data).hexdigest() != body.sha256:
            raise Refused(
                f"object {key!r} at site {self.site!r}: the bytes that arrived are not those of sha256 "
                f"{body.sha256}. Nothing was stored. Read the object again."
            )
        etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
        kind = body.info.content_type or DEFAULT_TYPE
        return MemoryBody(replace(body.info, size=len(data), etag=etag, content_type=kind), data, body.sha256)

    def _place(self, key: str, bucket: str | None) -> tuple[str, str]:
        store = self._store
        if bucket not in (None, store.bucket, *store.more_buckets):
            raise Refused(f"site {store.site!r} has no bucket {bucket!r}. Check the plan's `objects:`.")
        return bucket or store.bucket, key
