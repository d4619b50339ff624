"""The outputs contract of an embedded stack: one description and its credentials for each viewer."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from cutover.model.outputs import Credentials, ObjectStore, Outputs
from cutover.model.secret import Secret
from infra.blueprint.keys import Keys
from infra.contract import Run, bucket_of, outputs_of, platform_settings
from infra.embedded.description import Description, kind_of
from infra.embedded.ports import HOST
from infra.embedded.state import StackFolder, write_file
from infra.s3_engines.outside import Outside, account
from infra.s3_engines.resolve import KEYS
from infra.s3_engines.tenancy import Tenancy
from infra.topology import OPERATOR, Service, Topology, two_sites


@dataclass(frozen=True, slots=True)
class Reached:
    """How places reach each other: over ports of this machine. Fulfils `infra.contract.Reach`."""

    description: Description
    folder: StackFolder

    @property
    def topology(self) -> Topology:
        return self.description.addresses.topology

    @property
    def keys(self) -> str:
        return self.outside.keys if self.outside else KEYS[self.description.s3_server]

    @property
    def outside(self) -> Outside | None:
        return self.description.s3_outside

    def address(self, viewer: str, place: str, service: Service) -> tuple[str, int]:
        """Return host and port of a service: its own directly, others over a link."""
        return HOST, self.description.addresses.port(viewer, place, service)

    def credentials(self, viewer: str, place: str) -> str:
        """Return the file with what `viewer` may use at `place`."""
        return str(self.folder.credentials / f"{viewer}-{place}.json")

    @property
    def run(self) -> Run:
        return self.description.present_run


def make_credentials(description: Description, folder: StackFolder) -> Mapping[str, Mapping[str, Secret]]:
    """Make all keys and passwords of a stack and write its credentials files.

    Each viewer has a key pair of its own at each object store; at a server outside all have
    the environment's. Returns the database passwords, by site and role, for the servers to be told.
    """
    pair = account() if description.s3_outside else None
    if pair is not None:
        Tenancy(folder).remember(pair)
    topology, keys = two_sites(), Keys(Secret(secrets.token_urlsafe(32)), given=pair)
    for place in topology.places:
        write_file(folder.credentials / f"s3-server-{place}.json", json.dumps(keys.of_store(place)))
        for viewer in topology.viewers:
            _write_credentials(folder, f"{viewer}-{place}", keys.credentials(viewer, place))
    for site in topology.sites:
        _write_credentials(folder, f"platform-{site.name}", keys.of_platform(site.name))
    return {site.name: keys.passwords(site.name) for site in topology.sites}


def _write_credentials(folder: StackFolder, name: str, credentials: Credentials) -> None:
    write_file(folder.credentials / f"{name}.json", credentials.to_json())


def credentials_of(folder: StackFolder, viewer: str, place: str) -> Credentials:
    """Read what a viewer may use at a place."""
    return Credentials.from_json((folder.credentials / f"{viewer}-{place}.json").read_text())


def outputs_for(description: Description, folder: StackFolder, viewer: str) -> Outputs:
    """Return the stack as `viewer` reaches it."""
    reached = Reached(description, folder)
    return outputs_of(reached, reached.run, viewer, "embedded")


def own_bucket(description: Description, folder: StackFolder, place: str) -> ObjectStore:
    """Return the bucket of this run at a place, as the place itself reaches it."""
    reached = Reached(description, folder)
    return bucket_of(reached, reached.run, place, place)


def publish(description: Description, folder: StackFolder) -> None:
    """Write every viewer's outputs, and the operator's as the stack's own."""
    for viewer in two_sites().viewers:
        text = outputs_for(description, folder, viewer).to_json()
        write_file(folder.outputs(viewer), text)
        if viewer == OPERATOR:
            write_file(folder.path / "outputs.json", text)


def settings_for(description: Description, folder: StackFolder, process: str) -> dict[str, object]:
    """Return the settings of a service at a place, `PLACE/KIND` or `PLACE/KIND.NAME`."""
    place, kind = process.partition("/")[0], kind_of(process)
    reached = Reached(description, folder)
    basic: dict[str, object] = {"site": place, "run": description.run_id}
    if kind in ("platform", "agent"):
        basic["listen"] = description.addresses.listen(place, Service(kind))
    rest = (
        platform_settings(reached, reached.run, place, str(folder.credentials / f"platform-{place}.json"))
        if kind == "platform"
        else {"outputs": str(folder.outputs(place))}
    )
    return {**basic, **rest, **description.extra(process)}
