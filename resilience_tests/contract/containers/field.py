"""Containers for these tests, made without a registry: an empty image and this machine's own interpreter."""

import io
import json
import os
import shutil
import socket
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from infra.containers.claims import Claim, of_stack, this_process
from infra.containers.leftovers import remove

PEER = Path(__file__).with_name("peer.py")
CONTROL_PORT = 7000
PORTS = {"postgres": 5432, "s3": 9000, "platform": 8000, "agent": 8001}

UP_SECONDS_MAX = 30.0
"""Longest wait for a container to serve (seconds)."""

WITHIN = 0.6
"""How long a peer waits for what must not come, and how soon must come what nothing holds up (seconds)."""

_FOLDERS = ("usr", "lib", "lib64", "bin", "tmp")


def why_not() -> str | None:
    """Return why no container can be run here, or None."""
    if os.geteuid() != 0:
        return "only root sees the engine's containers as processes and may set packet rules"
    if shutil.which("iptables-save") is None:
        return "iptables is not installed"
    return why_no_engine()


def why_no_engine() -> str | None:
    """Try its socket first: the client leaks one of its own when nobody listens."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    if not host.startswith("unix://"):
        return f"the engine at {host} is not this machine's"
    with socket.socket(socket.AF_UNIX) as tried:
        if tried.connect_ex(host.removeprefix("unix://")):
            return f"no Docker engine listens on {host}"
    return None


class Peer:
    """One container that echoes, and that connects where it is told to."""

    def __init__(self, container: Container) -> None:
        container.reload()
        (network,) = container.attrs["NetworkSettings"]["Networks"].values()
        self.container = container
        self.address: str = network["IPAddress"]
        self.gateway: str = network["Gateway"]
        self._socket = _connected(self.address)
        self._socket.settimeout(None)
        self._stream = self._socket.makefile("rwb", buffering=0)

    def open(self, host: str, port: int, within: float = WITHIN) -> str:
        """Connect, for good; return `ok` or the error's name."""
        return str(self._ask(do="open", to=[host, port], within=within)["outcome"])

    def say(self, words: str, within: float = WITHIN) -> str:
        """Send words over the standing connection; return `ok` when they came back, or the error's name."""
        return str(self.said(words, within)["outcome"])

    def said(self, words: str, within: float = WITHIN) -> Mapping[str, Any]:
        """Say, and return also how long it took."""
        return self._ask(do="say", words=words, within=within)

    def heard(self) -> Sequence[str]:
        """Return every line that this peer received."""
        return list(self._ask(do="heard")["heard"])

    def hears(self, words: str, within: float) -> bool:
        """Say whether this peer has received words, or does within so many seconds."""
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            if words in self.heard():
                return True
        return words in self.heard()

    def _ask(self, **request: object) -> Mapping[str, Any]:
        self._stream.write(json.dumps(request).encode() + b"\n")
        answer: Mapping[str, Any] = json.loads(self._stream.readline())
        return answer

    def close(self) -> None:
        """Let go of the control connection; the container stays."""
        self._stream.close()
        self._socket.close()


def _connected(address: str) -> socket.socket:
    deadline = time.monotonic() + UP_SECONDS_MAX
    while True:
        try:
            return socket.create_connection((address, CONTROL_PORT), timeout=UP_SECONDS_MAX)
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise


class Field:
    """Containers and a network under one claim; all of it is removed at the end."""

    def __init__(self, engine: docker.DockerClient, claim: Claim) -> None:
        self.engine = engine
        self.claim = claim
        self.network = engine.networks.create(claim.stack, internal=True, labels=claim.labels())
        self.peers: list[Peer] = []

    def start(self, *commands: str) -> list[Container]:
        """Start containers that run these programs of the interpreter."""
        return [self._run(["-c", text]) for text in commands]

    def peer(self) -> Peer:
        """Start a peer that serves on all ports."""
        ports = [str(port) for port in PORTS.values()]
        peer = Peer(self._run(["-c", PEER.read_text(), *ports]))
        self.peers.append(peer)
        return peer

    def _run(self, arguments: Sequence[str]) -> Container:
        return self.engine.containers.run(
            _image(self.engine),
            [sys.executable, *arguments],
            detach=True,
            init=True,
            name=f"{self.claim.stack}-{uuid.uuid4().hex[:6]}",
            network=self.claim.stack,
            labels=self.claim.labels(),
            volumes=_mounts(),
        )

    def close(self) -> None:
        """Remove it all."""
        for peer in self.peers:
            peer.close()
        remove(self.engine, of_stack(self.claim.stack))


@contextmanager
def field(name: str = "field") -> Iterator[Field]:
    """Give a field of this process that nobody else has."""
    claim = Claim(stack=f"test-{name}-{uuid.uuid4().hex[:6]}", owner=this_process())
    client = docker.from_env()
    try:
        made = Field(client, claim)
        try:
            yield made
        finally:
            made.close()
    finally:
        client.close()


def forget_image() -> None:
    """Remove the image of these tests."""
    client = docker.from_env()
    if client.images.list(IMAGE):
        client.images.remove(IMAGE, force=True)
    client.close()


IMAGE = os.environ.setdefault("CUTOVER_TEST_IMAGE", f"cutover-test-empty-{os.getpid()}")
"""One for this run, also for the harnesses that it starts."""


def _image(engine: docker.DockerClient) -> str:
    if not engine.images.list(IMAGE):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for folder in _FOLDERS:
                entry = tarfile.TarInfo(folder)
                entry.type, entry.mode = tarfile.DIRTYPE, 0o755
                archive.addfile(entry)
        engine.api.import_image_from_data(buffer.getvalue(), repository=IMAGE, tag="latest")
    return f"{IMAGE}:latest"


def _mounts() -> dict[str, dict[str, str]]:
    """Return what the interpreter needs of this machine, read only."""
    wanted = {f"/{folder}" for folder in _FOLDERS if folder != "tmp"} | {sys.prefix, sys.base_prefix}
    return {path: {"bind": path, "mode": "ro"} for path in wanted if Path(path).exists()}


def rules_of(stack: str) -> list[str]:
    """Return every packet rule that names a stack, as iptables itself lists them."""
    listed = subprocess.run(["iptables-save", "-t", "filter"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if f"/{stack}/" in line]
