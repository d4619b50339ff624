"""What can go wrong in a simulated world, whom it strikes, and how it is undone: a fault owns its healing."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cutover.adapters.memory.objects import MemoryBody
from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.witness import MemoryWitness
from cutover.errors import Inconclusive
from drill.simulator.nap import Nap
from drill.simulator.network import Way
from drill.simulator.places import OPERATOR, WITNESS
from drill.simulator.world import World

CUT_SECONDS = 0.4
"""How long the link between the sites is cut before one dies: what is acknowledged then is not sent."""
SLOW = 150.0
"""How many times slower a slow link is: up to 0.6 s each way."""
LOSS = 0.25
"""Share of what a lossy link loses."""
STEP_OF_THE_MARGIN = 0.9
"""How far a clock is stepped, as a share of the jump that the plan says we bear."""
COORDINATORS = ("coordinator", "coordinator two")
SITES = ("source", "target")
DEADLY = frozenset({"kill", "power-cut", "cut-then-kill"})
"""Faults after which a site may stay away for good."""

Act = Callable[["Struck"], Awaitable[None]]


@dataclass(slots=True)
class Struck:
    """One strike: the world, whom it hits, and what its healing must know."""

    world: World
    victim: str
    older: "Memory"
    seconds: float | None
    left: dict[str, Any] = field(default_factory=dict)

    @property
    def site(self) -> str:
        """The victim's site, by its name in the plan."""
        plan = self.world.plan
        return plan.target if self.victim.endswith("target") else plan.source

    @property
    def process(self) -> str:
        """The victim process; a worker is the target's and an agent the source's, unless it is said."""
        kind, _, at = self.victim.partition("-")
        plan = self.world.plan
        usual = plan.target if kind == "worker" else plan.source
        return f"{kind} {plan.target if at == 'target' else plan.source if at == 'source' else usual}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedFault:
    """One way to break something."""

    name: str
    victims: tuple[str, ...]
    strike: Act
    heal: Act
    seconds: tuple[float, float]  #: between the two: the usual, and the longest that chance picks


@dataclass(slots=True)
class Memory:
    """Older states of what may be restored, taken as the journal grows."""

    world: World
    servers: dict[str, dict[str, Any]] = field(default_factory=dict)
    stores: dict[str, dict[tuple[str, str], MemoryBody]] = field(default_factory=dict)
    witness: MemoryWitness | None = None

    def keep(self) -> "Memory":
        """Take the present state; return the older one."""
        before = Memory(self.world, self.servers, self.stores, self.witness)
        self.servers = {name: _state(server) for name, server in self.world.servers.items()}
        self.stores = {name: dict(store.objects) for name, store in self.world.stores.items()}
        self.witness = copy_of(self.world.witness)
        return before


OF_THE_SERVER = frozenset(("site", "plan", "clock", "reach", "pause", "boot", "disk", "references", "unique"))
OF_THE_ROWS = frozenset(("tables", "visible", "log", "committing", "writers", "xid", "heard"))


def _state(server: MemoryServer) -> dict[str, Any]:
    names = [name for name in MemoryServer.__slots__ if name not in OF_THE_SERVER | OF_THE_ROWS]
    found = {name: getattr(server, name) for name in names}
    found = {name: dict(value) if isinstance(value, dict) else value for name, value in found.items()}
    return found | {"log": len(server.log)}


def copy_of(witness: MemoryWitness) -> MemoryWitness:
    """The same register and journal."""
    return MemoryWitness(witness.register, witness.version, dict(witness.entries))


def put_back(witness: MemoryWitness, older: MemoryWitness) -> None:
    """Let a witness hold what `older` holds; a tag is never used twice."""
    witness.register, witness.entries = older.register, dict(older.entries)
    witness.version += 1


# -- dying ----------------------------------------------------------------------------------


async def _kill(struck: Struck) -> None:
    await _end(struck, power=False)


async def _power_cut(struck: Struck) -> None:
    await _end(struck, power=True)


async def _end(struck: Struck, *, power: bool) -> None:
    world = struck.world
    match struck.victim:
        case "source" | "target":
            await world.kill_site(struck.site, power=power)
        case "witness":
            await world.hosts[WITNESS].die()
        case "coordinator":
            for name in COORDINATORS:
                await world.kill(name)
        case "backend":
            _trap(struck, _die)
        case _:
            await world.kill(struck.process)


