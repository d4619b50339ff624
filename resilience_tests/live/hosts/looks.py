"""testinfra on containers that may die: every look is proven to have been at a living one.

`docker exec` ends with 1 for a dead or a paused container, and testinfra takes that for the answer:
a file that "does not exist", a socket that "does not listen". Here it is a NotAlive.
"""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as TookTooLong
from typing import Any

import docker.errors
from testinfra.backend.base import CommandResult  # type: ignore[import-untyped]
from testinfra.backend.docker import DockerBackend  # type: ignore[import-untyped]
from testinfra.host import Host  # type: ignore[import-untyped]

from resilience_tests.live.hosts.lives import Life, NotAlive, assert_alive

ANSWER_SECONDS_MAX = 30.0
"""Longest that a command of a look may take (seconds); a frozen container would never answer."""


class LivingBackend(DockerBackend):  # type: ignore[misc]
    """testinfra's backend for containers, for one life of one container.

    Commands go through the engine's interface, which tells its own refusals from
    what a command returned; the command line's exit status does not.
    """

    def __init__(self, life: Life, user: str | None, seconds: float = ANSWER_SECONDS_MAX) -> None:
        super().__init__(f"{user}@{life.name}" if user else life.name)
        self._life = life
        self._seconds = seconds

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a command. Raises NotAlive unless the container lived this life before and after it."""
        told = self.get_command(command, *args)
        self._must_live()
        status, (said, warned) = self._executed(told)
        self._must_live()
        if status is None:
            raise NotAlive(f"the engine does not say how {told!r} ended in {self._life.name}")
        return self.result(status, self.encode(told), said or b"", warned or b"")

    def _must_live(self) -> None:
        assert_alive(self._life)

    def _executed(self, told: str) -> Any:
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(self._exec, told).result(self._seconds)
        except docker.errors.APIError:
            self._must_live()
            raise
        except TookTooLong:
            self._must_live()
            raise NotAlive(f"{self._life.name} gives no answer in {self._seconds:.0f} s: {told}") from None
        finally:
            pool.shutdown(wait=False)

    def _exec(self, told: str) -> Any:
        return self._life.container.exec_run(["/bin/sh", "-c", told], user=self.user or "", demux=True)


def look(life: Life, user: str | None = None) -> Host:
    """Return a container as testinfra sees it in one life, as its root or as `user`."""
    backend = LivingBackend(life, user)
    host = Host(backend)
    backend.set_host(host)
    return host
