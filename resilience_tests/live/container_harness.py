"""A harness of its own that breaks a stack of containers and is killed in the middle of it.

python -m resilience_tests.live.container_harness up|of_pulumi|borrow NAME

It says `ready`, waits for a line, breaks a link and a site, says `broken`, and waits to be killed.
"""

import asyncio
import sys

from infra.containers import bring_up
from infra.containers.stack import ContainerStack


async def _taken(way: str, name: str) -> ContainerStack:
    if way == "up":
        return await bring_up.up(name, power_cut=True, progress=_say)
    if way == "borrow":
        return await bring_up.StandingStack.borrow(name, progress=_say)
    return await bring_up.of_pulumi(name, progress=_say)


async def _break(way: str, name: str) -> None:
    stack = await _taken(way, name)
    _say("ready")
    await asyncio.to_thread(sys.stdin.readline)
    await stack.cut("east-west", "slow", seconds=0.01)
    await stack.cut("operator-west")
    if way == "up":
        await stack.power_cut_site("east")
    else:
        await stack.kill_site("east")
        await stack.pause_site("west")
    _say("broken")
    await asyncio.Event().wait()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_break(*sys.argv[1:]))
