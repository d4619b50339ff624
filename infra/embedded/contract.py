"""The outputs contract of an embedded stack: one description and its credentials for each viewer."""

import json
import secrets
from collections.abc import Mapping

from cutover.model.outputs import (
    Credentials,
    Database,
    ObjectStore,
    Outputs,
    S3Credentials,
    SiteOutputs,
    WitnessOutputs,
)
from cutover.model.secret import Secret
from infra.embedded.databases import ROLES
from infra.embedded.description import Description, kind_of
from infra.embedded.ports import HOST
from infra.embedded.services import POSTGRES_OF_SITE, POSTGRES_OF_VIEWER
from infra.embedded.state import StackFolder, write_file
from infra.s3_engines.resolve import KEYS
from infra.topology import OPERATOR, WITNESS, Service, two_sites

WITNESS_BUCKET = "witness"


def make_credentials(folder: StackFolder) -> Mapping[str, Mapping[str, Secret]]:
    """Make all keys and passwords of a stack and write its credentials files.

    Each viewer has a key pair of its own at each object store. Returns the
    database passwords, by site and role, for the servers to be told.
    """
    topology = two_sites()
    passwords = {site.name: {role: _password() for role in ROLES} for site in topology.sites}
    for place in topology.places:
        pairs = {
            viewer: S3Credentials(access_key=f"{viewer}-key", secret_key=_password())
            for viewer in topology.viewers
        }
        keys = {pair.access_key: pair.secret_key.reveal() for pair in pairs.values()}
        write_file(folder.credentials / f"s3-server-{place}.json", json.dumps(keys))
        for viewer, pair in pairs.items():
            roles = POSTGRES_OF_VIEWER.get(viewer, POSTGRES_OF_SITE) if place != WITNESS else ()
            known = {role: passwords[place][role] for role in roles}
            _write_credentials(folder, f"{viewer}-{place}", Credentials(s3=pair, postgres=known))
            if viewer == place:
                own = {"platform": passwords[place]["platform"]}
                _write_credentials(folder, f"platform-{place}", Credentials(s3=pair, postgres=own))
    return passwords


def _password() -> Secret:
    return Secret(secrets.token_urlsafe(24))


def _write_credentials(folder: StackFolder, name: str, credentials: Credentials) -> None:
    write_file(folder.credentials / f"{name}.json", credentials.to_json())


def credentials_of(folder: StackFolder, viewer: str, place: str) -> Credentials:
    """Read what a viewer may use at a place."""
    return Credentials.from_json((folder.credentials / f"{viewer}-{place}.json").read_text())


def outputs_for(description: Description, folder: StackFolder, viewer: str) -> Outputs:
    """Return the stack as `viewer` reaches it."""
    addresses = description.addresses
    sites = {
        site.name: SiteOutputs(
            role=site.role,
            region=site.region,
            s3=store(description, viewer, site.name, description.bucket),
            postgres=Database(
                host=HOST,
                port=addresses.port(viewer, site.name, Service.POSTGRES),
                database=description.database,
            ),
            platform=addresses.url(viewer, site.name, Service.PLATFORM),
            agent=addresses.url(viewer, site.name, Service.AGENT),
            credentials_file=str(folder.credentials / f"{viewer}-{site.name}.json"),
        )
        for site in addresses.topology.sites
    }
    witness = WitnessOutputs(
        s3=store(description, viewer, WITNESS, WITNESS_BUCKET),
        prefix=description.witness_prefix,
        credentials_file=str(folder.credentials / f"{viewer}-{WITNESS}.json"),
    )
    return Outputs(name=description.name, kind="embedded", sites=sites, witness=witness)


def store(description: Description, viewer: str, place: str, bucket: str) -> ObjectStore:
    """Return a bucket as `viewer` reaches it; a place reaches its own store with no link between."""
    return ObjectStore(
        endpoint=description.addresses.url(viewer, place, Service.S3),
        bucket=bucket,
        region=description.addresses.region(place),
        keys=KEYS[description.s3_server],
    )


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
    basic: dict[str, object] = {"site": place, "run": description.run_id}
    if kind in ("platform", "agent"):
        basic["listen"] = description.addresses.listen(place, Service(kind))
    rest = (
        _platform_settings(description, folder, place)
        if kind == "platform"
        else {"outputs": str(folder.outputs(place))}
    )
    return {**basic, **rest, **description.extra(process)}


def _platform_settings(description: Description, folder: StackFolder, site: str) -> dict[str, object]:
    """Return plain values: the platform is somebody else's program and knows no contract of ours."""
    addresses = description.addresses
    return {
        "postgres": {
            **addresses.listen(site, Service.POSTGRES),
            "database": description.database,
            "user": "platform",
        },
        "s3": {
            "endpoint": addresses.url(site, site, Service.S3),
            "bucket": description.bucket,
            "region": addresses.region(site),
        },
        "credentials_file": str(folder.credentials / f"platform-{site}.json"),
    }