async def _start(struck: Struck) -> None:
    world = struck.world
    match struck.victim:
        case "source" | "target":
            world.restart_site(struck.site)
        case "witness":
            world.hosts[WITNESS].up = True
        case "coordinator":
            world.start(COORDINATORS[0])
        case "backend":
            _untrap(struck)
        case _:
            if world.hosts[struck.process.partition(" ")[2]].up:
                world.start(struck.process)


async def _cut_then_kill(struck: Struck) -> None:
    struck.left["ways"] = _ways(struck, "sites")
    _cut(struck)
    await Nap(CUT_SECONDS)
    await struck.world.kill_site(struck.site)


async def _mend_and_start(struck: Struck) -> None:
    await _mend(struck)
    struck.world.restart_site(struck.site)


# -- one backend ----------------------------------------------------------------------------


def _trap(struck: Struck, what: Callable[[Struck, str], Awaitable[None]]) -> None:
    """The next transaction at the site that serves walks into it."""
    host = struck.world.hosts[struck.world.serving]
    moment = struck.world.random(f"backend {struck.victim} {host.lives}").choice(("checked", "committed"))
    wanted = struck.left.setdefault("moment", moment)

    async def caught(moment: str) -> None:
        if moment == wanted and host.trap is caught:
            host.trap = None
            await what(struck, moment)

    struck.left["host"], host.trap = host, caught


def _untrap(struck: Struck) -> None:
    struck.left["host"].trap = None


async def _die(struck: Struck, moment: str) -> None:
    raise Inconclusive(f"the backend died when its transaction was {moment}")


async def _sleep(struck: Struck, moment: str) -> None:
    await Nap(struck.seconds or 1.0)


async def _lose_the_answer(struck: Struck) -> None:
    """An effect that its sender never hears of."""
    if struck.victim == "backend":
        struck.left["moment"] = "committed"
        _trap(struck, _die)
        return
    name = struck.victim if struck.victim == "coordinator" else struck.process
    life = struck.world.lives.get(name)
    if life is not None:
        life.deaf += 1


async def _hear_again(struck: Struck) -> None:
    if struck.victim == "backend":
        _untrap(struck)


# -- freezing -------------------------------------------------------------------------------


async def _pause(struck: Struck) -> None:
    """Others must be able to go on: a second coordinator takes over, and the first wakes late."""
    world = struck.world
    match struck.victim:
        case "source" | "target":
            world.freeze_site(struck.site)
        case "witness":
            world.hosts[WITNESS].freeze()
        case "coordinator":
            world.pause(COORDINATORS[0])
            world.start(COORDINATORS[1])
        case "backend":
            struck.left["moment"] = "checked"
            _trap(struck, _sleep)
        case _:
            world.pause(struck.process)


async def _resume(struck: Struck) -> None:
    world = struck.world
    match struck.victim:
        case "source" | "target":
            world.thaw_site(struck.site)
        case "witness":
            world.hosts[WITNESS].thaw()
        case "coordinator":
            world.resume(COORDINATORS[0])
        case "backend":
            _untrap(struck)
        case _:
            world.resume(struck.process)


# -- links ----------------------------------------------------------------------------------


def _ways(struck: Struck, victim: str, *, out: bool = True, into: bool = True) -> list[Way]:
    """The directions between a victim and everybody whom it speaks with, but for clients."""
    plan, network = struck.world.plan, struck.world.network
    if victim == "sites":
        return network.between(plan.source, [plan.target], out=out, into=into)
    elsewhere = {"witness": WITNESS, "coordinator": OPERATOR}
    place = elsewhere.get(victim) or struck.site
    others = [other for other in (plan.source, plan.target, WITNESS, OPERATOR) if other != place]
    return network.between(place, others, out=out, into=into)


def _cut(struck: Struck) -> None:
    for way in struck.left["ways"]:
        way.cuts += 1


async def _partition(struck: Struck) -> None:
    struck.left["ways"] = _ways(struck, struck.victim)
    _cut(struck)


async def _one_way(struck: Struck) -> None:
    """It hears, and is not heard: its requests do not arrive, its answers neither."""
    struck.left["ways"] = _ways(struck, struck.victim, into=False)
    _cut(struck)


async def _one_way_in(struck: Struck) -> None:
    """It is heard, and does not hear: what it does has its effect, and no answer comes back."""
    struck.left["ways"] = _ways(struck, struck.victim, out=False)
    _cut(struck)


async def _mend(struck: Struck) -> None:
    for way in struck.left["ways"]:
        way.cuts -= 1


