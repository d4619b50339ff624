"""What can go wrong, who it happens to, and how it is undone: a fault owns its healing."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

DEAD_SECONDS = 0.8
"""How long a killed victim stays dead: several leases of a small request, a fraction of a drain."""
ASLEEP_SECONDS = 1.5
"""How long a paused process sleeps, so that others go on without it."""
LOST_SECONDS = 7.0
"""How long a lost site stays away: longer than a lease with its margin, so that its peer is promoted."""
APART_SECONDS = 2.0
"""How long links are broken, or a disk is full: shorter than a lease, so that nobody is promoted for it."""
SLOW_SECONDS = 0.1
"""By how much a slow link delays each way: a round trip between two continents."""
CUT_SECONDS = 0.4
"""How long a link is cut before the site behind it dies: what it acknowledges then is not sent."""


class Field(Protocol):
    """What a fault acts on. Sites and processes are named by their part in the plan."""

    async def kill_site(self, site: str) -> None: ...
    async def power_cut(self, site: str) -> None:
        """Kill the site, and lose what its disk had not been told to keep."""

    async def restart_site(self, site: str) -> None: ...
    async def kill_process(self, victim: str) -> None: ...
    async def start_process(self, victim: str) -> None: ...
    async def pause_process(self, victim: str) -> None: ...
    async def resume_process(self, victim: str) -> None: ...
    async def stand_in(self, victim: str) -> None:
        """Start a second one beside a paused process."""

    async def cut_between_sites(self) -> None: ...
    async def heal_between_sites(self) -> None: ...
    async def isolate(self, site: str) -> None:
        """Cut the site off from its peer and from the witness; clients still reach it."""

    async def reconnect(self, site: str) -> None: ...
    async def break_between_sites(self, mode: str, *, seconds: float = 0.0) -> None:
        """Put both links between the sites into a mode."""

    async def lose_towards(self, site: str) -> None:
        """Lose what its peer sends to a site, requests and answers; what the site sends arrives."""

    async def pause_site(self, site: str) -> None: ...
    async def resume_site(self, site: str) -> None: ...
    async def fill_disk(self, site: str) -> None: ...
    async def free_disk(self, site: str) -> None: ...


Act = Callable[[Field, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to break something."""

    name: str
    victims: tuple[str, ...]
    strike: Act
    heal: Act
    seconds: float  #: between the two
    needs: tuple[str, ...] = ()  #: of a stack: DISK, PACKETS
    on_links: bool = False  #: breaks links, and leaves who runs alone

    @property
    def breaks_links(self) -> bool:
        """Whether a link is cut or slowed, alone or before something else."""
        return self.on_links or self.name in ("cut-then-kill", "cut-then-lose", "isolate")

    @property
    def cuts_power(self) -> bool:
        """Whether what was not synced is lost."""
        return self.name == POWER_CUT

    @property
    def outlives_a_lease(self) -> bool:
        """Whether a survivor is promoted meanwhile, if it has earned that."""
        return self.seconds >= LOST_SECONDS


async def _kill(field: Field, victim: str) -> None:
    if victim in SITES:
        await field.kill_site(victim)
    else:
        await field.kill_process(victim)


async def _power_cut(field: Field, victim: str) -> None:
    await field.power_cut(victim)


async def _start(field: Field, victim: str) -> None:
    if victim in SITES:
        await field.restart_site(victim)
    else:
        await field.start_process(victim)


async def _pause(field: Field, victim: str) -> None:
    """Others must be able to go on: a second coordinator takes over, and the first wakes late."""
    if victim in SITES:
        await field.pause_site(victim)
        return
    await field.pause_process(victim)
    if victim == "coordinator":
        await field.stand_in(victim)


async def _resume(field: Field, victim: str) -> None:
    if victim in SITES:
        await field.resume_site(victim)
    else:
        await field.resume_process(victim)


async def _cut_then_kill(field: Field, victim: str) -> None:
    await field.cut_between_sites()
    await asyncio.sleep(CUT_SECONDS)
    await field.kill_site(victim)


async def _heal_and_restart(field: Field, victim: str) -> None:
    await field.heal_between_sites()
    await field.restart_site(victim)


async def _isolate(field: Field, victim: str) -> None:
    await field.isolate(victim)


async def _reconnect(field: Field, victim: str) -> None:
    await field.reconnect(victim)


async def _join(field: Field, _: str) -> None:
    await field.heal_between_sites()


def _broken(mode: str, *, seconds: float = 0.0) -> Act:
    async def strike(field: Field, _: str) -> None:
        await field.break_between_sites(mode, seconds=seconds)

    return strike


async def _one_way(field: Field, victim: str) -> None:
    """What the victim sends is lost; it still hears its peer."""
    await field.lose_towards("target" if victim == "source" else "source")


async def _fill(field: Field, victim: str) -> None:
    await field.fill_disk(victim)


async def _free(field: Field, victim: str) -> None:
    """Give the disk its room back, and start what a full one ended."""
    await field.free_disk(victim)
    await field.restart_site(victim)


SITES = ("source", "target")
BETWEEN = "sites"
"""The victim of what breaks the links between the sites, in both directions."""

DISK = "disk"
"""Sites with disks of their own, which only root can give them."""
PACKETS = "packets"
"""Links whose packets can be held back and lost: those of containers."""
POWER_CUT = "power-cut"


def _of_links(
    name: str, strike: Act, victims: tuple[str, ...] = (BETWEEN,), *, packets: bool = False
) -> Fault:
    needs = (PACKETS,) if packets else ()
    return Fault(
        name=name,
        victims=victims,
        strike=strike,
        heal=_join,
        seconds=APART_SECONDS,
        needs=needs,
        on_links=True,
    )


FAULTS: Mapping[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault(
            name="kill",
            victims=(*SITES, "worker", "coordinator"),
            strike=_kill,
            heal=_start,
            seconds=DEAD_SECONDS,
        ),
        Fault(
            name=POWER_CUT,
            victims=SITES,
            strike=_power_cut,
            heal=_start,
            seconds=DEAD_SECONDS,
            needs=(DISK,),
        ),
        Fault(
            name="pause",
            victims=(*SITES, "worker", "coordinator"),
            strike=_pause,
            heal=_resume,
            seconds=ASLEEP_SECONDS,
        ),
        Fault(
            name="cut-then-kill",
            victims=SITES,
            strike=_cut_then_kill,
            heal=_heal_and_restart,
            seconds=DEAD_SECONDS,
        ),
        Fault(name="lose", victims=SITES, strike=_kill, heal=_start, seconds=LOST_SECONDS),
        Fault(
            name="cut-then-lose",
            victims=SITES,
            strike=_cut_then_kill,
            heal=_heal_and_restart,
            seconds=LOST_SECONDS,
        ),
        Fault(name="isolate", victims=SITES, strike=_isolate, heal=_reconnect, seconds=LOST_SECONDS),
        Fault(
            name="disk-full",
            victims=SITES,
            strike=_fill,
            heal=_free,
            seconds=APART_SECONDS,
            needs=(DISK,),
        ),
        _of_links("partition", _broken("cut")),
        _of_links("one-way", _one_way, SITES),
        _of_links("reset", _broken("reset")),
        _of_links("slow", _broken("delay", seconds=SLOW_SECONDS)),
        _of_links("jitter", _broken("slow", seconds=SLOW_SECONDS), packets=True),
        _of_links("lossy", _broken("lossy"), packets=True),
        _of_links("narrow", _broken("narrow"), packets=True),
    )
}
