"""Containers of the project's image for these tests, on a network without a way out, and their removal."""

import io
import json
import secrets
import tarfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import docker
from docker.errors import DockerException, NotFound
from docker.models.containers import Container

from infra.containers.claims import STACK, Claim, this_process
from infra.images.health import health_command
from resilience_tests.contract.containers.field import why_no_engine

HEALTHY_SECONDS_MAX = 60.0
"""Longest wait for a container to be healthy (seconds); idle it takes three."""

CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")

ROLES = ("platform", "cutover_admin", "cutover_applier", "checker")

POSTGRES_PORT, S3_PORT, PLATFORM_PORT = 5432, 9000, 8000

Files = Mapping[str, object]
"""What to put below /etc/cutover, by name: texts, and documents that become JSON."""


@dataclass
class Ground:
    """One network, and the containers and volumes on it."""

    client: docker.DockerClient
    image: str
    claim: Claim
    passwords: Mapping[str, str] = field(
        default_factory=lambda: {role: secrets.token_hex(12) for role in ROLES}
    )

    def box(
        self,
        kind: str,
        port: int | None,
        files: Files,
        volume: str | None = None,
        *,
        tmpfs: bool = True,
        init: bool = False,
    ) -> Container:
        """Make a container, not started, with these files in it; its data lie in `volume`.

        `init`: the engine's own small program is its first process. It stays root, and without
        CAP_KILL it cannot pass on the signal that ends the service: it ends, and the service is killed.
        """
        container = self.client.containers.create(
            self.image,
            name=f"{self.claim.stack}-{uuid.uuid4().hex[:6]}",
            labels=self.claim.labels(),
            network=self.claim.stack,
            cap_drop=["ALL"],
            cap_add=list(CAPABILITIES),
            security_opt=["no-new-privileges"],
            init=init,
            tmpfs={"/run/cutover": ""} if tmpfs else {},
            volumes=[f"{volume or self.volume()}:/data"],
            healthcheck={"test": health_command(kind, port), "interval": 200_000_000},
        )
        put(container, files)
        return container

    def volume(self) -> str:
        """Make an empty volume and return its name."""
        name = f"{self.claim.stack}-{uuid.uuid4().hex[:6]}"
        self.client.volumes.create(name, labels=self.claim.labels())
        return name

    def postgres(self, volume: str | None = None, *, init: bool = False, **told: object) -> Container:
        """Make a database server, not started."""
        return self.box("postgres", POSTGRES_PORT, self.postgres_files(**told), volume, init=init)

    def postgres_files(self, **told: object) -> Files:
        """Return what a database server is given."""
        subnet = self.client.networks.get(self.claim.stack).attrs["IPAM"]["Config"][0]["Subnet"]
        usual = {
            "port": POSTGRES_PORT,
            "hosts": [subnet],
            "passwords_file": "/run/cutover/passwords.json",
            "schema": "sample_platform/schema.sql",
            "database": "platform_r1",
        }
        return {"service.json": {"postgres": {**usual, **told}}, "passwords.json": self.passwords}

    def remove(self) -> None:
        """Remove everything that bears our claim."""
        ours: dict[str, str | list[str] | bool] = {"label": f"{STACK}={self.claim.stack}"}
        for container in self.client.containers.list(all=True, filters=ours):
            container.remove(force=True, v=True)
        for volume in self.client.volumes.list(filters=ours):
            volume.remove()
        for network in self.client.networks.list(filters=ours):
            network.remove()


@contextmanager
def ground(client: docker.DockerClient, image: str) -> Iterator[Ground]:
    """Give a network of this process that nobody else has."""
    claim = Claim(stack=f"test-images-{uuid.uuid4().hex[:6]}", owner=this_process())
    client.networks.create(claim.stack, internal=True, labels=claim.labels())
    made = Ground(client, image, claim)
    try:
        yield made
    finally:
        made.remove()


def put(container: Container, files: Files) -> None:
    """Put files into a container, readable by everybody, as root's: the worst that an upload can be."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, document in files.items():
            text = document.encode() if isinstance(document, str) else json.dumps(document).encode()
            header = tarfile.TarInfo(name)
            header.size, header.mode = len(text), 0o644
            tar.addfile(header, io.BytesIO(text))
    container.put_archive("/etc/cutover", buffer.getvalue())


def start(container: Container) -> Container:
    """Start a container and return it once it is healthy."""
    container.start()
    wait_for(lambda: _health(container) == "healthy", lambda: f"not healthy:\n{log(container)}")
    return container


def kill(container: Container) -> None:
    """Kill a container, and return when it is dead."""
    container.kill()
    container.wait(timeout=HEALTHY_SECONDS_MAX)


def log(container: Container) -> str:
    """Return everything that a container has printed."""
    return container.logs().decode(errors="replace")


def address(container: Container) -> str:
    """Return where the host reaches a running container."""
    container.reload()
    (network,) = container.attrs["NetworkSettings"]["Networks"].values()
    return str(network["IPAddress"])


def inside(container: Container, *argv: str) -> str:
    """Run a program in a container; return what it printed."""
    status, said = container.exec_run(list(argv))
    assert isinstance(said, bytes)
    assert status == 0, f"{argv} ended with {status}: {said.decode()}"
    return said.decode()


def size_of(container: Container, path: str) -> int:
    """Return how many bytes a file of a container has; the container may have ended."""
    _, seen = container.get_archive(path)
    assert seen is not None
    return int(seen["size"])


def has_file(container: Container, path: str) -> bool:
    """Say whether a container, running or not, has a file."""
    try:
        container.get_archive(path)
    except NotFound:
        return False
    return True


def wait_for(true: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Return once something is true; fail with a message when it does not become so in time."""
    deadline = time.monotonic() + HEALTHY_SECONDS_MAX
    while not true():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.05)  # polls until its deadline


def _health(container: Container) -> str:
    container.reload()
    state = container.attrs["State"]
    assert state["Running"], f"it ended with {state['ExitCode']}:\n{log(container)}"
    return str(state["Health"]["Status"])


def engine() -> docker.DockerClient | str:
    """Return the engine, or why there is none."""
    if why := why_no_engine():
        return why
    try:
        client = docker.from_env()
        client.ping()
    except (DockerException, OSError) as error:
        return f"no Docker engine answers: {error}"
    return client
