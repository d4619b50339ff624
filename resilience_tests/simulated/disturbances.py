"""Processes that die and come back while a migration goes on, at moments taken from a seed."""

import asyncio
from random import Random

from drill.simulator.world import World

COORDINATORS = ("coordinator", "coordinator two")


async def disturb(world: World) -> None:
    """Some disturbances, one after the other, most of them just as the journal has grown."""
    chance = world.random("disturbances")
    for _ in range(chance.randint(3, 7)):
        await _moment(world, chance)
        match chance.choice(("coordinator", "coordinator", "two", "worker", "agent", "all")):
            case "coordinator":
                await _replace_coordinator(world, chance)
            case "two":
                for name in COORDINATORS:
                    world.start(name)
            case "worker":
                await _restart(world, [f"worker {chance.choice(list(world.servers))}"], chance)
            case "agent":
                await _restart(world, [f"agent {chance.choice(list(world.servers))}"], chance)
            case "all":
                sites = [f"{kind} {site}" for kind in ("worker", "agent") for site in world.servers]
                await _restart(world, [*sites, *COORDINATORS], chance)
    world.start(COORDINATORS[0])


async def _moment(world: World, chance: Random) -> None:
    """A few journal entries from now, or a while, whichever is sooner."""
    try:
        async with asyncio.timeout(chance.uniform(0.05, 0.6)):
            for _ in range(chance.randint(1, 5)):
                await world.news.wait()
    except TimeoutError:
        return


async def _replace_coordinator(world: World, chance: Random) -> None:
    for name in COORDINATORS:
        await world.kill(name)
    await asyncio.sleep(chance.uniform(0, 0.3))
    world.start(chance.choice(COORDINATORS))


async def _restart(world: World, processes: list[str], chance: Random) -> None:
    for process in processes:
        await world.kill(process)
    await asyncio.sleep(chance.uniform(0, 1.0))
    for process in processes:
        world.start(process)
