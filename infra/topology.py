"""Which sites stand, and which links join them: pure data.

The embedded runtime and the Pulumi program both build from this, so that what
is drilled on a laptop has the same shape as what is rolled out.
"""

from dataclasses import dataclass
from enum import StrEnum


class Service(StrEnum):
    """Something that listens at a place and that other places reach over a link."""

    POSTGRES = "postgres"
    S3 = "s3"
    PLATFORM = "platform"
    AGENT = "agent"


OF_A_SITE = (Service.POSTGRES, Service.S3, Service.PLATFORM, Service.AGENT)
OF_THE_WITNESS = (Service.S3,)

OPERATOR = "operator"
CLIENTS = "clients"
WITNESS = "witness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One complete deployment: a failure domain that dies as one."""

    name: str
    role: str  #: at the start of the migration: source or target
    region: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """All traffic that `origin` begins towards `destination`; the way back is another link.

    A link carries everything that its destination offers, so that the outputs
    have one shape for every viewer.
    """

    origin: str
    destination: str
    services: tuple[Service, ...]

    @property
    def name(self) -> str:
        """Return how the nemesis and the reports call this link, as in `east-west`."""
        return f"{self.origin}-{self.destination}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Topology:
    """Two sites, the witness, and every directed link."""

    sites: tuple[Site, ...]
    witness_region: str
    links: tuple[Link, ...]

    @property
    def viewers(self) -> tuple[str, ...]:
        """Return every place that needs a description of the others."""
        return (OPERATOR, CLIENTS, *(site.name for site in self.sites))

    @property
    def places(self) -> tuple[str, ...]:
        """Return every place where something listens."""
        return (*(site.name for site in self.sites), WITNESS)

    def site(self, name: str) -> Site:
        """Return the site of this name; KeyError names the ones that there are."""
        for site in self.sites:
            if site.name == name:
                return site
        raise KeyError(f"no site {name!r}; there are {[site.name for site in self.sites]}")

    def link(self, name: str) -> Link:
        """Return the link of this name; KeyError names the ones that there are."""
        for link in self.links:
            if link.name == name:
                return link
        raise KeyError(f"no link {name!r}; there are {[link.name for link in self.links]}")

    def listens(self, place: str) -> tuple[Service, ...]:
        """Return what listens at `place`."""
        return OF_THE_WITNESS if place == WITNESS else OF_A_SITE


def two_sites() -> Topology:
    """Return the topology of a migration: east is left, west is arrived at."""
    sites = (
        Site(name="east", role="source", region="us-east-1"),
        Site(name="west", role="target", region="us-west-1"),
    )
    return Topology(sites=sites, witness_region="eu-central-1", links=_all_links(sites))


def _all_links(sites: tuple[Site, ...]) -> tuple[Link, ...]:
    names = [site.name for site in sites]
    to_sites = (
        Link(origin=origin, destination=name, services=OF_A_SITE)
        for origin in (*names, OPERATOR, CLIENTS)
        for name in names
        if origin != name
    )
    to_witness = (
        Link(origin=origin, destination=WITNESS, services=OF_THE_WITNESS)
        for origin in (*names, OPERATOR, CLIENTS)
    )
    return (*to_sites, *to_witness)
