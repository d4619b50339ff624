"""Removing all of one stack: from its engines first, then from this machine."""

from collections.abc import Callable, Iterable

import docker

from infra.containers import leftovers
from infra.containers.claims import OWNER, Claim, of_all, of_stack
from infra.containers.description import ContainerDescription
from infra.containers.pulumi_folder import clear, description_of
from infra.embedded.reaper import kill_leftovers, remove
from infra.embedded.state import StackFolder


def remove_all(folder: StackFolder, engines: Iterable[docker.DockerClient]) -> tuple[str, ...]:
    """Remove the containers, networks, volumes and rules of a stack, then its disks, buckets and files.

    Returns what the engines, or a server outside, could not remove, and why.

    In this order: a disk that a container still uses cannot be unmounted. What Pulumi made
    stays, also when it has the same name: of its stack only the rules and a harness's files go.
    """
    if description_of(folder) is not None:
        leave(folder)
        return ()
    kill_leftovers(folder)
    leftovers.remove(None, of_stack(folder.name))
    gone = [leftovers.remove(engine, _made_here(folder)) for engine in engines]
    elsewhere = remove(folder)
    return (*(said for one in gone for said in one.remaining), *elsewhere)


def _made_here(folder: StackFolder) -> Callable[[Claim], bool]:
    """Choose what this stack made: another state folder's may have the same name on the same engine."""
    named = of_stack(folder.name)
    described = folder.description.exists()
    owner = ContainerDescription.load(folder).settings.labels.get(OWNER) if described else None
    return lambda claim: named(claim) and of_all(claim) and owner in (None, claim.owner)


def leave(folder: StackFolder) -> None:
    """Remove what a harness did to a stack of Pulumi's: its packet rules, processes and files."""
    leftovers.remove(None, of_stack(folder.name))
    clear(folder)
