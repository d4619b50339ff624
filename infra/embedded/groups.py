"""A site as one failure domain: all its processes, also the ones they made, die at once.

Every PostgreSQL child leads a process group of its own, so a group signal
misses them. Where root can use the cgroup freezer the kernel keeps the list of
members; elsewhere SIGSTOP and a walk through the process tree do it.
"""

import contextlib
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.processes import identify, send, stop_tree, tree_of, wait_gone

FREEZE_SECONDS_MAX = 0.05
"""Longest wait for a frozen group (seconds): half of what a site's death may be spread over."""

DEATH_SECONDS_MAX = 10.0
"""Longest wait for killed processes to be gone (seconds); one in a disk write ends after it."""

_V1 = Path("/sys/fs/cgroup/freezer")
_V2 = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified"))


@dataclass(frozen=True, slots=True)
class Death:
    """How a group of processes died."""

    processes: int
    skew_seconds: float  #: between the first signal and the last death
    way: str  #: how they were held together: freezer-v1, freezer-v2 or stop


class Group:
    """The processes of one place; members are found again through their ancestors."""

    def __init__(self, name: str, freezer: "Freezer | None") -> None:
        self.name = name
        self.freezer = freezer

    def kill(self, roots: set[int]) -> Death:
        """Freeze the group, SIGKILL every member, and wait until the last is gone."""
        frozen = self._hold(roots)
        members = [who for pid in frozen if (who := identify(pid))]
        begun = time.monotonic()
        send(frozen, signal.SIGKILL)
        if self.freezer:
            self.freezer.thaw()
        wait_gone(members, DEATH_SECONDS_MAX)
        way = self.freezer.way if self.freezer else "stop"
        return Death(len(members), time.monotonic() - begun, way)

    def _hold(self, roots: set[int]) -> set[int]:
        if self.freezer is None:
            return stop_tree(roots)
        if self.freezer.freeze():
            return self.freezer.members() | tree_of(roots)
        return stop_tree(roots | self.freezer.members())

    def pause(self, roots: set[int]) -> int:
        """SIGSTOP every member; return how many.

        Not the freezer: SIGKILL does not reach a process that is frozen in a
        v1 cgroup, so a paused site would outlive a supervisor that is killed.
        """
        return len(stop_tree(roots))

    def resume(self, roots: set[int]) -> int:
        """SIGCONT every member; return how many."""
        members = tree_of(roots)
        send(members, signal.SIGCONT)
        return len(members)


class Freezer:
    """One cgroup that can be frozen (v1 or v2)."""

    def __init__(self, folder: Path, *, v2: bool) -> None:
        self.folder = folder
        self.way = "freezer-v2" if v2 else "freezer-v1"
        self._control = folder / ("cgroup.freeze" if v2 else "freezer.state")
        self._words = ("1", "0") if v2 else ("FROZEN", "THAWED")
        self._done = (folder / "cgroup.events", "frozen 1") if v2 else (self._control, "FROZEN")

    def join(self) -> None:
        """Put the calling process into the group; its children follow by themselves."""
        (self.folder / "cgroup.procs").write_text(str(os.getpid()))

    def members(self) -> set[int]:
        """Return every pid in the group."""
        return {int(line) for line in (self.folder / "cgroup.procs").read_text().split()}

    def freeze(self) -> bool:
        """Freeze all members; False when it took too long (one is in a disk write)."""
        self._control.write_text(self._words[0])
        path, sign = self._done
        deadline = time.monotonic() + FREEZE_SECONDS_MAX
        while time.monotonic() < deadline:
            if sign in path.read_text():
                return True
        return False

    def thaw(self) -> None:
        """Let all members run, or die of a signal that waits for them."""
        self._control.write_text(self._words[1])

    def remove(self) -> None:
        """Remove the cgroup; one that still has members stays."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def make_freezer(name: str) -> Freezer | None:
    """Make a freezer cgroup of this name, or return None where there is no right or no cgroup."""
    if os.geteuid() != 0:
        return None
    for folder, v2 in _candidates(name):
        with contextlib.suppress(OSError):
            folder.mkdir(exist_ok=True)
            freezer = Freezer(folder, v2=v2)
            freezer.thaw()
            return freezer
    return None


def find_freezers(prefix: str) -> list[Freezer]:
    """Return the cgroups whose name starts with `prefix`: leftovers of a killed run."""
    return [
        Freezer(found, v2=v2)
        for folder, v2 in _candidates(prefix)
        for found in folder.parent.glob(f"{folder.name}*")
        if found.is_dir()
    ]


def _candidates(name: str) -> list[tuple[Path, bool]]:
    v1 = [(_V1 / name, False)] if (_V1 / "cgroup.procs").exists() else []
    v2 = [(root / name, True) for root in _V2 if (root / "cgroup.controllers").exists()]
    return v1 + v2
