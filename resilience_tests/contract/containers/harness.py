"""A harness that breaks its stack's links and then waits to be killed in the middle of it."""

import asyncio
import sys

from docker.models.containers import Container

from infra.containers.links import Links
from infra.containers.together import freezer_of
from resilience_tests.contract.containers.field import PORTS, Field, field
from resilience_tests.contract.containers.test_together import FAMILY


async def _break(made: Field, containers: list[Container], mode: str) -> None:
    made.engine.volumes.create(f"{made.claim.stack}-data", labels=made.claim.labels())
    links = Links(made.claim, {"east": ["198.51.100.1"], "west": ["198.51.100.2"]}, PORTS)
    await links.cut("east-west", mode, seconds=0.01)
    for one in containers:
        _freeze(one)
    sys.stdout.write(f"{made.claim.stack}\n")
    sys.stdout.flush()
    await asyncio.get_running_loop().create_future()


def _freeze(container: Container) -> None:
    """As in the middle of a kill: the engine knows nothing of it."""
    container.reload()
    freezer = freezer_of(container)
    if freezer is None:
        sys.exit(f"{container.name} cannot be frozen")
    while not freezer.freeze():  # each try has a deadline of its own
        continue


def main() -> None:
    """Break one link in the mode of the first argument, say the stack's name, and wait."""
    with field("harness") as made:
        asyncio.run(_break(made, made.start(FAMILY, FAMILY), sys.argv[1]))


if __name__ == "__main__":
    main()
