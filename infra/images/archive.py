"""Archives with the same bytes for the same content: sorted, one owner, one time, two modes."""

import io
import os
import stat
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path

EPOCH_SECONDS = 1_700_000_000
"""Time that every file of an image bears (seconds since 1970): any fixed moment would do."""


def write_archive(target: Path, folder: Path) -> None:
    """Write everything below `folder` into an uncompressed tar, in one rename."""
    scratch = target.with_name(f".{target.name}.{os.getpid()}")
    with tarfile.open(scratch, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            _add(tar, path, str(path.relative_to(folder)))
    scratch.replace(target)


def archive_of(files: Mapping[str, bytes]) -> bytes:
    """Return a tar of files given by name; their folders are made by whoever unpacks it."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in sorted(files.items()):
            header = _header(name)
            header.size = len(content)
            tar.addfile(header, io.BytesIO(content))
    return written.getvalue()


def source_files(checkout: Path, folders: Iterable[str], suffixes: frozenset[str]) -> dict[str, bytes]:
    """Return the files with one of the `suffixes` below the `folders`, by path in the checkout.

    Suffixes are named, not excluded: what nobody thought of (a key, a settings file) stays outside.
    """
    found = (path for folder in folders for path in (checkout / folder).rglob("*"))
    return {
        path.relative_to(checkout).as_posix(): path.read_bytes()
        for path in found
        if path.suffix in suffixes and path.is_file()
    }


def _add(tar: tarfile.TarFile, path: Path, name: str) -> None:
    header = _header(name)
    seen = path.lstat()
    if stat.S_ISLNK(seen.st_mode):
        header.type, header.linkname = tarfile.SYMTYPE, os.readlink(path)
        tar.addfile(header)
    elif stat.S_ISDIR(seen.st_mode):
        header.type, header.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(header)
    else:
        header.mode, header.size = (0o755 if seen.st_mode & stat.S_IXUSR else 0o644), seen.st_size
        with open(path, "rb") as content:
            tar.addfile(header, content)


def _header(name: str) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.mtime, header.mode = EPOCH_SECONDS, 0o644
    return header
