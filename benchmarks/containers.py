"""How fast a stack of containers stands, dies as one and comes back: python -m benchmarks.containers [N].

Needs a Docker engine on this machine and the extras `docker` and `pulumi`.
"""

import asyncio
import sys
from statistics import median
from time import monotonic

from infra.containers import bring_up
from infra.containers.stack import ContainerStack

ROUNDS = 5


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _progress(line: str) -> None:
    sys.stderr.write(f"{line}\n")


async def main(rounds: int) -> None:
    """Print each figure with its median and its spread."""
    began = monotonic()
    stack = await bring_up.up(progress=_progress)
    _say(f"up, all containers healthy: {monotonic() - began:.1f} s (images were there)")
    try:
        figures: dict[str, list[float]] = {}
        for number in range(rounds):
            await _one(stack, stack.sites[number % 2], figures)
        for what, found in figures.items():
            _say(f"{what}: median {median(found):.2f} s, {min(found):.2f}-{max(found):.2f} over {rounds}")
    finally:
        await stack.down()


async def _one(stack: ContainerStack, site: str, figures: dict[str, list[float]]) -> None:
    death = await stack.kill_site(site)
    figures.setdefault(f"site killed, from the first signal to the last death ({death.way})", []).append(
        death.skew_seconds
    )
    for what, do in (
        ("site restarted, until it serves", lambda: stack.restart_site(site)),
        ("fresh run between two drills", stack.fresh),
    ):
        began = monotonic()
        await do()
        figures.setdefault(what, []).append(monotonic() - began)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS))
