"""Which networks this machine has a way to, as the kernel's main table says.

Of two ways to one network the kernel takes the older one. A bridge that another
engine made, or one that is gone and left it behind, so takes every packet that is
meant for a container of ours on the same addresses.
"""

import sys
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

ROUTES = Path("/proc/net/route")


@dataclass(frozen=True, slots=True)
class Way:
    """One line of the table."""

    interface: str
    network: IPv4Network


def ways() -> list[Way]:
    """Return every way but the default ones, of the same network the older first."""
    lines = [line.split() for line in ROUTES.read_text().splitlines()[1:]]
    found = [Way(words[0], _network(words[1], words[7])) for words in lines]
    return [way for way in found if way.network.prefixlen]


def interfaces_to(address: str) -> tuple[str, ...]:
    """Return the interfaces with the narrowest network that has an address; only the first is used."""
    leading = [way for way in ways() if IPv4Address(address) in way.network]
    narrowest = max((way.network.prefixlen for way in leading), default=0)
    return tuple(way.interface for way in leading if way.network.prefixlen == narrowest)


def _network(address: str, mask: str) -> IPv4Network:
    return IPv4Network((_number(address), str(IPv4Address(_number(mask)))))


def _number(written: str) -> int:
    """Read an address as the table has it: four bytes in the order of this machine."""
    return int.from_bytes(int(written, 16).to_bytes(4, sys.byteorder), "big")
