"""The calls that change something: mount, unmount, attach and let go of a loop device, sync, shut down."""

import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

from infra.disks import table
from infra.disks.errors import DiskFailed, DiskHeld

HELD_SECONDS_MAX = 10.0
"""How long processes that were killed may still hold a disk (seconds)."""

LOOK_SECONDS = 0.01  #: between two attempts while something is held

SHUTDOWN = 0x8004587D
"""The request of ext4's shutdown (`_IOR('X', 125, __u32)`)."""

NO_FLUSH = 2
"""Its way in which not even the journal is flushed: only what was synced is on the disk."""

OPTIONS = b"noinit_itable"
"""No thread of the kernel fills the tables of a disk that lives for a minute."""

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_MAKE = ("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1")
_NOSUID, _NODEV, _NOATIME = 2, 4, 1024
_LET_GO = 0x4C01  #: LOOP_CLR_FD

_libc = ctypes.CDLL(None, use_errno=True)


def missing_programs() -> list[str]:
    """Return the programs that a disk needs and that cannot be found."""
    return [program for program in ("losetup", "mkfs.ext4") if not shutil.which(program, path=_PATH)]


def make_file_system(image: Path, label: str) -> None:
    """Make an ext4 file system in `image`. Raises DiskFailed."""
    _run(*_MAKE, "-L", label, str(image))


def attach_loop(image: Path) -> Path:
    """Put a loop device in front of `image` and return it. Raises DiskFailed."""
    return Path(_run("losetup", "--find", "--show", str(image)).strip())


def _run(*argv: str) -> str:
    environment = {"PATH": _PATH, "LC_ALL": "C"}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise DiskFailed(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def mount(device: Path, point: Path) -> None:
    """Mount an ext4 disk; its journal is replayed. Raises DiskFailed."""
    flags = _NOSUID | _NODEV | _NOATIME
    if _libc.mount(os.fsencode(device), os.fsencode(point), b"ext4", ctypes.c_ulong(flags), OPTIONS):
        reason = os.strerror(ctypes.get_errno())
        raise DiskFailed(f"{device} cannot be mounted at {point}: {reason}; `dmesg` may say more")


def unmount(point: Path, deadline: float) -> None:
    """Unmount what is on top at `point`, waiting until `deadline` (monotonic) for those who hold it.

    Raises DiskHeld after that: never lazily, for a disk that somebody holds would
    come back without its power.
    """
    while _libc.umount2(os.fsencode(point), 0):
        number = ctypes.get_errno()
        if number != errno.EBUSY:
            raise DiskFailed(f"{point} cannot be unmounted: {os.strerror(number)}")
        if time.monotonic() > deadline:
            raise DiskHeld(
                f"{point} is in use after {HELD_SECONDS_MAX:.0f} s; `fuser -vm {point}` says by whom"
            )
        time.sleep(LOOK_SECONDS)


def let_go(loop: table.Loop, deadline: float) -> None:
    """Detach a loop device, and wait until the kernel has done so. Raises DiskHeld."""
    while loop in table.loops():
        try:
            _ask_to_let_go(loop.path)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            if error.errno != errno.EBUSY:
                raise DiskFailed(f"{loop.path} cannot be detached: {error.strerror}") from error
        if time.monotonic() > deadline:
            raise DiskHeld(f"{loop.path} is in use after {HELD_SECONDS_MAX:.0f} s; `losetup -l` lists it")
        time.sleep(LOOK_SECONDS)


def _ask_to_let_go(device: Path) -> None:
    descriptor = os.open(device, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.ioctl(descriptor, _LET_GO)
    finally:
        os.close(descriptor)


def sync(descriptor: int) -> None:
    """Put everything that was written to the file system of `descriptor` onto its disk."""
    if _libc.syncfs(descriptor):
        raise DiskFailed(f"the disk cannot be synced: {os.strerror(ctypes.get_errno())}")


def shut_down(descriptor: int) -> None:
    """End the file system of `descriptor` without a flush. Whoever calls this has looked at what it is."""
    fcntl.ioctl(descriptor, SHUTDOWN, struct.pack("I", NO_FLUSH))
