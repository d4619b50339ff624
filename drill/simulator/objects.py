"""The sample platform's bucket over the memory store that the engine copies from."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cutover.adapters.memory.objects import BLOCK_BYTES, MemoryBody, MemoryObjects
from cutover.errors import CutoverError, Missing
from cutover.model.objects import ObjectInfo
from sample_platform.errors import NotFound, OtherBytes, Unavailable
from sample_platform.ports import Body, Download


@dataclass(frozen=True, slots=True)
class SimulatedObjects:
    """Objects by one client of a site's memory store."""

    store: MemoryObjects

    async def put_if_absent(self, key: str, body: Body) -> bool:
        """As the port says."""
        data = b"".join([chunk async for chunk in body.chunks()])
        held = MemoryBody(ObjectInfo(size=len(data), etag=""), data)
        try:
            if await self.store.put_if_absent(key, held):
                return True
            found = await self.store.sha256(key)
        except CutoverError as away:
            raise Unavailable(f"{away}") from away
        if found != (hashlib.sha256(data).hexdigest(), len(data)):
            raise OtherBytes(f"the store holds other bytes under {key!r} than their name says")
        return False

    async def open(self, key: str) -> Download:
        """As the port says."""
        try:
            async with self.store.fetch(key) as body:
                data = b"".join([block async for block in body.blocks()])
        except Missing as gone:
            raise NotFound(f"no object {key!r}") from gone
        except CutoverError as away:
            raise Unavailable(f"{away}") from away
        return HeldDownload(data)

    async def size(self, key: str) -> int | None:
        """As the port says."""
        try:
            info = await self.store.head(key)
        except CutoverError as away:
            raise Unavailable(f"{away}") from away
        return None if info is None else info.size


@dataclass(frozen=True, slots=True)
class HeldDownload:
    """A download whose bytes are all there."""

    data: bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.data)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Read it."""
        for start in range(0, len(self.data), BLOCK_BYTES):
            yield self.data[start : start + BLOCK_BYTES]

    async def close(self) -> None:
        """Nothing is held."""
