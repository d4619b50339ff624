"""Lives of containers: from a start to its end. The next start of the same container begins another.

The engine learns of a death up to a second after it, and says nothing of a container that was frozen
behind its back; `/proc` knows at once, but only on the engine's own machine. So what is asserted here
rests on both, and refuses where one of them cannot be seen.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.containers.together import freezer_of
from infra.embedded.processes import Identity, all_pids, identify

WAIT_SECONDS_MAX = 60.0
"""Longest wait for what must come about (seconds): a database recovers first, on a busy machine."""

LOOK_SECONDS = 0.05


class NotAlive(AssertionError):
    """A container was to be looked at and does not live; nothing that is said of it would mean anything."""


class NotDead(AssertionError):
    """A container is not proven to be dead; the message names what is missing."""


@dataclass(frozen=True, slots=True)
class Life:
    """One life of a container, as `/proc` and the engine showed it while it lasted."""

    container: Any  #: as the engine's client shows it
    began: str  #: as the engine wrote it
    first: Identity
    members: frozenset[Identity]  #: every process that was in its control groups

    @property
    def name(self) -> str:
        return str(self.container.name)


def life_of(container: Any) -> Life:
    """Return the present life of a container. Raises NotAlive, also where `/proc` does not show it."""
    began, first = alive_now(container)
    members = members_of(str(container.id))
    if first not in members:
        raise NotAlive(f"/proc does not show {container.name} in its groups: is its engine elsewhere?")
    return Life(container, began, first, members)


def alive_now(container: Any) -> tuple[str, Identity]:
    """Return when the present life of a container began, and its first process. Raises NotAlive."""
    container.reload()
    state = container.attrs["State"]
    if not state["Running"]:
        raise NotAlive(f"{container.name} is {state['Status']}, as the engine says")
    first = identify(int(state["Pid"]))
    if first is None or not first.alive:
        raise NotAlive(f"{container.name} is dead: its first process, {state['Pid']}, is not in /proc")
    if how := frozen_by(container):
        raise NotAlive(f"{container.name} is paused, {how}: nothing in it runs")
    return str(state["StartedAt"]), first


def members_of(container: str) -> frozenset[Identity]:
    """Return every living process of this machine in the control groups of a container, by its full id."""
    return frozenset(
        who for pid in all_pids() if container in _groups(pid) and (who := identify(pid)) and who.alive
    )


def _groups(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:  # gone meanwhile
        return ""


def frozen_by(container: Any) -> str | None:
    """Return how a running container is paused, by the engine or behind its back; None if it is not."""
    if container.attrs["State"]["Paused"]:
        return "as the engine says"
    freezer = freezer_of(container)
    if freezer is None:
        return None
    if freezer.way == "freezer-v2":
        frozen = "frozen 1" in (freezer.folder / "cgroup.events").read_text()
        return "as its control group says" if frozen else None
    state = (freezer.folder / "freezer.state").read_text().strip()
    return None if state == "THAWED" else f"as its control group says ({state})"


def assert_alive(life: Life) -> None:
    """Raise NotAlive unless a container still lives this life: no other one, and not paused."""
    began, first = alive_now(life.container)
    if (began, first) != (life.began, life.first):
        raise NotAlive(f"{life.name} ended and was started again at {began}; it ran since {life.began}")


def assert_dead(life: Life) -> None:
    """Raise NotDead unless both the engine and `/proc` prove that a container is dead.

    A `life` is what was seen of it alive: who has not seen the living cannot tell
    that nothing of them is left. A paused container is not dead, nor is one that
    has been started again.
    """
    if missing := [*_said_by_the_engine(life), *_shown_by_proc(life)]:
        raise NotDead(f"{life.name} is not proven dead: " + "; ".join(missing))


def _said_by_the_engine(life: Life) -> list[str]:
    life.container.reload()
    state = life.container.attrs["State"]
    if state["Running"] or state["Paused"] or state["Restarting"] or state["Pid"]:
        return [f"the engine says that it is {state['Status']} as process {state['Pid']}"]
    if state["StartedAt"] != life.began:
        return [f"another life of it, begun at {state['StartedAt']}, is the one that ended"]
    return []


def _shown_by_proc(life: Life) -> list[str]:
    left = sorted(who.pid for who in life.members if who.alive)
    more = sorted(who.pid for who in members_of(str(life.container.id)) - life.members)
    said = [f"processes {left} of it are in /proc"] if left else []
    return said + ([f"processes {more} are in its control groups"] if more else [])


async def until_dead(life: Life) -> None:
    """Return once a container is proven dead; raise NotDead if that takes too long."""
    await _until(lambda: _holds(lambda: assert_dead(life), NotDead))
    assert_dead(life)


async def until_healthy(container: Any) -> Life:
    """Return the life of a container once its health check passes; raise NotAlive if that takes too long."""
    await _until(lambda: _health(container) == "healthy")
    life = life_of(container)
    if (said := _health(container)) != "healthy":
        raise NotAlive(f"{life.name} is {said} after {WAIT_SECONDS_MAX:.0f} s")
    return life


def _health(container: Any) -> str:
    container.reload()
    state = container.attrs["State"]
    return str(state.get("Health", {}).get("Status")) if state["Running"] else str(state["Status"])


def _holds(check: Callable[[], object], otherwise: type[AssertionError]) -> bool:
    try:
        check()
    except otherwise:
        return False
    return True


async def _until(true: Callable[[], bool]) -> None:
    """Return once it is true, or when time is up: the caller finds out which."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not await asyncio.to_thread(true) and time.monotonic() < deadline:
        await asyncio.sleep(LOOK_SECONDS)  # polls until its deadline
