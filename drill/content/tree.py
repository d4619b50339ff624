"""What lies in a folder: files by their relative path, and whatever cannot be moved."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FILE_BYTES_MAX = 5 * 1024**3
"""Largest file (bytes): the sample platform stores one in a single put, and S3 takes no more in one."""

_SPECIAL = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


@dataclass(slots=True)
class Tree:
    """Paths are relative, with `/`; bytes that are not UTF-8 stand as lone surrogates (PEP 383)."""

    files: dict[str, int] = field(default_factory=dict)  #: size in bytes
    folders: dict[str, None] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)  #: why it cannot be moved, a sentence


def tree_of(folder: Path) -> Tree:
    """List a folder to its leaves, in the order of the names' bytes. Raises OSError for `folder` itself."""
    tree = Tree()
    below = [""]
    while below:
        inside = below.pop()
        try:
            entries = _entries(folder, inside)
        except OSError as error:
            if not inside:
                raise
            tree.refused[inside] = f"{inside!r} cannot be listed: {error.strerror}. Make it readable."
            continue
        below += reversed([path for path, entry in entries if _take(tree, path, entry)])
    return tree


def _entries(folder: Path, inside: str) -> list[tuple[str, os.DirEntry[str]]]:
    with os.scandir(folder / inside) as listing:
        found = [(f"{inside}/{entry.name}" if inside else entry.name, entry) for entry in listing]
    return sorted(found, key=lambda one: os.fsencode(one[0]))


def _take(tree: Tree, path: str, entry: os.DirEntry[str]) -> bool:
    """Note what an entry is; True for a folder to go into."""
    if entry.is_symlink():
        tree.refused[path] = (
            f"{path!r} is a symbolic link to {os.readlink(entry.path)!r}: links are not followed, they may "
            f"lead outside. Put there what it names, or remove it."
        )
    elif entry.is_dir(follow_symlinks=False):
        tree.folders[path] = None
        return True
    elif entry.is_file(follow_symlinks=False):
        _take_file(tree, path, entry.path)
    else:
        tree.refused[path] = _special(path, entry)
    return False


def _take_file(tree: Tree, path: str, where: str) -> None:
    """Open it once, so that a file which cannot be read is found before anything is changed."""
    try:
        opened = os.open(where, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        tree.refused[path] = f"{path!r} cannot be read: {error.strerror}. Make it readable, or remove it."
        return
    try:
        size = os.fstat(opened).st_size
    finally:
        os.close(opened)
    if size > FILE_BYTES_MAX:
        tree.refused[path] = (
            f"{path!r} has {size} bytes, but the sample platform takes at most {FILE_BYTES_MAX} in one file. "
            f"Split it, or remove it."
        )
        return
    tree.files[path] = size


def _special(path: str, entry: os.DirEntry[str]) -> str:
    kind = _SPECIAL.get(stat.S_IFMT(entry.stat(follow_symlinks=False).st_mode), "neither file nor folder")
    return f"{path!r} is {kind}: only files can be moved. Remove it."


def folders_above(path: str) -> Iterator[str]:
    """The folders that a path lies in, the outermost first."""
    parts = path.split("/")
    for depth in range(1, len(parts)):
        yield "/".join(parts[:depth])
