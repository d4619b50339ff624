"""Networks, volumes and containers of a stack, in the order in which they can be made."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.blueprint.addresses import LINK, SHARED, Addresses, way_out
from infra.blueprint.settings import StackSettings
from infra.contract import region_of
from infra.images.health import health_command
from infra.topology import OF_A_SITE, WITNESS, Service

DATA = "/data"
"""Where a store's container keeps everything that must outlive it."""

UPLOADED = "/etc/cutover"
"""Where files are put into a container before it starts."""

CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_SETGID", "CAP_SETUID")
"""What the entry needs to hand files over to the service's user, before it becomes that user for good."""

STOP_SECONDS = 20
"""How long a container may take to end by itself: PostgreSQL writes its last checkpoint."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A bridge. An internal one has no way out and publishes nothing."""

    name: str
    place: str  #: a site's name, `link` or `witness`
    subnet: str
    gateway: str
    internal: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """What a container keeps at `path`: a volume, or a folder of its machine."""

    path: str
    volume: str | None = None
    folder: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the engine tells that a container serves. Durations are in Go's own form."""

    command: tuple[str, ...]
    interval: str
    timeout: str = "3s"
    start_period: str = "30s"
    retries: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One service at one place."""

    name: str
    place: str
    kind: str
    image: str
    command: tuple[str, ...] = ()
    networks: Mapping[str, str]  #: address by name of network
    published: Mapping[int, str] = field(default_factory=dict)  #: address of the machine, by port
    mounts: tuple[Mount, ...] = ()
    health: Health | None = None
    once: bool = False  #: ends by itself, with 0
    after: tuple[str, ...] = ()  #: kinds at the same place that must be healthy first


@dataclass(frozen=True, slots=True)
class Place:
    """Everything of one site, or of the witness: it is made, and dies, as one."""

    name: str
    network: Network
    volumes: tuple[str, ...]
    containers: tuple[Container, ...]
    outside: Network | None = None  #: its front's way to a server outside; nothing else is on it


@dataclass(frozen=True, slots=True)
class Blueprint:
    """A whole stack."""

    settings: StackSettings

    @property
    def addresses(self) -> Addresses:
        return Addresses(self.settings)

    @property
    def link(self) -> Network | None:
        """The network between the sites; None where they stand on machines of their own."""
        return None if self.settings.spread else self._network(LINK, LINK, internal=True)

    @property
    def places(self) -> tuple[Place, ...]:
        return tuple(self.place(name) for name in self.addresses.topology.places)

    @property
    def containers(self) -> Mapping[str, Container]:
        """Every container, by PLACE/KIND."""
        return {f"{one.place}/{one.kind}": one for place in self.places for one in place.containers}

    def place(self, name: str) -> Place:
        """Return what stands at one place."""
        kinds = (
            ("s3", "setup") if name == WITNESS else ("postgres", "s3", "platform", "worker", "agent", "setup")
        )
        containers = tuple(self._container(name, kind) for kind in kinds)
        volumes = tuple(mount.volume for one in containers for mount in one.mounts if mount.volume)
        outside = self._network(way_out(name), name, internal=False) if self.settings.s3_url else None
        internal = not self.settings.spread
        return Place(name, self._network(name, name, internal=internal), volumes, containers, outside)

    def name_of(self, *words: str) -> str:
        """Return the name of something of this stack on its engine."""
        return "-".join((self.settings.name, *words))

    def _network(self, name: str, place: str, *, internal: bool) -> Network:
        subnet = self.addresses.subnet(name)
        return Network(
            name=self.name_of(name),
            place=place,
            subnet=str(subnet),
            gateway=self.addresses.gateway(name),
            internal=internal,
        )

    def _container(self, place: str, kind: str) -> Container:
        own_s3 = kind == "s3" and self.settings.s3_image is not None
        return Container(
            name=self.name_of(place, kind),
            place=place,
            kind=kind,
            image=(self.settings.s3_image or self.settings.image) if own_s3 else self.settings.image,
            command=self._s3_command(place) if own_s3 else (),
            networks=self._networks_of(place, kind),
            published=self._published(place, kind),
            mounts=(self._mount(place, kind, self.settings.s3_data if own_s3 else DATA),)
            if kind in ("postgres", "s3")
            else (),
            health=None if kind == "setup" else self._health(kind),
            once=kind == "setup",
            after=AFTER.get(kind, ())
            if place != WITNESS
            else tuple(k for k in AFTER.get(kind, ()) if k == "s3"),
        )

    def _s3_command(self, place: str) -> tuple[str, ...]:
        region = region_of(self.addresses.topology, place)
        return tuple(word.replace("{region}", region) for word in self.settings.s3_command)

    def _networks_of(self, place: str, kind: str) -> Mapping[str, str]:
        joined = [place]
        if not self.settings.spread and place != WITNESS:
            joined += [LINK] if kind in (*SHARED, "worker") else []
            joined += [WITNESS] if kind in ("worker", "agent") else []
        if kind == "s3" and self.settings.s3_url:
            joined += [way_out(place)]
        return {self.name_of(name): self.addresses.own(place, kind, name) for name in joined}

    def _published(self, place: str, kind: str) -> Mapping[int, str]:
        listening = {service.value for service in OF_A_SITE}
        if not self.settings.spread or kind not in listening:
            return {}
        return {self.addresses.port(Service(kind)): self.settings.links[place]}

    def _mount(self, place: str, kind: str, path: str) -> Mount:
        if folder := self.settings.disks.get(place):
            return Mount(path=path, folder=f"{folder}/{kind}")
        return Mount(path=path, volume=self.name_of(place, kind))

    def _health(self, kind: str) -> Health:
        if kind == "s3" and self.settings.s3_image:
            return Health(command=self.settings.s3_health, interval=self.settings.health_interval)
        port = None if kind == "worker" else self.addresses.port(Service(kind))
        command = tuple(health_command(kind, port))
        return Health(command=command, interval=self.settings.health_interval)


AFTER: Mapping[str, tuple[str, ...]] = {"setup": ("postgres", "s3")}
"""What must be healthy before a kind can do its work; the others wait by themselves."""
