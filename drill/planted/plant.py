"""What a known-bad variant is, and what it needs to show."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cutover.engine.parts import Parts
from drill.schedule import Strike
from sample_platform.platform import Platform

if TYPE_CHECKING:
    from drill.simulator.world import World

Disturb = Callable[["World"], Awaitable[None]]
"""What goes wrong meanwhile; it ends with everything started again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What a simulated migration meets while the variant is in it.

    Without the variant the engine must bear just the same: the test of each
    plant runs that first, and every checker must hold.
    """

    told: str = ""  #: what goes wrong meanwhile, as the table of plants says it; empty: nothing
    ending: str = "soak"  #: `soak`, `complete` or `roll-back`
    copying: bool = False  #: many clients while tables are copied and few later: nothing mends a bad copy
    operations: int | None = None  #: how many there are that are no uploads, at least; None: the usual
    strikes: tuple[Strike, ...] = ()  #: faults; with them users go on more slowly, and for longer
    lending: bool = False  #: the plan lets the peer lend leases; users go on as with strikes
    disturb: Disturb | None = None  #: what no fault does; not together with strikes


@dataclass(frozen=True, slots=True, kw_only=True)
class Plant:
    """One bug that somebody could have made, and the checker that must catch it.

    Where the engine has a defence that would stop the migration before any
    harm is done, the variant takes that out too, and its file says so: a plant
    proves a checker, not the engine.
    """

    name: str  #: kebab-case
    rule: str  #: the safety rule that it breaks, with its letter: `S1a` to `S13`
    checker: str  #: the checker meant for it
    about: str  #: one sentence: what is wrong
    symptom: str = ""  #: what users of the incident reported, if this is the mechanism behind it
    origin: str = ""  #: where it was seen: an issue of another engine, a talk; empty: nowhere that we know
    seeds: int = 10  #: migrations within which it must be caught
    under: Circumstances = field(default_factory=Circumstances)
    simulated_only: bool = False  #: it reaches into the memory adapters, so no live drill can carry it
    processes: frozenset[str]  #: of worker, agent, coordinator, platform: those that carry it
    in_parts: Callable[[Parts], Parts] = lambda parts: parts
    platform: type[Platform] = Platform  #: what a process of the kind `platform` makes of its ports
    database: Mapping[str, str] = field(default_factory=dict)  #: settings of the servers, live only
