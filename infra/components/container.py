"""One container: the least that its service needs, written so that a second preview changes nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_docker as docker

from infra.blueprint.addresses import INSIDE
from infra.blueprint.containers import CAPABILITIES, STOP_SECONDS, Container, Health, Mount

WAIT_SECONDS = 120
"""Longest wait for a container to be healthy (seconds): PostgreSQL makes its cluster first, all at once."""

MEMORY_FOLDERS: Mapping[str, str] = {
    INSIDE: "rw,noexec,nosuid,nodev,mode=0755,size=16m",
    "/tmp": "rw,noexec,nosuid,nodev,mode=1777,size=256m",
}
"""Folders that are gone with the container: credentials never reach a disk of the machine from there."""

LOG_OPTIONS: Mapping[str, str] = {"max-size": "10m", "max-file": "2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What other resources tell a container; each is an edge of the graph."""

    image: pulumi.Output[str]  #: id
    networks: Mapping[str, pulumi.Output[str]]  #: name by the blueprint's name
    volumes: Mapping[str, pulumi.Output[str]]  #: name by the blueprint's name
    uploads: Sequence[docker.ContainerUploadArgs]
    variables: Sequence[pulumi.Output[str]]
    labels: Mapping[str, str]


def container_args(container: Container, given: Given) -> docker.ContainerArgs:
    """Return a container as the provider takes it."""
    return docker.ContainerArgs(
        name=container.name,
        image=given.image,
        command=list(container.command) or None,
        envs=list(given.variables) or None,
        uploads=list(given.uploads) or None,
        labels=[docker.ContainerLabelArgs(label=name, value=one) for name, one in given.labels.items()],
        networks_advanced=_attached(container, given),
        ports=_published(container) or None,
        volumes=[_mounted(mount, given) for mount in container.mounts] or None,
        tmpfs=dict(MEMORY_FOLDERS),
        capabilities=docker.ContainerCapabilitiesArgs(adds=list(CAPABILITIES), drops=["ALL"]),
        security_opts=["no-new-privileges:true"],
        healthcheck=_health(container.health) if container.health else None,
        wait=True if container.health else None,
        wait_timeout=WAIT_SECONDS if container.health else None,
        restart="no",
        must_run=not container.once,  # how one that ends by itself has ended, the provider tells nobody
        destroy_grace_seconds=STOP_SECONDS,
        log_driver="json-file",
        log_opts=dict(LOG_OPTIONS),
    )


def _attached(container: Container, given: Given) -> list[docker.ContainerNetworksAdvancedArgs]:
    return [
        docker.ContainerNetworksAdvancedArgs(name=given.networks[name], ipv4_address=address)
        for name, address in sorted(container.networks.items())
    ]


def _published(container: Container) -> list[docker.ContainerPortArgs]:
    return [
        docker.ContainerPortArgs(internal=port, external=port, ip=address, protocol="tcp")
        for port, address in sorted(container.published.items())
    ]


def _mounted(mount: Mount, given: Given) -> docker.ContainerVolumeArgs:
    if mount.folder is not None:
        return docker.ContainerVolumeArgs(container_path=mount.path, host_path=mount.folder)
    return docker.ContainerVolumeArgs(
        container_path=mount.path, volume_name=given.volumes[mount.volume or ""]
    )


def _health(health: Health) -> docker.ContainerHealthcheckArgs:
    return docker.ContainerHealthcheckArgs(
        tests=list(health.command),
        interval=health.interval,
        timeout=health.timeout,
        start_period=health.start_period,
        retries=health.retries,
    )
