"""Ports of a stack: one block, below the range that the kernel hands out by itself.

A dead site's port must refuse, so nobody holds these while a site is down; a
port in the kernel's own range could be given to any outgoing connection then.
"""

import socket
from collections.abc import Iterable, Iterator, Mapping

from infra.embedded.errors import NoFreePorts
from infra.topology import Topology

HOST = "127.0.0.1"
BLOCK = 64  #: ports a stack; two sites, the witness and their links need 37
FIRST, LAST = 20032, 32704  #: below 32768, where the kernel's own range starts


def names(topology: Topology) -> Iterator[str]:
    """Yield a name for every port of a stack: `east/s3` itself, `clients-east/s3` over a link."""
    for place in topology.places:
        yield from (f"{place}/{service}" for service in topology.listens(place))
    for link in topology.links:
        yield from (f"{link.name}/{service}" for service in link.services)


def choose(topology: Topology, taken: Iterable[int], start: int) -> Mapping[str, int]:
    """Return a port for every name from the first free block, looking from block `start` on.

    `taken` are the first ports of blocks that other stacks own, up or down.
    Raises NoFreePorts.
    """
    wanted = list(names(topology))
    blocks = range(FIRST, LAST, BLOCK)
    owned = set(taken)
    for turn in range(len(blocks)):
        first = blocks[(start + turn) % len(blocks)]
        if first not in owned and all(_is_free(first + n) for n in range(len(wanted))):
            return {name: first + n for n, name in enumerate(wanted)}
    raise NoFreePorts(
        f"no block of {len(wanted)} free ports between {FIRST} and {LAST}; "
        f"`cutover stack down --all` frees some"
    )


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True
