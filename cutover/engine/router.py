"""Tells clients which site serves."""

from dataclasses import dataclass

from cutover.ports.witness import Register


@dataclass(frozen=True, slots=True)
class Route:
    """The site that the register names, under its epoch."""

    site: str
    epoch: int


async def route(register: Register) -> Route | None:
    """Where writes go now; None when no migration has made a register.

    A load balancer or a DNS updater asks the same question; the answer is only
    a hint, for the database of each site decides who may write.
    """
    seen = await register.read()
    return None if seen is None else Route(seen.grant.serving, seen.grant.epoch)
