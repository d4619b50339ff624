"""A harness of its own that cuts the power of a site and is killed before it has healed it."""

import asyncio
import sys

from infra.embedded import power
from infra.embedded.stack import EmbeddedStack
from resilience_tests.live.embedded_stand_ins import SERVICES

WAYS = ("with the site alive", "with the site dead", "with the disk unmounted")


async def _hold(name: str, way: str) -> None:
    """Bring a stack up, get as far as `way`, say so, and wait to be killed."""
    stack = await EmbeddedStack.up(name, services=SERVICES, power_cut=True)
    if way == "with the site alive":
        await power.cut(stack.folder, "east")
    else:
        await stack.power_cut_site("east")
    if way == "with the disk unmounted":
        _unmount(stack)
    sys.stdout.write("cut\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


def _unmount(stack: EmbeddedStack) -> None:
    """As a restore does that has come half-way."""
    disk = power.disk_of(stack.folder, "east")
    assert disk is not None
    disk.unmount()


if __name__ == "__main__":
    asyncio.run(_hold(*sys.argv[1:]))
