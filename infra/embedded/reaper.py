"""Ending what a killed run left behind: processes, memory, disks, control groups, folders."""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from infra.embedded import power
from infra.embedded.errors import StackError
from infra.embedded.groups import Freezer, find_freezers
from infra.embedded.postgres import release_memory
from infra.embedded.processes import Identity, identify, marked_with, send, stop_tree, wait_gone, working_in
from infra.embedded.state import StackFolder, StateFolder, is_locked
from infra.s3_engines.tenancy import Tenancy

GONE_SECONDS_MAX = 10.0
"""Longest wait for the killed leftovers to be gone (seconds)."""

_SIGKILL = 9


def reap(state: StateFolder, tell: Callable[[str], object] = lambda _: None) -> list[str]:
    """Remove every stack of processes whose supervisor is dead; return their names.

    A stack that lives, kept or of another harness, is left alone; so are those of
    containers, which only their engine can remove. What stays elsewhere is told.
    """
    with state.allocating():
        dead = [
            folder for folder in state.stacks() if folder.kind == "processes" and not is_locked(folder.lock)
        ]
        for folder in dead:
            for left in remove(folder):
                tell(f"of stack {folder.name} {left}")
    return [folder.name for folder in dead]


def take_down(folder: StackFolder) -> None:
    """Remove a stack; raise StackError when all is done but what stays elsewhere."""
    if left := remove(folder):
        raise StackError(f"stack {folder.name} is down, but {'; '.join(left)}")


@contextlib.contextmanager
def telling(tell: Callable[[str], object]) -> Iterator[None]:
    """Tell of what stays, and do not raise it: something else went wrong first, and is what is raised."""
    try:
        yield
    except StackError as error:
        tell(str(error))


def remove(folder: StackFolder) -> tuple[str, ...]:
    """End all that is left of a stack without a supervisor, and remove its disks, buckets and files.

    Returns what it has at a server outside that could not be removed, in words.
    """
    kill_leftovers(folder)
    left = Tenancy(folder).end()
    for data in folder.reach.glob("*/data"):
        release_memory(data)
    power.unplug(folder)
    shutil.rmtree(folder.reach, ignore_errors=True)
    shutil.rmtree(folder.path, ignore_errors=True)
    return left


def kill_leftovers(folder: StackFolder) -> None:
    """SIGKILL every process of the stack, also one that is frozen or that another one made.

    A process is one of ours if it carries the stack's marker, works in its data
    directories, or is in the table under the same start time; a pid that somebody
    else has now is none of these.
    """
    table = _table(folder.processes)
    recorded = {who.pid for who in _recorded(table) if who.alive}
    found = stop_tree(recorded | marked_with(str(folder.path)) | working_in(str(folder.reach)))
    ending = [who for pid in found if (who := identify(pid))]
    send(found, _SIGKILL)
    for freezer in _freezers(table):
        send(freezer.members(), _SIGKILL)
        freezer.thaw()
    wait_gone(ending, GONE_SECONDS_MAX)
    for freezer in _freezers(table):
        freezer.remove()


def _table(path: Path) -> dict[str, Any]:
    with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
        table: dict[str, Any] = json.loads(path.read_text())
        return table
    return {}


def _recorded(table: dict[str, Any]) -> list[Identity]:
    return [Identity(one["pid"], one["start"]) for one in table.get("processes", [])]


def _freezers(table: dict[str, Any]) -> list[Freezer]:
    """Return the control groups of the stack's supervisor; none where another process has its pid now."""
    told = table.get("supervisor")
    if not told:
        return []
    now = identify(told["pid"])
    if now is not None and now != Identity(**told):
        return []
    return find_freezers(f"cutover-{told['pid']}-")
