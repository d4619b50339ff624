"""Keys that name no object, or another one at a store that keeps them as a file system keeps paths."""

from cutover.errors import ObjectRefused
from cutover.model.outputs import PATHS

NAME_BYTES_MAX = 255
"""Longest name between two slashes (bytes): what Linux file systems take."""


def is_plain_path(key: str) -> bool:
    """Whether a file system would keep this key as it is, apart from every other one."""
    return all(
        name not in ("", ".", "..") and len(name.encode()) <= NAME_BYTES_MAX for name in key.split("/")
    )


def check_key(keys: str, key: str, *, what: str) -> None:
    """Raise ObjectRefused for a key that the store would take for something else, or not at all."""
    if not key:  # its address is that of the bucket: reading it gives a listing, writing it makes a bucket
        raise ObjectRefused(f"{what}: an empty key names no object. Nothing was changed")
    if keys == PATHS and not is_plain_path(key):
        raise ObjectRefused(
            f"{what}: the store keeps keys as paths, and this is no plain path (an empty name, `.` or `..` "
            f"between two slashes, or one over {NAME_BYTES_MAX} bytes), so it could be taken for another "
            f"object. Nothing was changed. Give it another key, or use a store that keeps any key"
        )
