"""Processes as /proc shows them: who they are, whose children, and whether they still live.

A process is recognised by (pid, start time), since a pid alone is used again;
and by a marker in its environment, which every process of a stack carries.
"""

import ctypes
import os
import select
import signal
from collections.abc import Iterable
from dataclasses import dataclass

MARKER = "CUTOVER_STACK"
"""Environment variable that names the stack's folder in each of its processes."""

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Identity:
    """One process for as long as it lives; the same pid with another start is somebody else."""

    pid: int
    start: int  #: clock ticks since boot

    @property
    def alive(self) -> bool:
        """Say whether this very process is there and is no zombie."""
        seen = _read_stat(self.pid)
        return seen is not None and seen.start == self.start and not seen.ended


@dataclass(frozen=True, slots=True)
class _Stat:
    parent: int
    start: int
    state: str
    threads: int

    @property
    def ended(self) -> bool:
        """Say whether all of it has: a process whose first thread alone has ended looks like a zombie."""
        return self.state in "ZX" and self.threads <= 1


def identify(pid: int) -> Identity | None:
    """Return who has this pid now, or None: nobody, or somebody whom we may not see."""
    seen = _read_stat(pid)
    return Identity(pid, seen.start) if seen else None


def is_unused(pid: int) -> bool:
    """Say whether nobody has this pid. Where /proc hides the processes of other users this still tells."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:
        return False
    return False


def _read_stat(pid: int) -> _Stat | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            text = file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):  # gone, or hidden from us
        return None
    fields = text[text.rindex(b")") + 2 :].split()
    return _Stat(
        parent=int(fields[1]), start=int(fields[19]), state=fields[0].decode(), threads=int(fields[17])
    )


def all_pids() -> list[int]:
    """Return every pid of the machine that we may see."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def tree_of(roots: Iterable[int]) -> set[int]:
    """Return `roots` and all their descendants, zombies left out."""
    stats = {pid: stat for pid in all_pids() if (stat := _read_stat(pid)) and not stat.ended}
    children: dict[int, list[int]] = {}
    for pid, stat in stats.items():
        children.setdefault(stat.parent, []).append(pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in stats]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, ()))
    return found


def marked_with(folder: str) -> set[int]:
    """Return the pids whose environment carries the marker of this stack folder."""
    wanted = f"{MARKER}={folder}".encode()
    return {pid for pid in all_pids() if wanted in _environment(pid)}


def working_in(folder: str) -> set[int]:
    """Return the pids whose working directory is in `folder`, also when it was deleted.

    PostgreSQL writes its status lines over its environment, so that the children
    of a server carry no marker; but all of them work in the data directory.
    """
    return {pid for pid in all_pids() if _working_directory(pid).startswith(f"{folder}/")}


def _working_directory(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:  # gone meanwhile, or not ours
        return ""


def _environment(pid: int) -> list[bytes]:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return file.read().split(b"\0")
    except OSError:  # gone meanwhile, or not ours
        return []


def send(pids: Iterable[int], signal_number: int) -> None:
    """Signal each pid; one that is already gone is no error."""
    for pid in pids:
        try:
            os.kill(pid, signal_number)
        except ProcessLookupError:
            continue


def stop_tree(roots: Iterable[int]) -> set[int]:
    """SIGSTOP `roots` and their descendants until no new one turns up; return them all."""
    known = set(roots)
    stopped: set[int] = set()
    while new := tree_of(known) - stopped:
        send(new, signal.SIGSTOP)
        stopped |= new
        known |= new
    return stopped


def wait_gone(identities: Iterable[Identity], seconds: float) -> list[Identity]:
    """Wait until these processes have ended; return the ones that have not after `seconds`.

    A process handle becomes readable at the very moment of death, also for a
    process that is not our child.
    """
    return [who for who in identities if not _gone_within(who, seconds)]


def _gone_within(who: Identity, seconds: float) -> bool:
    try:
        handle = os.pidfd_open(who.pid)
    except ProcessLookupError:
        return True
    try:
        if not who.alive:
            return True
        return bool(select.select([handle], [], [], seconds)[0])
    finally:
        os.close(handle)


def die_with_parent(parent: int, signal_number: int) -> None:
    """Ask the kernel for a signal when the parent dies; end now if it has died already.

    Call it after any change of user: the kernel forgets it at such a change.
    """
    _libc.prctl(_PR_SET_PDEATHSIG, signal_number, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(70)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, so that none escapes."""
    _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def set_name(name: str) -> None:
    """Set what `ps` and `top` show (15 bytes at most)."""
    _libc.prctl(_PR_SET_NAME, name.encode()[:15], 0, 0, 0)
