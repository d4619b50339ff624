"""What the tests of the power cut start: a harness that is killed in the middle, a store that lies."""

import asyncio
import os
import sys
from collections.abc import Callable, Mapping

from infra.embedded import power
from infra.embedded.stack import EmbeddedStack
from infra.s3_server.service import serve
from resilience_tests.live.embedded_stand_ins import SERVICES

LYING_STORE = "resilience_tests.live.power_cut_harness:without_sync"

WAYS = ("with the site alive", "with the site dead", "with the disk unmounted")


async def without_sync(settings: Mapping[str, object], ready: Callable[[], None]) -> None:
    """Be our object store, but for the bytes of objects: they are written and not synced."""
    vars(os).update(fsync=_nothing, fdatasync=_nothing)
    await serve(settings, ready)


def _nothing(descriptor: int) -> None:
    return None


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
