"""A place with object store, register and journal whose server dies in the middle, and comes back."""

import asyncio
import random
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from cutover.adapters.memory.objects import MemoryObjects, MemoryStore
from cutover.adapters.memory.witness import MemoryJournal, MemoryRegister, MemoryWitness
from cutover.adapters.s3.address import S3Address
from cutover.adapters.s3.objects import S3Objects
from cutover.adapters.s3.wire import Request, Wire
from cutover.adapters.s3.witness import S3Journal, S3Register
from cutover.model.secret import Secret
from cutover.ports.objects import ObjectStore
from cutover.ports.witness import Journal, Register
from drill.simulator import loop
from drill.simulator.nap import Nap
from drill.simulator.network import Network
from drill.simulator.places import Host, Life
from resilience_tests.contract.objects.server import QUICK
from resilience_tests.contract.s3.servers import OwnServer, own_server

BUCKET, SITE = "kills", "east"
DEADLINE_SECONDS = 20.0


class Place(ABC):
    """Every client that it gives reaches the one server."""

    @abstractmethod
    def store(self) -> ObjectStore:
        """A client of the object store."""

    @abstractmethod
    def register(self, name: str) -> Register:
        """A client of the register of that name."""

    @abstractmethod
    def journal(self) -> Journal:
        """A client of the journal."""

    @abstractmethod
    async def hold_what_arrives(self) -> None:
        """Let writes reach the server from now on, and go no further."""

    @abstractmethod
    async def hold_what_is_done(self) -> None:
        """Let writes be done from now on, and not be answered."""

    @abstractmethod
    async def held(self, count: int) -> None:
        """Wait until so many writes are held."""

    @abstractmethod
    async def kill(self) -> None:
        """End the server at once."""

    @abstractmethod
    async def restart(self) -> None:
        """Start it on what it has kept."""


Story = Callable[[Place], Awaitable[None]]


class MemoryPlace(Place):
    """A host of the simulator, as one of its processes reaches it."""

    def __init__(self) -> None:
        self._host, self._life = Host(SITE), Life("worker west", "west")
        self._line = Network(random.Random(1)).line(self._life, self._host)
        self._store, self._witnesses = MemoryStore(SITE), {"journal": MemoryWitness()}
        self._held = 0
        self._dead = asyncio.Event()

    def store(self) -> ObjectStore:
        return MemoryObjects(self._store, carry=self._line.carry)

    def register(self, name: str) -> Register:
        witness = self._witnesses.setdefault(name, MemoryWitness())
        return MemoryRegister(witness, carry=self._line.carry)

    def journal(self) -> Journal:
        return MemoryJournal(self._witnesses["journal"], carry=self._line.carry)

    async def hold_what_arrives(self) -> None:
        self._host.freeze()

    async def hold_what_is_done(self) -> None:
        async def hold(effect: bool) -> None:  # noqa: FBT001
            self._held += effect
            await self._dead.wait()

        self._life.trap = hold

    async def held(self, count: int) -> None:
        await Nap(1)  # longer than any way takes, shorter than anybody's patience
        if self._life.trap is not None:
            assert self._held == count

    async def kill(self) -> None:
        await self._host.die()
        self._dead.set()

    async def restart(self) -> None:
        self._life.trap = None
        self._host.up = True


class S3Place(Place):
    """A bucket of a real server."""

    def __init__(self, server: OwnServer) -> None:
        self._server = server
        self._clients: list[S3Objects | S3Register | S3Journal | Wire] = []

    @property
    def _address(self) -> S3Address:
        account = self._server.account
        return S3Address(
            endpoint=account.endpoint,
            region=account.region,
            bucket=BUCKET,
            access_key=account.access_key,
            secret_key=Secret(account.secret),
        )

    def store(self) -> ObjectStore:
        self._clients.append(client := S3Objects(self._address, SITE, QUICK))
        return client

    def register(self, name: str) -> Register:
        self._clients.append(client := S3Register(self._address, f"{name}/", QUICK))
        return client

    def journal(self) -> Journal:
        self._clients.append(client := S3Journal(self._address, "", QUICK))
        return client

    async def hold_what_arrives(self) -> None:
        self._server.ask(do="hang", method="PUT")

    async def hold_what_is_done(self) -> None:
        """Whoever has no answer reads back: that is what is held."""
        self._server.ask(do="lose_acknowledgement", method="PUT")
        for method in ("GET", "HEAD"):
            self._server.ask(do="hang", method=method)

    async def held(self, count: int) -> None:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while self._hits() < count:
                await asyncio.sleep(0)

    def _hits(self) -> int:
        return sum(
            fault["hits"] for fault in self._server.ask(do="status")["faults"] if fault["kind"] == "hang"
        )

    async def kill(self) -> None:
        self._server.kill()

    async def restart(self) -> None:
        self._server.start()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["S3Place"]:
        """With its bucket; all clients are closed at the end."""
        self._clients.append(wire := Wire(self._address, SITE, QUICK))
        assert (await wire.ask(Request(method="PUT"))).status == 200
        try:
            yield self
        finally:
            for client in self._clients:
                await client.close()


def tell_in_memory(story: Story) -> None:
    """Tell a story of a simulated host, in virtual time."""

    async def told() -> None:
        await story(MemoryPlace())

    loop.run(1, told)


def tell_on_s3(story: Story, folder: Path) -> None:
    """Tell a story of a real server, which is killed."""

    async def told(server: OwnServer) -> None:
        async with S3Place(server).opened() as place:
            await story(place)

    with own_server(folder) as server:
        asyncio.run(told(server))
