"""Which programs a stack runs, and the settings that each is started with: plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from infra.contract import region_of
from infra.embedded.ports import HOST
from infra.topology import Service, Topology


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The entry ("module:function") of each kind of process; None leaves it out.

    An entry is configuration: a drill replaces one by its own to plant a bug.
    """

    s3: str = "infra.s3_server.service:serve"
    platform: str | None = "sample_platform.service:serve"
    worker: str | None = "cutover.cli.worker:serve"
    agent: str | None = "cutover.cli.agent:serve"
    coordinator: str | None = "cutover.cli.coordinator:serve"  #: started by name only

    @property
    def of_a_site(self) -> tuple[str, ...]:
        """Return the kinds that run at each site beside its stores, in the order of their start."""
        return tuple(kind for kind in ("platform", "worker", "agent") if getattr(self, kind))

    @property
    def modules(self) -> list[str]:
        """Return the modules to import before the first fork."""
        entries = [getattr(self, one.name) for one in fields(self)]
        return sorted({entry.partition(":")[0] for entry in entries if entry})

    def entry(self, kind: str) -> str:
        """Return the entry of a kind of process; LookupError when there is none."""
        entry = getattr(self, kind, None)
        if not isinstance(entry, str):
            raise LookupError(f"this stack has no entry for {kind!r}; name one when you start it")
        return entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """The port of everything that listens, and the way from one place to another."""

    topology: Topology
    ports: Mapping[str, int]

    def port(self, viewer: str, place: str, service: Service) -> int:
        """Return the port at which `viewer` reaches a service: its own directly, others over a link."""
        way = place if viewer == place else f"{viewer}-{place}"
        return self.ports[f"{way}/{service}"]

    def listen(self, place: str, service: Service) -> dict[str, object]:
        """Return where a service itself listens."""
        return {"host": HOST, "port": self.ports[f"{place}/{service}"]}

    def routes(self) -> list[dict[str, object]]:
        """Return what the relays are to do."""
        return [
            {
                "link": link.name,
                "service": service.value,
                "listen": [HOST, self.ports[f"{link.name}/{service}"]],
                "to": [HOST, self.ports[f"{link.destination}/{service}"]],
            }
            for link in self.topology.links
            for service in link.services
        ]


def s3_settings(
    addresses: Addresses, place: str, folder: Path, control: Path, keys: Path
) -> dict[str, object]:
    """Return the settings of the object store at `place`."""
    return {
        "folder": str(folder),
        **addresses.listen(place, Service.S3),
        "control_socket": str(control),
        "credentials": str(keys),
        "region": region_of(addresses.topology, place),
    }
