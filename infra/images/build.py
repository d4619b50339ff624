"""Builds the image that every container of a stack runs, from this checkout and a base.

    packages.tar   what the hashed lock pins for running: kept between builds
    code.tar       the project's own packages: a change of code makes only this layer anew

The tag is made from what goes in, so an unchanged checkout builds nothing.
"""

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound
from docker.models.images import Image

from infra.embedded.state import StateFolder, own_folder
from infra.images import packages
from infra.images.archive import archive_of, source_files
from infra.images.base import PYTHON_VERSION, base_tag, make_base
from infra.images.compiled import compiled, our_python
from infra.images.errors import BuildFailed
from infra.images.requirements import runtime_requirements

REPOSITORY = "cutover-site"

CODE = ("cutover", "drill", "infra", "sample_platform")
"""The project's packages: also the drills, since a planted bug runs where the part runs."""

CODE_FOLDER = "/opt/cutover/code"
"""Where they lie in the image."""

CODE_SUFFIXES = frozenset({".py", ".sql", ".html", ".typed"})

CHECKOUT = Path(__file__).resolve().parents[2]

MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
"""What the engine calls a machine, and what wheels call it."""

UNUSED_SECONDS_MAX = 14 * 24 * 3600.0
"""After this time without a build that uses them, kept packages are removed (seconds)."""

PYTHONS = ("3.11", "3.12", "3.13")

ANSWER_SECONDS_MAX = 60.0
"""Longest that an image's Python may take to tell its version (seconds); idle it takes half of one."""

LABELS = {"cutover.image": "probe"}
"""Borne by the container that tells a base's Python, in case it outlives us."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that goes into an image beside its base."""

    dockerfile: bytes
    requirements: str
    code: Mapping[str, bytes]  #: by path in the checkout

    def tag(self, base_id: str) -> str:
        """Return the image's name."""
        digest = hashlib.sha256(base_id.encode())
        for part in (self.dockerfile, self.requirements.encode(), archive_of(self.code)):
            digest.update(hashlib.sha256(part).digest())
        return f"{REPOSITORY}:{digest.hexdigest()[:12]}"


def read_inputs(checkout: Path = CHECKOUT) -> Inputs:
    """Read them from a checkout."""
    return Inputs(
        (Path(__file__).with_name("Dockerfile")).read_bytes(),
        runtime_requirements(
            (checkout / "locks/dev.txt").read_text(), (checkout / "pyproject.toml").read_text()
        ),
        source_files(checkout, CODE, CODE_SUFFIXES),
    )


def ensure_image(
    client: docker.DockerClient, *, base: str | None = None, progress: Progress = lambda _: None
) -> str:
    """Return the tag of this checkout's image, built if the engine does not have it.

    `base` names an image to stand on, pulled where the engine lacks it;
    without it the local base is made. Raises ImageError.
    """
    return build_image(client, find_base(client, base, progress), read_inputs(), progress)


def build_image(client: docker.DockerClient, base: Image, inputs: Inputs, progress: Progress) -> str:
    """Return the tag of the image that stands on `base`, built if the engine does not have it."""
    tag = inputs.tag(str(base.id))
    with _building_alone():
        if find_image(client, tag) is None:
            _build_site(client, base, inputs, tag, progress)
    return tag


def find_base(client: docker.DockerClient, base: str | None, progress: Progress) -> Image:
    """Return the image named `base`, pulled if need be, else the local base, made if need be."""
    if found := find_image(client, base or base_tag()):
        return found
    if base is None:
        progress("base: unpacking packages of this machine's distribution")
        return client.images.get(make_base(client))
    progress(f"base: pulling {base}")
    try:
        return client.images.pull(base)
    except APIError as error:
        raise BuildFailed(
            f"the engine has no image {base!r}, and pulling it failed: {error.explanation}"
        ) from error


def find_image(client: docker.DockerClient, tag: str) -> Image | None:
    """Return an image that the engine has, else None."""
    try:
        return client.images.get(tag)
    except ImageNotFound:
        return None


def _build_site(
    client: docker.DockerClient, base: Image, inputs: Inputs, tag: str, progress: Progress
) -> None:
    with tempfile.TemporaryDirectory(prefix="cutover-image-") as scratch:
        context = Path(scratch)
        (context / "Dockerfile").write_bytes(inputs.dockerfile)
        standing_on, python = _with_python(client, base, context, progress)
        architecture = base.attrs["Architecture"]
        write_context(context, inputs, python, MACHINES.get(architecture, architecture), progress)
        progress(f"image: {tag}")
        _build(client, context, standing_on, tag, target="site", network="none")


