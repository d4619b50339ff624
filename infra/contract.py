"""The outputs contract and the settings of every service, for any stack: only the way there differs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from cutover.model.outputs import Database, ObjectStore, Outputs, SiteOutputs, WitnessOutputs
from infra.s3_engines.outside import Outside
from infra.topology import WITNESS, Service, Topology

WITNESS_BUCKET = "witness"

ROLES_OF_VIEWER = {
    "operator": ("platform", "cutover_admin", "cutover_applier", "checker"),
    "clients": (),
}
"""Database roles whose password a viewer gets; a site gets those of `ROLES_OF_SITE`."""

ROLES_OF_SITE = ("cutover_admin", "cutover_applier", "checker")


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a stack: what is made anew for each drill."""

    stack: str
    number: int

    @property
    def name(self) -> str:
        """Return the name of the run, part of every bucket, database and prefix of it."""
        return f"r{self.number}"

    @property
    def database(self) -> str:
        return f"platform_{self.name}"

    @property
    def bucket(self) -> str:
        return f"content-{self.name}"

    @property
    def prefix(self) -> str:
        """Return what all keys at the witness start with."""
        return f"{self.stack}/{self.name}/"


class Reach(Protocol):
    """How places reach each other in one kind of stack."""

    @property
    def topology(self) -> Topology: ...

    @property
    def keys(self) -> str:
        """What the object stores do with keys, as ObjectStore has it."""

    @property
    def outside(self) -> Outside | None:
        """The one server behind the stores of all places; None where each place has its own."""

    def address(self, viewer: str, place: str, service: Service) -> tuple[str, int]:
        """Return host and port at which `viewer` reaches a service; its own with no link between."""

    def credentials(self, viewer: str, place: str) -> str:
        """Return the path, at the viewer's, of the file with what `viewer` may use at `place`."""


def roles_of(viewer: str, place: str) -> tuple[str, ...]:
    """Return the database roles that `viewer` may be at `place`."""
    return () if place == WITNESS else ROLES_OF_VIEWER.get(viewer, ROLES_OF_SITE)


def region_of(topology: Topology, place: str) -> str:
    """Return the region of a site or of the witness."""
    return topology.witness_region if place == WITNESS else topology.site(place).region


def url(reach: Reach, viewer: str, place: str, service: Service) -> str:
    """Return the URL at which `viewer` reaches a service."""
    host, port = reach.address(viewer, place, service)
    return f"http://{host}:{port}"


def bucket_of(reach: Reach, run: Run, viewer: str, place: str) -> ObjectStore:
    """Return the bucket of a run at `place`, as `viewer` reaches it."""
    there = reach.outside
    return ObjectStore(
        endpoint=url(reach, viewer, place, Service.S3),
        bucket=_name_of_bucket(there, run, place),
        region=there.region if there else region_of(reach.topology, place),
        keys=reach.keys,
    )


def _name_of_bucket(there: Outside | None, run: Run, place: str) -> str:
    if there is not None:
        return there.bucket(run.stack, place, None if place == WITNESS else run.number)
    return WITNESS_BUCKET if place == WITNESS else run.bucket


def outputs_of(reach: Reach, run: Run, viewer: str, kind: str) -> Outputs:
    """Return the stack as `viewer` reaches it."""
    witness = WitnessOutputs(
        s3=bucket_of(reach, run, viewer, WITNESS),
        prefix=run.prefix,
        credentials_file=reach.credentials(viewer, WITNESS),
    )
    sites = {site.name: _site(reach, run, viewer, site.name) for site in reach.topology.sites}
    return Outputs(name=run.stack, kind=kind, sites=sites, witness=witness)


def _site(reach: Reach, run: Run, viewer: str, name: str) -> SiteOutputs:
    site = reach.topology.site(name)
    host, port = reach.address(viewer, name, Service.POSTGRES)
    return SiteOutputs(
        role=site.role,
        region=site.region,
        s3=bucket_of(reach, run, viewer, name),
        postgres=Database(host=host, port=port, database=run.database),
        platform=url(reach, viewer, name, Service.PLATFORM),
        agent=url(reach, viewer, name, Service.AGENT),
        credentials_file=reach.credentials(viewer, name),
    )


def platform_settings(reach: Reach, run: Run, site: str, credentials: str) -> Mapping[str, object]:
    """Return plain values: the platform is somebody else's program and knows no contract of ours."""
    host, port = reach.address(site, site, Service.POSTGRES)
    store = bucket_of(reach, run, site, site)
    return {
        "postgres": {"host": host, "port": port, "database": run.database, "user": "platform"},
        "s3": {"endpoint": store.endpoint, "bucket": store.bucket, "region": store.region},
        "credentials_file": credentials,
    }
