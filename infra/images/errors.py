"""Everything that building an image raises.

ImageError
├── NoTool               a program that the local base needs is not installed
├── NoPackageSource      apt's configuration names no archive of this distribution
├── WrongLock            the lock lacks something that the image needs
└── BuildFailed          a program or the engine stopped half-way
"""


class ImageError(Exception):
    """An image could not be made; the message says why, and what to do."""


class NoTool(ImageError):
    """A program that the local base needs is not installed."""


class NoPackageSource(ImageError):
    """apt's configuration names no archive of this distribution."""


class WrongLock(ImageError):
    """The lock lacks something that the image needs."""


class BuildFailed(ImageError):
    """A program or the engine stopped half-way; the message ends with what it said last."""
