"""One store in memory and one on a real S3 server."""

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator

import pytest

from cutover.adapters.memory.objects import MemoryObjects, MemoryStore
from cutover.adapters.s3.objects import S3Objects
from cutover.errors import Inconclusive, SiteUnreachable
from cutover.ports.objects import ObjectStore
from resilience_tests.contract.objects.server import HASTY, QUICK, S3Server, running, unused_port

SITE = "east"
OTHER_BUCKET = "other"
RUNS = itertools.count()


class Place(ABC):
    """A site's store, seen by several clients."""

    @abstractmethod
    def store(self, *, reachable: bool = True) -> ObjectStore:
        """Another client's way to the store."""

    @abstractmethod
    async def lose_next_answer(self) -> None:
        """Carry the next put out, and lose its answer."""

    @abstractmethod
    async def lose_next_request(self) -> None:
        """Do nothing at the next put, and give no answer that says so."""


class MemoryPlace(Place):
    """Everything in one process."""

    def __init__(self) -> None:
        self._store = MemoryStore(SITE, more_buckets=(OTHER_BUCKET,))
        self._trouble: list[Exception | None] = []

    def store(self, *, reachable: bool = True) -> ObjectStore:
        return MemoryObjects(self._store, self._pause if reachable else self._refuse)

    async def lose_next_answer(self) -> None:
        self._trouble = [None, Inconclusive("the answer was lost")]

    async def lose_next_request(self) -> None:
        self._trouble = [Inconclusive("the request was lost")]

    async def _pause(self) -> None:
        await asyncio.sleep(0)
        trouble = self._trouble.pop(0) if self._trouble else None
        if trouble is not None:
            raise trouble

    async def _refuse(self) -> None:
        raise SiteUnreachable(SITE, "nobody listens")


class S3Place(Place):
    """A bucket of a real server."""

    def __init__(self, server: S3Server, bucket: str) -> None:
        self.server, self.bucket = server, bucket
        self._clients: list[S3Objects] = []

    def store(self, *, reachable: bool = True) -> S3Objects:
        if reachable:
            return self.kept(S3Objects(self.server.address(self.bucket), SITE, QUICK))
        dead = self.server.address(self.bucket, endpoint=f"http://127.0.0.1:{unused_port()}")
        return self.kept(S3Objects(dead, SITE, HASTY))

    def kept(self, client: S3Objects) -> S3Objects:
        """Close this client when the test is over."""
        self._clients.append(client)
        return client

    async def lose_next_answer(self) -> None:
        await self.server.strike("lose_acknowledgement", method="PUT", bucket=self.bucket, count=1)

    async def lose_next_request(self) -> None:
        await self.server.strike("fail503", method="PUT", bucket=self.bucket, count=1)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    with running() as server:
        yield server


@pytest.fixture
async def s3_place(server: S3Server) -> AsyncIterator[S3Place]:
    place = S3Place(server, f"bucket-{next(RUNS)}")
    await server.make_bucket(place.bucket)
    await server.make_bucket(OTHER_BUCKET)
    yield place
    await server.strike("heal")
    await place.close()


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest) -> Place:
    if request.param == "memory":
        return MemoryPlace()
    s3_place: S3Place = request.getfixturevalue("s3_place")
    return s3_place
