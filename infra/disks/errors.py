"""Everything the disks raise.

DiskError
├── NoPowerCut       this machine, or this user, cannot cut the power of a disk
├── NotOurDisk       a guard said no: the path is not a mounted disk of ours; nothing was touched
├── DiskHeld         somebody kept the disk in use for longer than we wait
└── DiskFailed       the kernel or a program refused what a disk needs
"""


class DiskError(Exception):
    """Something a disk was asked for did not happen; the message says what and why."""


class NoPowerCut(DiskError):
    """This machine, or this user, cannot cut the power of a disk."""


class NotOurDisk(DiskError):
    """A guard said no: the path is not a mounted disk of ours; nothing was touched."""


class DiskHeld(DiskError):
    """Somebody kept the disk in use for longer than we wait."""


class DiskFailed(DiskError):
    """The kernel or a program refused what a disk needs."""