def write_context(folder: Path, inputs: Inputs, python: str, machine: str, progress: Progress) -> None:
    """Write what the Dockerfile needs into a folder, for any builder: it takes the base as `BASE`.

    `python` ("3.11") and `machine` ("x86_64") are those of the base.
    """
    (folder / "Dockerfile").write_bytes(inputs.dockerfile)
    shutil.copyfile(_packages(inputs.requirements, python, machine, progress), folder / "packages.tar")
    ahead = compiled(inputs.code, CODE_FOLDER, _cache() / "compiled") if python == our_python() else {}
    (folder / "code.tar").write_bytes(archive_of({**inputs.code, **ahead}))


def forget_images(client: docker.DockerClient, keep: str) -> list[str]:
    """Remove the images of other states of the checkout; return their tags. One in use stays."""
    tags = [tag for image in client.images.list(REPOSITORY) for tag in image.tags if tag != keep]
    gone = []
    for tag in tags:
        with contextlib.suppress(APIError):
            client.images.remove(tag)
            gone.append(tag)
    return gone


def _with_python(
    client: docker.DockerClient, base: Image, context: Path, progress: Progress
) -> tuple[str, str]:
    """Return an image with Python, the base itself if it has one, and the version ("3.11")."""
    name = str(base.id)
    version = python_told(base.attrs["Config"]["Env"] or ()) or _python_of(client, name)
    if version is None:
        name = f"{REPOSITORY}-python:{str(base.id).removeprefix('sha256:')[:12]}"
        if find_image(client, name) is None:
            progress("base: it has no Python, installing one with apt-get")
            _build(client, context, str(base.id), name, target="python", network=None)
        version = _python_of(client, name)
    if version not in PYTHONS:
        raise BuildFailed(
            f"the base has Python {version}; one of {', '.join(PYTHONS)} is needed. Give another --base"
        )
    return name, version


def python_told(environment: Iterable[str]) -> str | None:
    """Return the "3.11" of `PYTHON_VERSION=3.11.2` among an image's variables, if it is there."""
    told = dict(line.split("=", 1) for line in environment if "=" in line)
    found = re.match(r"\d+\.\d+", told.get(PYTHON_VERSION, ""))
    return found[0] if found else None


def _python_of(client: docker.DockerClient, image: str) -> str | None:
    """Ask an image's own Python for its version; None when there is none."""
    ask = "import sys; print('%d.%d' % sys.version_info[:2])"
    container = client.containers.create(
        image, ["-c", ask], entrypoint="python3", network_mode="none", labels=LABELS
    )
    try:
        container.start()
        ended = container.wait(timeout=ANSWER_SECONDS_MAX)["StatusCode"]
        return None if ended else b"".join(container.logs(stream=True)).decode().strip()
    except APIError:
        return None
    finally:
        container.remove(force=True)


def _packages(requirements: str, python: str, machine: str, progress: Progress) -> Path:
    """Return the archive of the packages, made once for the same lock, Python and machine."""
    rules = Path(packages.__file__).read_text()
    digest = hashlib.sha256("\0".join((requirements, python, machine, rules)).encode()).hexdigest()[:12]
    kept = _cache() / f"packages-{digest}.tar"
    if not kept.exists():
        progress(f"packages: installing them for Python {python} on {machine}")
        packages.make_packages(requirements, kept, python=python, machine=machine)
    os.utime(kept)
    _forget_unused(kept.parent)
    return kept


def _forget_unused(folder: Path) -> None:
    """Remove archives that no build has used for long."""
    for path in folder.glob("packages-*.tar"):
        if time.time() - path.stat().st_mtime > UNUSED_SECONDS_MAX:
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def _building_alone() -> Iterator[None]:
    """Hold off the other builds of this user: two of one image would leave one of them without a name."""
    with open(_cache() / "building", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _cache() -> Path:
    folder = StateFolder.open().cache / "images"
    own_folder(folder, 0o700)
    return folder


def _build(
    client: docker.DockerClient, context: Path, base: str, tag: str, *, target: str, network: str | None
) -> None:
    with tempfile.TemporaryFile(dir=context) as sent:
        with tarfile.open(fileobj=sent, mode="w") as tar:
            for path in sorted(context.iterdir()):
                tar.add(path, path.name)
        sent.seek(0)
        lines = client.api.build(
            fileobj=sent,
            custom_context=True,
            buildargs={"BASE": base},
            target=target,
            tag=tag,
            network_mode=network,
            rm=True,
            forcerm=True,
            decode=True,
        )
        _watch(lines)


def _watch(lines: Iterable[dict[str, str]]) -> None:
    """Read what the engine says to the end; raise BuildFailed when it stops half-way."""
    said: list[str] = []
    error = None
    for line in lines:
        said.append(line.get("stream", ""))
        error = line.get("error", error)
    if error:
        raise BuildFailed(f"{error}: {''.join(said)[-2000:].strip()}")
