"""One witness in memory and one on a real S3 server, each with the same ways to go wrong."""

import asyncio
import itertools
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator

import pytest

from cutover.adapters.memory.witness import MemoryJournal, MemoryRegister, MemoryWitness
from cutover.adapters.s3.wire import Request, Wire
from cutover.adapters.s3.witness import S3Journal, S3Register
from cutover.errors import Inconclusive, SiteUnreachable
from cutover.ports.witness import Journal, Register
from resilience_tests.contract.objects.server import QUICK, S3Server, running, unused_port

BUCKET = "witness"
RUNS = itertools.count()


class Place(ABC):
    """A witness, seen by several clients."""

    @abstractmethod
    def register(self, *, reachable: bool = True) -> Register:
        """Another client's way to the register."""

    @abstractmethod
    def journal(self, *, reachable: bool = True) -> Journal:
        """Another client's way to the journal."""

    @abstractmethod
    async def plant_register(self, body: bytes) -> None:
        """Put a body of somebody else's in the register's place."""

    @abstractmethod
    async def plant_entry(self, n: int, body: bytes) -> None:
        """Put a body of somebody else's in an entry's place."""

    @abstractmethod
    async def lose_next_answer(self) -> None:
        """Carry the next write out, and lose its answer."""

    @abstractmethod
    async def lose_next_request(self) -> None:
        """Do nothing at the next write, and give no answer."""


class MemoryPlace(Place):
    """Everything in one process."""

    def __init__(self) -> None:
        self.witness = MemoryWitness()
        self._trouble: list[Exception | None] = []

    def register(self, *, reachable: bool = True) -> Register:
        return MemoryRegister(self.witness, self._pause if reachable else self._refuse)

    def journal(self, *, reachable: bool = True) -> Journal:
        return MemoryJournal(self.witness, self._pause if reachable else self._refuse)

    async def plant_register(self, body: bytes) -> None:
        self.witness.register = body

    async def plant_entry(self, n: int, body: bytes) -> None:
        self.witness.entries[n] = body

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
        raise SiteUnreachable("witness", "nobody listens")


class S3Place(Place):
    """A prefix of a real server's bucket."""

    def __init__(self, server: S3Server, prefix: str) -> None:
        self._server, self._prefix = server, prefix
        self._wire = Wire(server.address(BUCKET), "witness", QUICK)
        self._dead = server.address(BUCKET, endpoint=f"http://127.0.0.1:{unused_port()}")
        self._clients: list[S3Register | S3Journal | Wire] = [self._wire]

    def register(self, *, reachable: bool = True) -> Register:
        address = self._server.address(BUCKET) if reachable else self._dead
        client = S3Register(address, self._prefix, QUICK)
        self._clients.append(client)
        return client

    def journal(self, *, reachable: bool = True) -> Journal:
        address = self._server.address(BUCKET) if reachable else self._dead
        client = S3Journal(address, self._prefix, QUICK)
        self._clients.append(client)
        return client

    async def plant_register(self, body: bytes) -> None:
        await self._plant("register.json", body)

    async def plant_entry(self, n: int, body: bytes) -> None:
        await self._plant(f"journal/{n:012}.json", body)

    async def lose_next_answer(self) -> None:
        await self._server.strike("lose_acknowledgement", method="PUT", key_prefix=self._prefix, count=1)

    async def lose_next_request(self) -> None:
        await self._server.strike("fail503", method="PUT", key_prefix=self._prefix, count=1)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()

    async def _plant(self, name: str, body: bytes) -> None:
        answer = await self._wire.ask(Request(method="PUT", key=self._prefix + name, body=body))
        assert answer.status == 200, answer


@pytest.fixture(scope="session")
def server() -> Iterator[S3Server]:
    with running() as server:
        yield server


@pytest.fixture(params=["memory", "s3"])
async def place(request: pytest.FixtureRequest) -> AsyncIterator[Place]:
    if request.param == "memory":
        yield MemoryPlace()
        return
    server: S3Server = request.getfixturevalue("server")
    await server.make_bucket(BUCKET)
    s3_place = S3Place(server, f"run {next(RUNS)}/")
    yield s3_place
    await s3_place.close()
