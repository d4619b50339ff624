"""The simulator's records and objects pass the contract of the platform's ports, as the real ones do."""

import asyncio
from dataclasses import dataclass
from itertools import count
from math import inf

import pytest

from cutover.adapters.memory.objects import MemoryObjects, MemoryStore
from cutover.adapters.memory.server import MemoryServer
from drill.sample_plan import sample_plan
from drill.simulator.objects import SimulatedObjects
from drill.simulator.records import SimulatedRecords, SimulatedServingCheck
from resilience_tests.contract.platform.test_objects import *  # noqa: F403
from resilience_tests.contract.platform.test_records import *  # noqa: F403


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedWorld:
    """Over memory servers, with the engine's side played by hand."""

    records: SimulatedRecords
    objects: SimulatedObjects
    serving: SimulatedServingCheck
    server: MemoryServer

    def install_engine(self) -> None:
        """Serve under epoch 1, with a lease that does not end."""
        self.server.prepared = self.server.opened = True
        self.server.epoch, self.server.lease_boot, self.server.lease_until = 1, self.server.boot, inf

    def grant(self, epoch: int | None) -> None:
        """Serve under an epoch, or not at all."""
        self.server.opened = epoch is not None
        self.server.epoch = epoch or self.server.epoch

    def close_fence(self) -> None:
        """Refuse every write."""
        self.server.opened = False


@pytest.fixture
def world() -> SimulatedWorld:
    """Everything in memory; each call lets others run before and after its effect."""
    ticks = count()

    async def reach() -> None:
        await asyncio.sleep(0)

    server = MemoryServer("east", sample_plan(), lambda: float(next(ticks)), reach)
    return SimulatedWorld(
        records=SimulatedRecords(server),
        objects=SimulatedObjects(MemoryObjects(MemoryStore("east"), reach)),
        serving=SimulatedServingCheck(server),
        server=server,
    )
