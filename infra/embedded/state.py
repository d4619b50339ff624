"""Where a stack keeps its files, and who may read them.

    STATE/                      $CUTOVER_STATE, else a folder a user under /var/tmp
      stacks/NAME/
        stack.json              ports, services, run: enough to attach
        processes.json          who runs, as (pid, start time)
        lock                    held by the supervisor while it lives
        outputs.json outputs/   the contract, published and one a viewer
        credentials/            0600 files in a 0700 folder
        s3/ logs/
    REACH/                      STATE itself, unless the server's user cannot get there
      cache/                    server binaries and prepared data directories
      s/NAME/                   sockets, and the data directories of the servers

PostgreSQL does not run as root, so as root its files belong to another user,
who must be able to walk to them; and a socket's path must stay short. Where
STATE is deep or private, REACH is a folder of its own under /var/tmp.
"""

import fcntl
import hashlib
import json
import os
import pwd
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from infra.embedded.errors import StackInUse, UnsafeFolder

SERVER_USER = "nobody"
"""Existing ordinary user that PostgreSQL runs as when we are root: we make no users."""

SOCKET_PATH_BYTES_MAX = 106
"""Longest path of a unix socket (bytes); the kernel's field holds 107 and a final zero."""

_REACH_BYTES_MAX = 50  #: leaves room for /s/NAME/PLACE/.s.PGSQL.PORT.lock


@dataclass(frozen=True, slots=True)
class ServerUser:
    """Who the database servers run as: another user when we are root, else ourselves."""

    uid: int
    gid: int
    name: str

    @property
    def is_other(self) -> bool:
        """Say whether files must be handed over to this user."""
        return self.uid != os.geteuid()

    @property
    def spawn(self) -> dict[str, object]:
        """Return the keyword arguments that make `subprocess` start a program as this user."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []} if self.is_other else {}


def server_user() -> ServerUser:
    """Return who runs PostgreSQL here."""
    entry = pwd.getpwnam(SERVER_USER) if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    return ServerUser(entry.pw_uid, entry.pw_gid, entry.pw_name)


@dataclass(frozen=True, slots=True)
class StateFolder:
    """All stacks of one user."""

    root: Path
    reach: Path

    @classmethod
    def open(cls) -> "StateFolder":
        """Make or find the state folder; raise UnsafeFolder if somebody else owns it."""
        given = os.environ.get("CUTOVER_STATE")
        root = Path(given).absolute() if given else Path(f"/var/tmp/cutover-{os.geteuid()}")
        own_folder(root, 0o711)
        reach = root if _reachable(root) else _short_folder(root)
        own_folder(reach, 0o711)
        for folder in (root / "stacks", reach / "cache", reach / "s"):
            own_folder(folder, 0o711)
        return cls(root, reach)

    def stack(self, name: str) -> "StackFolder":
        """Return the folders of one stack; they need not exist."""
        return StackFolder(name, self.root / "stacks" / name, self.reach / "s" / name)

    def stacks(self) -> list["StackFolder"]:
        """Return every stack that has a folder, in use or left over."""
        return [self.stack(path.name) for path in sorted((self.root / "stacks").iterdir()) if path.is_dir()]

    @contextmanager
    def allocating(self) -> Iterator[None]:
        """Hold off every other process that makes, lists or reaps stacks."""
        with open(self.root / "allocating", "a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @property
    def cache(self) -> Path:
        """Return the folder of what is made once and used by many stacks."""
        return self.reach / "cache"


@dataclass(frozen=True, slots=True)
class StackFolder:
    """The files of one stack."""

    name: str
    path: Path
    reach: Path

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def processes(self) -> Path:
        return self.path / "processes.json"

    @property
    def description(self) -> Path:
        return self.path / "stack.json"

    @property
    def kind(self) -> str:
        """Return what the stack is made of, as it is described: processes of this machine, or containers."""
        try:
            return str(json.loads(self.description.read_text()).get("kind", "processes"))
        except (FileNotFoundError, json.JSONDecodeError):
            return "processes"

    @property
    def credentials(self) -> Path:
        return self.path / "credentials"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    def outputs(self, viewer: str) -> Path:
        """Return the outputs file of one viewer."""
        return self.path / "outputs" / f"{viewer}.json"

    def socket(self, name: str) -> Path:
        """Return where a control socket of this stack lies."""
        return self.reach / f"{name}.sock"

    def server(self, place: str) -> Path:
        """Return the folder that belongs to the server's user at `place`."""
        return self.reach / place

    def log(self, process: str) -> Path:
        """Return the log file of one process."""
        return self.logs / (process.replace("/", "-") + ".log")

    def make(self) -> None:
        """Make the folders, each with the mode that it needs."""
        for folder in (self.path, self.reach):
            own_folder(folder, 0o711)
        for folder in (self.credentials, self.logs, self.path / "outputs", self.path / "s3"):
            own_folder(folder, 0o700)


def own_folder(path: Path, mode: int) -> None:
    """Make `path` with `mode`; refuse one that is a link or that somebody else owns.

    The mode of a folder that is there already is its owner's business.
    """
    if not path.exists():
        path.mkdir(parents=True)
        path.chmod(mode)
    seen = path.lstat()
    if not stat.S_ISDIR(seen.st_mode) or seen.st_uid != os.geteuid():
        raise UnsafeFolder(
            f"{path} is a link or belongs to user {seen.st_uid}; set CUTOVER_STATE to a folder of yours"
        )


def write_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Replace `path` in one step; nobody ever sees half of it, or sees it with a wider mode."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        file.write(text)
    scratch.replace(path)


def write_json(path: Path, document: Mapping[str, object]) -> None:
    """Replace `path` by this document, mode 0600."""
    write_file(path, json.dumps(document, indent=1))


def take_lock(path: Path) -> int:
    """Lock `path` for as long as the returned descriptor is open; raise StackInUse if it is taken."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StackInUse(f"another process holds {path}; the stack is up, or just being started") from None
    return descriptor


def is_locked(path: Path) -> bool:
    """Say whether a living supervisor holds this lock; ask while `allocating`."""
    try:
        os.close(take_lock(path))
    except StackInUse:
        return True
    except FileNotFoundError:
        return False
    return False


def can_traverse(path: Path) -> bool:
    """Say whether any user can walk to `path`."""
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _reachable(root: Path) -> bool:
    walkable = os.geteuid() != 0 or can_traverse(root)
    return walkable and len(os.fsencode(root)) <= _REACH_BYTES_MAX


def _short_folder(root: Path) -> Path:
    digest = hashlib.sha256(os.fsencode(root)).hexdigest()[:8]
    return Path(f"/var/tmp/cutover-{os.geteuid()}-{digest}")
