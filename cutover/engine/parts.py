"""Everything that the engine is put together from.

The command line fills it with real adapters, the simulator with memory ones;
a known-bad variant is `dataclasses.replace(parts, ...)` of one of them.
"""

import random
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from cutover.engine.objects import copy_object
from cutover.model.change import Key, ObjectName, Transaction
from cutover.model.merge import Settled
from cutover.model.objects import Copied
from cutover.model.observation import Fence, Observation
from cutover.model.plan import Plan
from cutover.model.position import Snapshot
from cutover.model.register import Grant
from cutover.ports.clock import Clock
from cutover.ports.database import Applier, ChangeLog, Rows, SiteDatabase
from cutover.ports.objects import ObjectStore
from cutover.ports.witness import Journal, Register
from cutover.protocol.advance import advance
from cutover.protocol.attend import Duty, Watch, attend
from cutover.protocol.copying import reason_to_brake, superseded
from cutover.protocol.merging import Scene, settle
from cutover.protocol.moves import Decision
from cutover.protocol.replay import State

CopyObject = Callable[[ObjectStore, ObjectStore, ObjectName], Awaitable[Copied | str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """Ports, decisions and the random source of one process.

    The mappings are by site. `logs[site]` reads the log *of* that site, as its
    peer does; `appliers[site]` writes *at* that site.
    """

    plan: Plan
    sites: Mapping[str, SiteDatabase]
    rows: Mapping[str, Rows]
    stores: Mapping[str, ObjectStore]
    logs: Mapping[str, Callable[[], ChangeLog]]
    appliers: Mapping[str, Applier]
    register: Register
    journal: Journal
    clock: Clock
    random: random.Random
    preflight: Callable[[], Awaitable[list[str]]]
    advance: Callable[[Plan, State, Observation], Decision] = advance
    attend: Callable[[Plan, str, Fence, Grant, Watch], tuple[Duty, ...]] = attend
    settle: Callable[[Scene], list[Settled]] = settle
    superseded: Callable[[Snapshot, Iterable[tuple[Key, int]]], frozenset[Key]] = superseded
    reason_to_brake: Callable[[Plan, Transaction], str | None] = reason_to_brake
    copy_object: CopyObject = copy_object

    def nonce(self) -> str:
        """A value that no other writer will make."""
        return f"{self.random.getrandbits(64):016x}"
