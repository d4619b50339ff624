"""What the harness asks of a Docker engine about single containers: awaitable, each in a thread."""

import asyncio
import io
import tarfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import docker
import docker.errors

from infra.blueprint.containers import UPLOADED
from infra.embedded.errors import ProcessFailed, StackError
from infra.embedded.processes import identify

LOOK_SECONDS = 0.05
"""Pause between two looks at a container: an inspection takes 2 ms of the engine."""

NOTICED_SECONDS_MAX = 15.0
"""Longest that the engine may take to notice a death that did not come from it (usually under a second)."""

LOG_LINES = 15

LOCAL_URL = "http+docker://localhost"
"""What docker-py calls an engine behind a unix socket; one behind ssh is `http+docker://ssh`."""

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")


class EngineUnreachable(StackError):
    """No Docker engine answers where one was expected."""

    def __init__(self, host: str, why: object) -> None:
        super().__init__(
            f"no Docker engine answers at {host}: {why}. Start it (`systemctl start docker`), or name "
            f"another with DOCKER_HOST; without one, use the embedded stack."
        )


def connect(host: str | None = None) -> docker.DockerClient:
    """Return a client of the engine at `host`, else of DOCKER_HOST, else of the usual socket.

    Over ssh by the ssh program of this machine, with its configuration.
    """
    if host is None:
        return docker.from_env(use_ssh_client=True)
    return docker.DockerClient(base_url=host, use_ssh_client=True)


@dataclass(frozen=True, slots=True)
class Engine:
    """One Docker engine."""

    client: docker.DockerClient

    @classmethod
    def at(cls, host: str | None = None) -> "Engine":
        """Connect to an engine: `host`, else DOCKER_HOST, else the usual socket. Raises EngineUnreachable."""
        try:
            client = connect(host)
            client.ping()
        except (docker.errors.DockerException, OSError) as error:
            raise EngineUnreachable(host or "DOCKER_HOST or its usual socket", error) from None
        return cls(client)

    async def do(
        self, act: Callable[_Given, _Result], *given: _Given.args, **named: _Given.kwargs
    ) -> _Result:
        """Do something that blocks in a thread; what the engine refuses is a ProcessFailed."""
        try:
            return await asyncio.to_thread(act, *given, **named)
        except docker.errors.NotFound as error:
            raise ProcessFailed(f"the engine does not have it: {error.explanation}") from None
        except docker.errors.APIError as error:
            raise ProcessFailed(f"the engine refused: {error.explanation or error}") from None

    async def container(self, name: str) -> Any:
        """Return a container as it is now. Raises ProcessFailed when there is none of that name."""
        return await self.do(self.client.containers.get, name)

    async def containers(self, names: Sequence[str]) -> list[Any]:
        """Return several."""
        return list(await asyncio.gather(*(self.container(name) for name in names)))

    async def put(self, name: str, files: Mapping[str, str]) -> None:
        """Write files below `/etc/cutover` of a container, which need not run."""
        found = await self.container(name)
        await self.do(found.put_archive, UPLOADED, _tar(files))

    async def run_inside(self, name: str, *argv: str) -> str:
        """Run a program in a container; return what it printed. Raises ProcessFailed."""
        found = await self.container(name)
        status, output = await self.do(found.exec_run, list(argv))
        text = output.decode(errors="replace") if output else ""
        if status:
            raise ProcessFailed(f"{argv[-2:]} in {name} ended with {status}: {text.strip()[-600:]}")
        return text

    async def start(self, name: str) -> None:
        """Start a container whose last life is over, also one that the engine has not noticed to be dead."""
        found = await self.container(name)
        await self.noticed(found)
        await self.do(found.start)

    async def noticed(self, found: Any) -> None:
        """Wait until the engine knows that a container is dead; ProcessFailed if it lives or that is late."""
        deadline = time.monotonic() + NOTICED_SECONDS_MAX
        while found.attrs["State"]["Running"]:
            if self._lives(found):
                raise ProcessFailed(f"{found.name} is already running")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{found.name} was killed long ago, and the engine takes it for running")
            await asyncio.sleep(LOOK_SECONDS)
            await self.do(found.reload)

    async def running(self, names: Sequence[str]) -> set[str]:
        """Return which of these run; a process that was killed a moment ago does not."""
        return {
            found.name
            for found in await self.containers(names)
            if found.attrs["State"]["Running"] and self._lives(found)
        }

    @property
    def local(self) -> bool:
        """Whether its containers are processes of this machine: a socket of ours leads to it, and not ssh."""
        return str(self.client.api.base_url) == LOCAL_URL

    def _lives(self, found: Any) -> bool:
        """Whether the main process of a container runs: the engine learns of a death up to a second later."""
        if not self.local:
            return bool(found.attrs["State"]["Running"])
        who = identify(int(found.attrs["State"]["Pid"]))
        return who is not None and who.alive

    async def end_of(self, name: str) -> int:
        """Return the exit status of a container, waited for."""
        found = await self.container(name)
        answer = await self.do(found.wait)
        return int(answer["StatusCode"])

    async def last_words(self, name: str) -> str:
        """Return the end of a container's log."""
        found = await self.container(name)
        lines: bytes = await self.do(found.logs, tail=LOG_LINES)
        return lines.decode(errors="replace")


def _tar(files: Mapping[str, str]) -> bytes:
    """Return an archive of files that root alone may read."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, text in files.items():
            content = text.encode()
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), 0o600
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
