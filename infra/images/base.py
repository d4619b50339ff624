"""The base image for where no image registry can be reached: Debian's own packages, unpacked.

The archive and its components are those of this machine's apt configuration,
so a base is as current as the machine that makes it. The same packages give
the same bytes.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import docker

from infra.images.archive import EPOCH_SECONDS
from infra.images.errors import BuildFailed, NoPackageSource, NoTool

REPOSITORY = "cutover-base"

PACKAGES = (
    "bash",
    "coreutils",
    "findutils",
    "grep",
    "libc-bin",
    "libgcc-s1",
    "libstdc++6",
    "procps",
    "python3",
    "sed",
)
"""What a container needs beside its own code; the packages that these need come with them."""

SUITES = ("", "-updates", "-security")
"""Suites of a distribution that are taken, as they continue its code name."""

COMPONENT = "main"

PYTHON_VERSION = "PYTHON_VERSION"
"""Variable in which an image says which Python it has; the official Python images have it too."""

_HOOK = Path(__file__).with_name("base_hook.sh")

_INSTEAD = "or give an image that has Python 3.11 to 3.13, or apt-get to install it: --base IMAGE"


@dataclass(frozen=True, slots=True)
class Release:
    """Which distribution this machine runs."""

    codename: str
    sources: tuple[str, ...]  #: one-line entries of apt, as in sources.list


def base_tag() -> str:
    """Return the name of the local base: the same as long as what it is made of is."""
    recipe = Path(__file__).read_text() + _HOOK.read_text()
    return f"{REPOSITORY}:{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"


def make_base(client: docker.DockerClient) -> str:
    """Make the local base and give it to the engine; return its tag.

    Raises NoTool, NoPackageSource or BuildFailed.
    """
    tag = base_tag()
    repository, _, version = tag.partition(":")
    with tempfile.TemporaryDirectory(prefix="cutover-base-") as scratch:
        archive = Path(scratch) / "base.tar"
        write_base(archive)
        client.api.import_image_from_file(
            str(archive),
            repository=repository,
            tag=version,
            changes=[f"ENV {PYTHON_VERSION}={_python_in(archive)}", 'LABEL cutover.image="base"'],
        )
    return tag


def write_base(archive: Path) -> None:
    """Write the root file system of the base as a tar."""
    if shutil.which("mmdebstrap") is None:
        raise NoTool(f"mmdebstrap is not installed. Run `apt-get install mmdebstrap` as root, {_INSTEAD}")
    release = this_release()
    argv = [
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        "--format=tar",
        f"--include={','.join(PACKAGES)}",
        f'--extract-hook=sh "{_HOOK}" "$1"',
        *(f"--aptopt={line}" for line in _transport_settings()),
        release.codename,
        str(archive),
        *release.sources,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, env=_environment())
    if done.returncode:
        raise BuildFailed(f"mmdebstrap ended with {done.returncode}: {done.stderr.strip()[-2000:]}")


def _python_in(archive: Path) -> str:
    with tarfile.open(archive) as tar:
        return tar.getmember("./usr/bin/python3").linkname.removeprefix("python")


def this_release() -> Release:
    """Return this machine's distribution and where its packages come from."""
    try:
        codename = _os_release(Path("/etc/os-release").read_text())
        listed = subprocess.run(_LIST_SOURCES, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise NoPackageSource(f"this machine has no apt to ask ({error}); {_INSTEAD}") from error
    sources = tuple(apt_sources(listed.splitlines(), codename))
    if not sources:
        raise NoPackageSource(
            f"apt's configuration names no archive of {codename!r} with component {COMPONENT!r}. "
            f"Add one, {_INSTEAD}"
        )
    return Release(codename, sources)


def apt_sources(listed: Iterable[str], codename: str) -> list[str]:
    """Return the entries for one release among the lines "URI SUITE COMPONENT" that apt lists.

    Others that the machine may have (of a vendor, of another release) are left out.
    """
    suites = {codename + suffix for suffix in SUITES}
    rows = sorted({tuple(line.split()) for line in listed})
    return [
        f"deb {uri} {suite} {component}"
        for uri, suite, component in (row for row in rows if len(row) == 3)
        if suite in suites and component == COMPONENT
    ]


_LISTED = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
_LIST_SOURCES = ("apt-get", "indextargets", "--format", _LISTED, "Created-By: Packages")


def _os_release(text: str) -> str:
    fields = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return fields.get("VERSION_CODENAME", "").strip('"')


def _transport_settings() -> list[str]:
    """Return how this machine's apt reaches its archive (a proxy, for one)."""
    asked = subprocess.run(["apt-config", "dump", "Acquire"], capture_output=True, text=True, check=True)
    wanted = ("Acquire::http::", "Acquire::https::")
    return [line for line in asked.stdout.splitlines() if line.startswith(wanted)]


def _environment() -> dict[str, str]:
    return {**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH_SECONDS), "LC_ALL": "C"}
