"""Where every container listens, and how places reach each other."""

from dataclasses import dataclass
from ipaddress import IPv4Network

from infra.blueprint.settings import NETWORK_BITS, StackSettings
from infra.s3_engines.outside import USUAL_REGION, Outside
from infra.topology import CLIENTS, OPERATOR, WITNESS, Service, Topology, two_sites

LINK = "link"
"""The network that joins the two sites."""


def way_out(place: str) -> str:
    """Return the name of the network over which a place's front gets to the server outside."""
    return f"{place}-outside"


INSIDE = "/run/cutover"
"""Where a container finds what it was given: a folder in memory that only its service reads."""

KINDS = ("postgres", "s3", "platform", "worker", "agent", "setup")
"""What runs at a place, each in a container of its own. The order gives their addresses."""

SHARED = ("postgres", "s3", "agent")
"""What a site offers its peer; its worker reaches out and offers nothing."""

FIRST_HOST, HOSTS_OF_A_PLACE = 8, 8


@dataclass(frozen=True, slots=True)
class Addresses:
    """The addresses of one stack. Fulfils `infra.contract.Reach` for what runs in containers."""

    settings: StackSettings

    @property
    def topology(self) -> Topology:
        return two_sites()

    def subnet(self, network: str) -> IPv4Network:
        """Return the addresses of a network: a site's name, `link`, `witness`, or a way out."""
        names = [*(site.name for site in self.topology.sites), LINK, WITNESS]
        names += [way_out(place) for place in self.topology.places]
        subnets = IPv4Network(self.settings.subnet).subnets(new_prefix=NETWORK_BITS)
        return dict(zip(names, subnets, strict=False))[network]

    def gateway(self, network: str) -> str:
        """Return the address of the engine's own machine on a network."""
        return str(self.subnet(network)[1])

    def own(self, place: str, kind: str, network: str) -> str:
        """Return the address of a container on a network: the same host number on each."""
        row = self.topology.places.index(place)
        return str(self.subnet(network)[FIRST_HOST + HOSTS_OF_A_PLACE * row + KINDS.index(kind)])

    def port(self, service: Service) -> int:
        """Return the port of a service, the same at every place."""
        ports = {Service.POSTGRES: 5432, Service.PLATFORM: 8080, Service.AGENT: 8081}
        return ports.get(service, self.settings.s3_port)

    def network(self, viewer: str, place: str) -> str:
        """Return the network over which `viewer` reaches `place`."""
        return LINK if viewer not in (OPERATOR, CLIENTS, place) and place != WITNESS else place

    def address(self, viewer: str, place: str, service: Service) -> tuple[str, int]:
        """Return host and port at which `viewer` reaches a service."""
        if self.settings.spread and viewer != place:
            return self.settings.links[place], self.port(service)
        return self.own(place, service.value, self.network(viewer, place)), self.port(service)

    @property
    def keys(self) -> str:
        """Return what the object stores do with keys, as ObjectStore has it."""
        return self.settings.s3_keys

    @property
    def outside(self) -> Outside | None:
        """Return the one server behind all places' fronts; None where each place has its own."""
        told = self.settings
        if told.s3_url is None:
            return None
        region, mark = told.s3_region or USUAL_REGION, told.s3_mark or ""
        return Outside(url=told.s3_url, region=region, keys=told.s3_keys, mark=mark)

    def credentials(self, viewer: str, place: str) -> str:
        """Return where a container finds what `viewer` may use at `place`."""
        return f"{INSIDE}/credentials/{viewer}-{place}.json"
