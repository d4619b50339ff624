"""Removing all of one stack: from its engines first, then from this machine."""

from collections.abc import Iterable

import docker

from infra.containers import leftovers
from infra.containers.claims import of_stack
from infra.embedded.reaper import remove
from infra.embedded.state import StackFolder


def remove_all(folder: StackFolder, engines: Iterable[docker.DockerClient]) -> None:
    """Remove the containers, networks, volumes and rules of a stack, then its disks and files.

    In this order: a disk that a container still uses cannot be unmounted.
    """
    for engine in engines:
        leftovers.remove(engine, of_stack(folder.name))
    remove(folder)
