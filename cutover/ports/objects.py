"""One site's object store.

Every adapter passes resilience_tests/contract/objects/ and .../kills/. All methods
raise SiteUnreachable when no answer came and nothing can have happened, and
Inconclusive when it may have. `bucket` None means the site's own. There is no
listing: rows name the objects that there are to be.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from cutover.model.objects import ObjectInfo


class Body(Protocol):
    """An object's bytes, fetched whole (in memory or in a temporary file) and hashed on the way."""

    @property
    def info(self) -> ObjectInfo: ...
    @property
    def sha256(self) -> str: ...
    def blocks(self) -> AsyncIterator[bytes]:
        """The bytes, from the start, as often as wanted."""


class ObjectStore(Protocol):
    """Objects by the exact bytes of their keys."""

    @property
    def site(self) -> str: ...

    async def head(self, key: str, *, bucket: str | None = None) -> ObjectInfo | None:
        """What the store says of an object; None when it answers that there is none."""

    def fetch(self, key: str, *, bucket: str | None = None) -> AbstractAsyncContextManager[Body]:
        """Read an object; raises Missing when the store answers that there is none."""

    async def put_if_absent(self, key: str, body: Body, *, bucket: str | None = None) -> bool:
        """Store the bytes with all their metadata, digest checked by the store.

        True: stored and durable. False: the key was there before, and nothing was
        touched: read and compare.
        """

    async def sha256(self, key: str, *, bucket: str | None = None) -> tuple[str, int] | None:
        """Read the bytes; return their digest (hex) and size, or None when there is no such object."""

    async def prove_conditions(self) -> list[str]:
        """Try, race and remove a scratch object; name each condition that the store gets wrong."""
