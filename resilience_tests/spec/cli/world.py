"""Two sites and a witness in memory, in which the commands run as they are called.

What the commands do is real: engine, protocol, journal. Only the adapters and
the place where they are picked are replaced. Agents and workers run for as
long as a command does.
"""

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType

import pytest

from cutover.adapters.clock import SystemClock
from cutover.adapters.memory.objects import MemoryObjects, MemoryStore
from cutover.adapters.memory.replication import MemoryApplier, MemoryLog, MemoryRows
from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.site import MemorySite
from cutover.adapters.memory.witness import MemoryJournal, MemoryRegister, MemoryWitness
from cutover.cli.plan_file import parse_plan
from cutover.engine.agent import Agent
from cutover.engine.parts import Parts
from cutover.engine.worker import Worker
from cutover.errors import SiteUnreachable
from cutover.model.change import Insert
from cutover.model.outputs import Database, ObjectStore, Outputs, SiteOutputs, WitnessOutputs
from cutover.model.plan import Plan

SITES = ("east", "west")

PLAN = """\
schema: 1
name: move
stack: outputs.json
source: east
target: west
lease: {seconds: 0.6, margin: 0.1}
gates: {approve_cutover: false}
tables:
  - {name: posts, key: [id], merge: record}
"""

STORE = ObjectStore(endpoint="http://127.0.0.1:1", bucket="b", region="r")


def outputs_of(*sites: str) -> Outputs:
    """A stack with these two sites, the source first; nothing listens at any of its addresses."""
    roles = dict(zip(sites, ("source", "target"), strict=True))
    described = {
        name: SiteOutputs(
            role=role,
            region="r",
            s3=STORE,
            postgres=Database(host="127.0.0.1", port=1, database="d"),
            platform="http://127.0.0.1:1",
            agent="http://127.0.0.1:1",
            credentials_file=f"{name}.json",
        )
        for name, role in roles.items()
    }
    witness = WitnessOutputs(s3=STORE, prefix="p/", credentials_file="witness.json")
    return Outputs(name="main", kind="embedded", sites=described, witness=witness)


@dataclass
class World:
    """What outlives a command."""

    folder: Path
    witness: MemoryWitness = field(default_factory=MemoryWitness)
    problems: list[str] = field(default_factory=list)  #: what preflight finds
    down: set[str] = field(default_factory=set)  #: sites, or `witness`, that do not answer
    servers: dict[str, MemoryServer] = field(default_factory=dict)
    stores: dict[str, MemoryStore] = field(default_factory=dict)

    def __post_init__(self) -> None:
        plan = self.plan
        self.write_plan(PLAN)
        (self.folder / "outputs.json").write_text(outputs_of(*SITES).to_json())
        for name in SITES:
            reach = partial(self._reach, name)
            self.servers[name] = MemoryServer(site=name, plan=plan, clock=time.monotonic, reach=reach)
            self.stores[name] = MemoryStore(site=name)

    @property
    def path(self) -> Path:
        return self.folder / "plan.yaml"

    @property
    def plan(self) -> Plan:
        return self.plan_of(PLAN)

    def plan_of(self, text: str) -> Plan:
        return parse_plan(text, self.path).plan

    def write_plan(self, text: str) -> None:
        self.path.write_text(text)

    def add_post(self, site: str, name: str) -> None:
        """A row of the user's, committed and visible, whatever the fence says."""
        server = self.servers[site]
        server.show(server.commit([Insert("public.posts", (name,), {"id": name})], request=None))

    def posts(self, site: str) -> list[str]:
        return sorted(key for (key,) in self.servers[site].rows("public.posts"))

    async def _reach(self, name: str) -> None:
        if name in self.down:
            raise SiteUnreachable(name, "it is down")
        await asyncio.sleep(0)

    def parts(self, plan: Plan) -> Parts:
        async def preflight() -> list[str]:
            return self.problems

        reach = partial(self._reach, "witness")
        return Parts(
            plan=plan,
            sites={name: MemorySite(server) for name, server in self.servers.items()},
            rows={name: MemoryRows(server) for name, server in self.servers.items()},
            stores={name: MemoryObjects(self.stores[name], partial(self._reach, name)) for name in SITES},
            logs={name: partial(MemoryLog, server) for name, server in self.servers.items()},
            appliers={name: MemoryApplier(server) for name, server in self.servers.items()},
            register=MemoryRegister(self.witness, reach),
            journal=MemoryJournal(self.witness, reach),
            clock=SystemClock(),
            random=random.Random(7),
            preflight=preflight,
        )

    @asynccontextmanager
    async def opened(self, plan: Plan, _: Outputs) -> AsyncIterator[Parts]:
        """In the place of `cutover.cli.compose.opened`."""
        parts = self.parts(plan)
        runs = [kind(parts, site).run() for kind in (Agent, Worker) for site in SITES]
        beside = [asyncio.ensure_future(run) for run in runs]
        try:
            yield parts
        finally:
            await _end(beside)


async def _end(tasks: list["asyncio.Task[None]"]) -> None:
    """Cancel until it is heard: before Python 3.12 `asyncio.wait_for` can swallow a cancellation."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.05)


def in_memory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A world in which the commands find its memory adapters, and a state folder of its own."""
    world = World(folder)
    compose = ModuleType("cutover.cli.compose")
    compose.__dict__["opened"] = world.opened
    monkeypatch.setitem(sys.modules, "cutover.cli.compose", compose)
    monkeypatch.setenv("CUTOVER_STATE", str(folder / "state"))
    for name in ("CUTOVER_PLAN", "CUTOVER_STACK"):
        monkeypatch.delenv(name, raising=False)
    return world
