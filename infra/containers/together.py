"""The containers of one site as one failure domain: they die, stop and go on together."""

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL

import docker.errors
import tenacity
from docker.models.containers import Container

from infra.containers.urgency import make_urgent, urgent
from infra.embedded.errors import StackError
from infra.embedded.groups import DEATH_SECONDS_MAX, Death, Freezer
from infra.embedded.processes import identify, send, wait_gone

BY_ENGINE = "engine"
"""The way of a death that the engine was asked for, container by container."""

_NOT_RUNNING = 409

UNABLE = "unable to freeze"
"""What the engine's runtime says after a few tries, on a machine too busy to stop all of a group's tasks."""

FREEZING = tenacity.stop_after_delay(10.0)
"""How long it is asked again (seconds)."""

_V1 = Path("/sys/fs/cgroup/freezer")
_V2 = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


class StillAlive(StackError):
    """Processes outlived their SIGKILL: the site is not dead."""


@dataclass(frozen=True, slots=True)
class Together:
    """How long it took until all of a site's containers had changed."""

    containers: int
    took_seconds: float


def kill_together(containers: Sequence[Container]) -> Death:
    """Freeze every container of a site, SIGKILL all their processes, thaw, and wait for the last death.

    The engine learns of it later, by up to a second. Where it is not on this
    machine, or its control groups cannot be written, it is asked for each kill at
    the same time, and `way` is BY_ENGINE. Containers that do not run are left out.
    Raises StillAlive.
    """
    running = [one for one in containers if _pid(one)]
    freezers = [freezer for one in running if (freezer := freezer_of(one))]
    if freezers:  # whoever has none has died by itself, and the engine has not noticed yet
        return _kill_frozen(freezers)
    return _kill_by_engine(running)


def _kill_frozen(freezers: Sequence[Freezer]) -> Death:
    """Kill all of them; of a container that dies by itself meanwhile the group vanishes."""
    with urgent():
        make_urgent(_members(freezers))
        try:
            for freezer in freezers:
                with suppress(OSError):
                    freezer.freeze()
            members = _members(freezers)
            dying = [who for pid in members if (who := identify(pid))]
            begun = time.monotonic()
            send(members, SIGKILL)
        finally:
            for freezer in freezers:
                with suppress(OSError):
                    freezer.thaw()
        alive = wait_gone(dying, DEATH_SECONDS_MAX)
        skew = time.monotonic() - begun
    if alive:
        raise StillAlive(f"pids {sorted(who.pid for who in alive)} are there {skew:.1f} s after SIGKILL")
    return Death(len(dying), skew, freezers[0].way if freezers else BY_ENGINE)


def _members(freezers: Sequence[Freezer]) -> set[int]:
    found: set[int] = set()
    for freezer in freezers:
        with suppress(OSError):
            found |= freezer.members()
    return found


def _kill_by_engine(containers: Sequence[Container]) -> Death:
    begun = time.monotonic()
    _on_each(containers, _kill)
    _on_each(containers, _wait_for_end)
    return Death(len(containers), time.monotonic() - begun, BY_ENGINE)


def _wait_for_end(container: Container) -> None:
    try:
        container.wait(timeout=DEATH_SECONDS_MAX)  # without one it waits for ever
    except docker.errors.APIError:
        raise
    except OSError as error:
        raise StillAlive(f"the engine does not say that {container.name} is dead: {error}") from None


def pause_together(containers: Sequence[Container]) -> Together:
    """Freeze every running container of a site; the engine knows of it and can still remove them."""
    running = [one for one in containers if _pid(one) and not one.attrs["State"]["Paused"]]
    return _timed(running, _pause)


def resume_together(containers: Sequence[Container]) -> Together:
    """Let every paused container of a site go on."""
    paused = [one for one in containers if _pid(one) and one.attrs["State"]["Paused"]]
    return _timed(paused, lambda one: one.unpause())


def _pause(container: Container) -> None:
    tenacity.Retrying(
        retry=tenacity.retry_if_exception(lambda error: UNABLE in str(error)),
        stop=FREEZING,
        wait=tenacity.wait_fixed(0.1),
        reraise=True,
    )(container.pause)


def _timed(containers: Sequence[Container], act: Callable[[Container], object]) -> Together:
    """Do it to all at once. Raises StackError with what the engine said."""
    begun = time.monotonic()
    try:
        _on_each(containers, act)
    except docker.errors.APIError as error:
        raise StackError(
            f"the engine did not do it to every container: {error.explanation or error}"
        ) from None
    return Together(len(containers), time.monotonic() - begun)


def _kill(container: Container) -> None:
    try:
        container.kill()
    except docker.errors.APIError as error:
        if error.status_code != _NOT_RUNNING:
            raise


def _on_each(containers: Sequence[Container], act: Callable[[Container], object]) -> None:
    if containers:
        with ThreadPoolExecutor(len(containers)) as pool:
            list(pool.map(act, containers))


def _pid(container: Container) -> int:
    container.reload()
    return int(container.attrs["State"]["Pid"])


def freezer_of(container: Container) -> Freezer | None:
    """Return the freezer of a running container; None on another machine's engine or without the right."""
    try:
        lines = Path(f"/proc/{container.attrs['State']['Pid']}/cgroup").read_text().splitlines()
    except OSError:
        return None
    for number, controllers, path in sorted((line.split(":", 2) for line in lines), reverse=True):
        if container.id and container.id in path and (found := _freezer(number, controllers, path)):
            return found
    return None


def _freezer(number: str, controllers: str, path: str) -> Freezer | None:
    if controllers == "freezer":
        candidates = [(_V1, "freezer.state")]
    else:
        candidates = [(root, "cgroup.freeze") for root in _V2 if number == "0"]
    for root, control in candidates:
        folder = root / path.lstrip("/")
        if os.access(folder / control, os.W_OK):
            return Freezer(folder, v2=control == "cgroup.freeze")
    return None
