"""The files that each container is given before it starts."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from infra.blueprint.addresses import INSIDE, Addresses
from infra.blueprint.containers import DATA, Blueprint, Container
from infra.blueprint.keys import Keys
from infra.contract import Run, bucket_of, outputs_of, platform_settings, region_of
from infra.s3_engines.outside import FRONT
from infra.topology import OPERATOR, WITNESS, Service

ENTRIES: Mapping[str, str] = {
    "s3": "infra.s3_server.service:serve",
    "platform": "sample_platform.service:serve",
    "worker": "cutover.cli.worker:serve",
    "agent": "cutover.cli.agent:serve",
    "setup": "infra.images.setup:serve",
}
"""The program of each kind, "module:function"; PostgreSQL is none of ours."""

EVERYWHERE = "0.0.0.0"

ON_OWN_DISK = {"recovery_init_sync_method": "syncfs"}
"""After a death PostgreSQL syncs its files one by one; a disk that holds nothing else is synced at once."""

Document = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Files:
    """What is put into the containers of one stack, for one run of it. Secrets are in it as they are."""

    blueprint: Blueprint
    keys: Keys
    run: Run
    kind: str  #: what the outputs say made this stack
    entries: Mapping[str, str]  #: programs that replace a kind's own, by kind or PLACE/KIND
    extras: Mapping[str, Mapping[str, object]]  #: settings added to the usual ones, by kind or PLACE/KIND

    @classmethod
    def usual(cls, blueprint: Blueprint, keys: Keys, *, run: int = 1, kind: str = "pulumi") -> "Files":
        """Return what a stack of this blueprint is first brought up with."""
        return cls(blueprint, keys, Run(blueprint.settings.name, run), kind, {}, {})

    def of(self, container: Container) -> Mapping[str, str]:
        """Return the files of a container by their path below `/etc/cutover`."""
        place, kind = container.place, container.kind
        if kind == "s3" and self.blueprint.settings.s3_image:
            return {}
        files = {"service.json": _text(self._service(place, kind))}
        if kind == "postgres":
            passwords = {role: one.reveal() for role, one in self.keys.passwords(place).items()}
            files["passwords.json"] = _text(passwords)
        if kind == "s3" and self._reach.outside is None:
            files["keys.json"] = _text(self.keys.of_store(place))
        if kind == "platform":
            files[f"credentials/platform-{place}.json"] = self.keys.of_platform(place).to_json()
        if kind in ("worker", "agent"):
            files["outputs.json"] = outputs_of(self._reach, self.run, place, self.kind).to_json()
            for other in self._reach.topology.places:
                files[f"credentials/{place}-{other}.json"] = self.keys.credentials(place, other).to_json()
        if kind == "setup":
            files |= self._setup_files(place)
        return files

    def environment(self, container: Container) -> Mapping[str, str]:
        """Return what a server that is not ours is told by variables."""
        variables = self.blueprint.settings.s3_variables
        if container.kind != "s3" or variables is None:
            return {}
        pair = self.keys.pair(OPERATOR, container.place)
        return dict(zip(variables, (pair.access_key, pair.secret_key.reveal()), strict=True))

    @property
    def _reach(self) -> Addresses:
        return self.blueprint.addresses

    def _service(self, place: str, kind: str) -> Document:
        if kind == "postgres":
            return {"postgres": self._postgres(place)}
        process = f"{place}/{kind}"
        usual = FRONT if kind == "s3" and self._reach.outside else ENTRIES[kind]
        entry = self.entries.get(process) or self.entries.get(kind) or usual
        return {"entry": entry, "settings": {**self._settings(place, kind), **self._added(process)}}

    def _postgres(self, site: str) -> Document:
        networks = (site,) if self.blueprint.settings.spread else (site, "link")
        hosts = [EVERYWHERE + "/0"] if self.blueprint.settings.spread else self._subnets(networks)
        return {
            "version": None,
            "port": self._reach.port(Service.POSTGRES),
            "settings": self.database_settings(site),
            "passwords_file": f"{INSIDE}/passwords.json",
            "schema": "sample_platform/schema.sql",
            "hosts": hosts,
            "database": self.run.database,
        }

    def database_settings(self, site: str) -> Document:
        """Return what the server of a site is started with besides its own configuration."""
        own = ON_OWN_DISK if site in self.blueprint.settings.disks else {}
        return {**own, **self.blueprint.settings.postgres, **self._added(f"{site}/postgres")}

    def _added(self, process: str) -> Document:
        """Return the added settings of one process: those of its kind, then its own."""
        return {**self.extras.get(process.partition("/")[2], {}), **self.extras.get(process, {})}

    def _subnets(self, networks: tuple[str, ...]) -> list[str]:
        return [str(self._reach.subnet(network)) for network in networks]

    def _settings(self, place: str, kind: str) -> Document:
        basic: dict[str, object] = {"site": place, "run": self.run.name}
        if kind in ("platform", "agent"):
            basic["listen"] = {"host": EVERYWHERE, "port": self._reach.port(Service(kind))}
        match kind:
            case "s3" if (there := self._reach.outside) is not None:
                return {
                    "host": EVERYWHERE,
                    "port": self._reach.port(Service.S3),
                    "to": list(there.address),
                    "tls": there.tls,
                }
            case "s3":
                return {
                    "folder": f"{DATA}/s3",
                    "host": EVERYWHERE,
                    "port": self._reach.port(Service.S3),
                    "credentials": f"{INSIDE}/keys.json",
                    "region": region_of(self._reach.topology, place),
                }
            case "platform":
                file = f"{INSIDE}/credentials/platform-{place}.json"
                return {**basic, **platform_settings(self._reach, self.run, place, file)}
            case "setup":
                viewer = OPERATOR if place == WITNESS else place
                store = bucket_of(self._reach, self.run, place, place)
                return {
                    "endpoint": store.endpoint,
                    "bucket": store.bucket,
                    "region": store.region,
                    "credentials": f"{INSIDE}/credentials/{viewer}-{place}.json",
                }
            case _:
                return {**basic, "outputs": f"{INSIDE}/outputs.json"}

    def _setup_files(self, place: str) -> Mapping[str, str]:
        viewer = OPERATOR if place == WITNESS else place
        return {f"credentials/{viewer}-{place}.json": self.keys.credentials(viewer, place).to_json()}


def _text(document: Document) -> str:
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
