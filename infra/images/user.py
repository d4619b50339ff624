"""From root, as which a container starts, to the user that it serves as."""

import ctypes
import os
import shutil
from pathlib import Path

from infra.images.places import DATA, RUNNING, UID, UPLOADED

_PR_SET_NO_NEW_PRIVILEGES = 38


def prepare_folders() -> None:
    """Empty the running folder, copy into it what was uploaded, and see that both folders are the user's."""
    RUNNING.mkdir(parents=True, exist_ok=True)
    for left in RUNNING.iterdir():
        shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()
    _give(RUNNING, 0o711)
    if UPLOADED.is_dir():
        copy_private(UPLOADED, RUNNING)
    if os.geteuid() == 0 and DATA.is_dir() and DATA.stat().st_uid != UID:
        _give(DATA, 0o700)


def copy_private(source: Path, target: Path) -> None:
    """Copy the files below `source`, each readable by the serving user only, from its first byte on."""
    for path in sorted(source.iterdir()):
        copy = target / path.name
        if path.is_dir():
            copy.mkdir()
            _give(copy, 0o700)
            copy_private(path, copy)
        else:
            with open(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(path.read_bytes())
            _give(copy, 0o600)


def become_user() -> None:
    """Stop being root for good; without effect where we are somebody else already.

    The capabilities go with the user id, and no program that we run brings any back.
    """
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(UID, UID, UID)
        os.setresuid(UID, UID, UID)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)


def _give(path: Path, mode: int) -> None:
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, UID, UID)
