"""Filling the disk of a site, and making room on it again.

A site's data lies on a file system of its own; nothing else may ever be filled.
"""

import errno
import os
from pathlib import Path

from infra.embedded.errors import StackError

FILE = ".cutover-full"
"""Name of the file that fills a disk, at the top of the folder that was given."""

FREE_BYTES_MAX = 8 << 30
"""Most free bytes of a disk that is filled: a site's own is far smaller, so a larger one is a mistake."""

_BLOCKS = (1 << 28, 1 << 20, 4096)  #: coarse first, then to the last byte


class NotFilled(StackError):
    """A disk was not filled, since it is not a site's own; the message says which and why."""


def fill(folder: Path, *, leave: int = 0) -> int:
    """Fill the file system under `folder` up to `leave` free bytes; return how many bytes it took.

    The space is allotted and not written, which takes no time. Root also fills what is
    set aside for root. Raises NotFilled on the file system of the
    machine itself, and on one with more than FREE_BYTES_MAX free.
    """
    _check(folder)
    with open(folder / FILE, "ab", buffering=0) as file:
        taken = file.tell()
        begun = taken
        for block in _BLOCKS:
            while _free(folder) - leave >= block and _allot(file.fileno(), taken, block):
                taken += block
        os.fsync(file.fileno())
    return taken - begun


def free(folder: Path) -> bool:
    """Remove what `fill` wrote; return whether there was anything."""
    try:
        (folder / FILE).unlink()
    except FileNotFoundError:
        return False
    return True


def _check(folder: Path) -> None:
    if os.stat(folder).st_dev == os.stat("/").st_dev:
        raise NotFilled(f"{folder} is on the file system of this machine, not on a disk of its own")
    if not os.path.ismount(folder):
        raise NotFilled(f"no disk is mounted at {folder}: what would be filled is not the site's own")
    if (room := _free(folder)) > FREE_BYTES_MAX:
        raise NotFilled(f"{folder} has {room >> 30} GiB free: too much for a site's own disk")


def _free(folder: Path) -> int:
    seen = os.statvfs(folder)
    return seen.f_frsize * (seen.f_bfree if os.geteuid() == 0 else seen.f_bavail)


def _allot(descriptor: int, offset: int, size: int) -> bool:
    """Take `size` bytes at `offset` of a file; False when they do not fit."""
    try:
        os.posix_fallocate(descriptor, offset, size)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return False
    return True
