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


Act = Callable[[Field, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One way to break something."""

    name: str
    victims: tuple[str, ...]
    strike: Act
    heal: Act
    seconds: float  #: between the two
    cuts_power: bool = False  #: needs a site with a disk of its own, which only root can give it

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
    await field.pause_process(victim)
    if victim == "coordinator":
        await field.stand_in(victim)


async def _resume(field: Field, victim: str) -> None:
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


SITES = ("source", "target")

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
            name="power-cut",
            victims=SITES,
            strike=_power_cut,
            heal=_start,
            seconds=DEAD_SECONDS,
            cuts_power=True,
        ),
        Fault(
            name="pause",
            victims=("worker", "coordinator"),
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
    )
}
