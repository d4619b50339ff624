"""testinfra on containers that may die: every look is proven to have been at a living one.

`docker exec` ends with 1 for a dead or a paused container, and testinfra takes that for the answer:
a file that "does not exist", a socket that "does not listen". Here it is a NotAlive.
"""

import secrets
import subprocess
from typing import Any

from testinfra.backend.base import CommandResult  # type: ignore[import-untyped]
from testinfra.backend.docker import DockerBackend  # type: ignore[import-untyped]
from testinfra.host import Host  # type: ignore[import-untyped]

from resilience_tests.live.hosts.lives import Life, assert_alive

ANSWER_SECONDS_MAX = 30.0
"""Longest that a command of a look may take (seconds); a frozen container would never answer."""


class NoAnswer(AssertionError):
    """What came back is not the whole output of a command: it may not even have run."""


class LivingBackend(DockerBackend):  # type: ignore[misc]
    """testinfra's backend for containers, for one life of one container.

    What a command prints stands between two marks, and its exit status behind the
    second: an engine that refuses, is another one, or loses bytes prints neither.
    The engine's Python client did lose them: it ended with 0, and had read nothing.
    """

    def __init__(self, life: Life, user: str | None, seconds: float = ANSWER_SECONDS_MAX) -> None:
        super().__init__(f"{user}@{life.name}" if user else life.name)
        self._life = life
        self._seconds = seconds

    def run(self, command: str, *args: str, **kwargs: Any) -> CommandResult:
        """Run a command in the container.

        Raises NotAlive unless it lived this life before and after, and NoAnswer when
        the command is not known to have run to its end.
        """
        told = self.get_command(command, *args)
        mark = secrets.token_hex(8)
        self._must_live()
        printed, warned = self._executed(told, mark)
        self._must_live()
        said, _, status = printed.removeprefix(mark.encode()).rpartition(mark.encode())
        if not printed.startswith(mark.encode()) or not status.isdigit():
            words = warned.decode(errors="replace").strip()
            raise NoAnswer(f"{self._life.name} did not answer {told!r} in full: {words or printed!r}")
        return self.result(int(status), self.encode(told), said, warned)

    def _must_live(self) -> None:
        assert_alive(self._life)

    def _executed(self, told: str, mark: str) -> tuple[bytes, bytes]:
        """Run a command between two marks, which the list of processes does not show."""
        script = f"printf $MARK\n(\n{told}\n)\nprintf $MARK%d $?"
        who = ["-u", self.user] if self.user else []
        name = str(self._life.container.id)
        argv = ["docker", "exec", "-e", f"MARK={mark}", *who, name, "/bin/sh", "-c", script]
        try:
            done = subprocess.run(argv, capture_output=True, timeout=self._seconds, check=False)
        except subprocess.TimeoutExpired:
            self._must_live()
            raise NoAnswer(f"{self._life.name} is not done after {self._seconds:.1f} s: {told}") from None
        return done.stdout, done.stderr


def look(life: Life, user: str | None = None) -> Host:
    """Return a container as testinfra sees it in one life, as its root or as `user`."""
    backend = LivingBackend(life, user)
    host = Host(backend)
    backend.set_host(host)
    return host
