"""What may differ between two stacks of containers; everything else follows from the topology."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network

from infra.topology import WITNESS, two_sites

NAME = re.compile(r"[a-z][a-z0-9-]{0,23}")
"""Names become parts of container names and of keys at the witness."""

AS_GO_WRITES_IT = re.compile(r"([1-9]|[1-5]\d)(\.\d*[1-9])?s|([1-9]|[1-5]\d)m([1-5]?\d)(\.\d*[1-9])?s")
"""Durations of a second to an hour: to Pulumi's provider 60s is a change of 1m0s, at each preview anew."""

NETWORK_BITS = 26
"""Each of a stack's networks has 62 addresses: the containers of both sites and the witness take 25."""

SUBNET_BITS, OUTSIDE_SUBNET_BITS = 24, 23
"""Smallest range that holds them: four, and one more a place where stores stand outside of the stack."""

DURABLE: Mapping[str, str] = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"}
"""What PostgreSQL must be started with for an acknowledged commit to be on the disk."""


class BadSettings(ValueError):
    """The configuration of a stack is not one that can stand; the message says which key and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StackSettings:
    """One stack: `dev` and `staging` are two of these, over one program."""

    name: str
    image: str  #: with our code in it; runs every service whose image is not named apart
    subnet: str = "198.18.64.0/22"  #: holds the stack's networks
    hosts: Mapping[str, str] = field(default_factory=dict)  #: Docker host by place; none: the default one
    links: Mapping[str, str] = field(default_factory=dict)
    """Private address of each place's machine, where sites stand on machines of their own.

    Empty: one engine, and internal networks join the places. Else each place publishes
    what others need of it on this address, and on no other.
    """
    s3_image: str | None = None  #: an S3-compatible server of yours; None: ours
    s3_command: tuple[str, ...] = ()  #: `{region}` in it is the place's region
    s3_variables: tuple[str, str] | None = None
    """Variables of the environment in which such a server takes its access key and its secret."""
    s3_health: tuple[str, ...] = ()  #: as Docker takes it, "CMD" first; of such a server
    s3_data: str = "/data"  #: the folder in which it keeps its objects
    s3_port: int = 9000
    s3_keys: str = "any"  #: `paths` for a server that keeps keys as paths of files; see ObjectStore.keys
    s3_url: str | None = None
    """A server that stands outside: each place runs a front of it, with a network of its own to get there."""
    s3_region: str | None = None  #: of that server, the same for all places
    s3_mark: str | None = None
    """In the names of the stack's buckets there, so that no other stack's are these."""
    health_interval: str = "5s"
    """Between two health checks, in Go's own form. Each starts a process in its container, so a short
    one keeps a small machine busy; a longer one is how much later `pulumi up` sees that all serve, twice:
    first of the stores, then of what uses them. A new one makes every container anew."""
    postgres: Mapping[str, str] = field(default_factory=lambda: dict(DURABLE))
    disks: Mapping[str, str] = field(default_factory=dict)  #: folder of a place's machine to keep its data in
    labels: Mapping[str, str] = field(default_factory=dict)  #: put on everything that is made

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise BadSettings(f"name {self.name!r}: lower case letters, digits and -, 24 at most")
        if not AS_GO_WRITES_IT.fullmatch(self.health_interval):
            raise BadSettings(f"health_interval {self.health_interval!r}: write it as 5s, 1.5s or 1m0s")
        if self.s3_url and (self.s3_image or self.hosts or self.links):
            raise BadSettings("s3_url: a front is of our own image, and all places are on one engine")
        _must_be_network(self.subnet, OUTSIDE_SUBNET_BITS if self.s3_url else SUBNET_BITS)
        places = {*(site.name for site in two_sites().sites), WITNESS}
        for key, given in (("hosts", self.hosts), ("links", self.links), ("disks", self.disks)):
            if unknown := sorted(given.keys() - places):
                raise BadSettings(f"{key}: no place is called {unknown[0]!r}; there are {sorted(places)}")
        if self.s3_image and not (self.s3_variables and self.s3_health):
            raise BadSettings(
                "s3_image: say in s3_variables where it takes its two keys, and in s3_health how it tells "
                "that it serves; docs/how-to/use-your-own-images.md has examples"
            )
        if self.links and self.links.keys() != places:
            missing = sorted(places - self.links.keys())
            raise BadSettings(f"links: {missing[0]} has no address, and the others must reach it")
        for place, address in self.links.items():
            _must_be_private(place, address)

    @property
    def spread(self) -> bool:
        """Whether places stand on machines of their own, so that no bridge joins them."""
        return bool(self.links)


def _must_be_network(subnet: str, bits: int) -> None:
    try:
        network = IPv4Network(subnet)
    except ValueError as error:
        raise BadSettings(f"subnet {subnet!r}: {error}; give one such as 198.18.64.0/22") from None
    if network.prefixlen > bits:
        number = "four" if bits == SUBNET_BITS else "seven"
        raise BadSettings(
            f"subnet {subnet!r} is too small: {number} networks of /{NETWORK_BITS} need a /{bits}"
        )


def _must_be_private(place: str, address: str) -> None:
    try:
        parsed = IPv4Address(address)
    except ValueError:
        raise BadSettings(f"links.{place}: {address!r} is no IPv4 address") from None
    if parsed.is_global or parsed.is_unspecified:
        raise BadSettings(
            f"links.{place}: {address} is no private address; databases would be published where anybody is"
        )