async def _slow(struck: Struck) -> None:
    struck.left["ways"] = _ways(struck, struck.victim)
    for way in struck.left["ways"]:
        way.slowed += 1
        way.delay = SLOW


async def _as_fast(struck: Struck) -> None:
    for way in struck.left["ways"]:
        way.slowed -= 1
        way.delay = SLOW if way.slowed else 1.0


async def _lossy(struck: Struck) -> None:
    struck.left["ways"] = _ways(struck, struck.victim)
    for way in struck.left["ways"]:
        way.loss += LOSS


async def _lossless(struck: Struck) -> None:
    for way in struck.left["ways"]:
        way.loss -= LOSS


# -- clocks and memories --------------------------------------------------------------------


async def _step(struck: Struck) -> None:
    world = struck.world
    chance = world.random(f"step {struck.victim}")
    step = world.plan.lease.margin * STEP_OF_THE_MARGIN * chance.choice((-1.0, 1.0))
    struck.left["step"] = step
    world.clocks[struck.site].offset += step


async def _step_back(struck: Struck) -> None:
    """Whoever set it wrong sets it right, in small steps that are no jump."""
    struck.world.clocks[struck.site].offset -= struck.left["step"]


async def _restore(struck: Struck) -> None:
    """It comes back with what it held some journal entries ago."""
    world, older = struck.world, struck.older
    if struck.victim == "witness":
        struck.left["newest"] = copy_of(world.witness)
        put_back(world.witness, older.witness or MemoryWitness())
        return
    await world.kill_site(struck.site)
    state = dict(older.servers.get(struck.site, {}))
    server = world.servers[struck.site]
    if state and state["log"] <= len(server.log):  # else its death took more: that state was never on a disk
        server.keep_log_up_to(state.pop("log"))
        for name, value in state.items():
            setattr(server, name, value)
        world.stores[struck.site].objects = dict(older.stores[struck.site])


async def _restored(struck: Struck) -> None:
    """The witness gets its newest state back; a site starts on what it was given."""
    world = struck.world
    if struck.victim == "witness":
        put_back(world.witness, struck.left["newest"])
    else:
        world.restart_site(struck.site)


PROCESSES = ("worker", "worker-source", "agent", "agent-target", "coordinator")
"""`worker` is the target's and `agent` the source's: those that a migration has most to do with."""
ON_A_LINK = (*SITES, "witness", "sites", "coordinator")

SIMULATED_FAULTS: Mapping[str, SimulatedFault] = {
    name: SimulatedFault(name=name, victims=victims, strike=strike, heal=heal, seconds=seconds)
    for name, victims, strike, heal, seconds in (
        ("kill", (*SITES, "witness", *PROCESSES, "backend"), _kill, _start, (0.8, 8.0)),
        ("power-cut", (*SITES, "witness"), _power_cut, _start, (0.8, 8.0)),
        ("pause", (*SITES, "witness", *PROCESSES, "backend"), _pause, _resume, (1.5, 8.0)),
        ("partition", ON_A_LINK, _partition, _mend, (1.5, 8.0)),
        ("one-way", ON_A_LINK, _one_way, _mend, (1.5, 8.0)),
        ("one-way-in", ON_A_LINK, _one_way_in, _mend, (1.5, 8.0)),
        ("cut-then-kill", SITES, _cut_then_kill, _mend_and_start, (0.8, 8.0)),
        ("lost-acknowledgement", (*PROCESSES, "backend"), _lose_the_answer, _hear_again, (1.0, 3.0)),
        ("slow", ON_A_LINK, _slow, _as_fast, (1.5, 6.0)),
        ("lossy", ON_A_LINK, _lossy, _lossless, (1.5, 6.0)),
        ("clock-step", SITES, _step, _step_back, (2.0, 8.0)),
        ("restore", (*SITES, "witness"), _restore, _restored, (0.8, 4.0)),
    )
}
"""Every fault of a simulated world. A victim may name its site: `worker-source`, `agent-target`."""


def check_victim(name: str, victim: str) -> SimulatedFault:
    """The fault of this name; raises ValueError naming what there is, also where it has no such victim."""
    fault = SIMULATED_FAULTS.get(name)
    if fault is None:
        raise ValueError(f"no simulated fault is called {name!r}; there are {', '.join(SIMULATED_FAULTS)}")
    kind, _, at = victim.partition("-")
    named = kind in ("worker", "agent") and kind in fault.victims and at in SITES
    if victim not in fault.victims and not named:
        raise ValueError(f"{name} strikes {', '.join(fault.victims)} in a simulated drill, not {victim!r}")
    return fault
