"""One PostgreSQL server of a site: its data directory, its settings, how it is started.

`initdb` takes most of a second, so it runs once a version; each server gets a
copy of the prepared directory, and an identity of its own: two servers with
one system identifier would take each other's log positions for their own.
"""

import asyncio
import contextlib
import ctypes
import os
import pwd
import secrets
import shutil
import struct
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from infra.embedded.binaries import Binaries
from infra.embedded.errors import ProcessFailed
from infra.embedded.ports import HOST
from infra.embedded.state import ServerUser

READY_SECONDS_MAX = 30.0
"""Longest wait for a server to take queries (seconds): recovery after a kill is part of it."""

LOOK_SECONDS = 0.01  #: between two attempts while a server starts

SETTINGS = """
# What a drill must be able to rely on: an acknowledged commit is on the disk.
fsync = on
full_page_writes = on
synchronous_commit = on
# What the engine needs.
wal_level = logical
max_replication_slots = 20
max_wal_senders = 20
max_prepared_transactions = 5
max_slot_wal_keep_size = '2GB'
wal_sender_timeout = 10s
password_encryption = scram-sha-256
# A peer that is gone must be noticed soon.
tcp_keepalives_idle = 5
tcp_keepalives_interval = 2
tcp_keepalives_count = 3
# Small, because several servers share one machine.
max_connections = 100
shared_buffers = 64MB
# Files instead of shared memory of the system: nothing stays behind when a site is killed.
dynamic_shared_memory_type = mmap
log_line_prefix = '%m [%p] %q%u@%d '
"""

INITDB = ("-U", "postgres", "-E", "UTF8", "--no-locale", "--no-sync", "--auth=reject", "--no-instructions")
"""How a data directory begins; nothing of it is synced yet."""

LOCAL_ACCESS = """
local all         postgres  peer map=stack
local all         all       scram-sha-256
"""


def host_access(networks: Iterable[str]) -> str:
    """Return `pg_hba.conf`: ourselves over the socket, and by password who comes from these networks."""
    lines = (f"host all,replication all {network} scram-sha-256\n" for network in networks)
    return LOCAL_ACCESS + "".join(lines)


def ident_map() -> str:
    """Return `pg_ident.conf`: who we are to the system is the superuser to the server."""
    return f"stack {pwd.getpwuid(os.geteuid()).pw_name} postgres\n"


@dataclass(frozen=True, slots=True)
class Server:
    """Where one server lives; it may be up or down."""

    folder: Path  #: belongs to the server's user
    port: int
    binaries: Binaries
    user: ServerUser
    settings: Mapping[str, object] = field(default_factory=dict)  #: stronger than those of its file
    listen: str = HOST  #: as in `listen_addresses`
    data_at: Path | None = None  #: None: in the folder

    @property
    def data(self) -> Path:
        return self.data_at or self.folder / "data"

    @property
    def argv(self) -> list[str]:
        """Return the command that *is* the server, with no manager around it."""
        options = [f"port={self.port}", f"listen_addresses={self.listen}"]
        options += [f"unix_socket_directories={self.folder}"]
        options += [f"{name}={value}" for name, value in self.settings.items()]
        flags = [word for option in options for word in ("-c", option)]
        return [self.binaries.program("postgres"), "-D", str(self.data), *flags]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "HOME": str(self.folder),
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C",
            "TZ": "UTC",
        }

    def conninfo(self, database: str = "postgres") -> str:
        """Return how the stack itself connects: over the socket, as superuser, known by its system user."""
        return psycopg.conninfo.make_conninfo(
            host=str(self.folder), port=self.port, dbname=database, user="postgres", connect_timeout=5
        )

    async def connect(self, database: str = "postgres") -> psycopg.AsyncConnection:
        """Connect as superuser, each statement its own transaction."""
        return await psycopg.AsyncConnection.connect(self.conninfo(database), autocommit=True)

    async def wait_ready(self) -> None:
        """Return when the server takes a query; raise ProcessFailed when it does not in time."""
        deadline = time.monotonic() + READY_SECONDS_MAX
        while True:
            try:
                async with await self.connect() as connection:
                    await connection.execute("SELECT 1")
                return
            except psycopg.OperationalError as error:
                if time.monotonic() > deadline:
                    raise ProcessFailed(f"PostgreSQL at {self.folder} takes no query: {error}") from error
            await asyncio.sleep(LOOK_SECONDS)

    def prepare(self, cache: Path) -> None:
        """Make the data directory from the prepared one, with an identity of its own."""
        template = prepared(self.binaries, cache, self.user)
        self.folder.mkdir(mode=0o700, exist_ok=True)  # a disk of the site's own may be mounted there
        if self.user.is_other:
            os.chown(self.folder, self.user.uid, self.user.gid)
        self._run("cp", "-a", "--reflink=auto", str(template), str(self.data))
        give_identity(self.data / "global" / "pg_control")
        self._run(self.binaries.program("pg_resetwal"), "-D", str(self.data))

    def wipe(self, cache: Path) -> None:
        """Throw the data away and start from the prepared directory; the server must be down."""
        self.release_memory()
        shutil.rmtree(self.folder, ignore_errors=True)
        self.prepare(cache)

    def release_memory(self) -> None:
        """Remove the shared memory of a server that was killed and will not start again."""
        release_memory(self.data)

    def _run(self, *argv: str) -> None:
        run_as(self.user, *argv)


def run_as(user: ServerUser, *argv: str) -> None:
    """Run a program as the server's user; raise ProcessFailed with what it printed."""
    done = subprocess.run(
        argv,
        capture_output=True,
        text=True,
        cwd="/",
        env={"HOME": "/", "PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
        umask=0o077,
        user=user.uid if user.is_other else None,
        group=user.gid if user.is_other else None,
        extra_groups=[] if user.is_other else None,
    )
    if done.returncode:
        raise ProcessFailed(f"{' '.join(argv)} ended with {done.returncode}: {done.stderr.strip()}")


def prepared(binaries: Binaries, cache: Path, user: ServerUser) -> Path:
    """Return the prepared data directory of this version, made at its first use."""
    home = cache / f"data-{binaries.version}-{user.uid}"
    if (home / "data").exists():
        return home / "data"
    scratch = Path(tempfile.mkdtemp(prefix=f".{home.name}.", dir=cache))
    if user.is_other:
        os.chown(scratch, user.uid, user.gid)
    run_as(user, binaries.program("initdb"), "-D", str(scratch / "data"), *INITDB)
    _configure(scratch / "data")
    try:
        scratch.rename(home)
    except OSError:  # another start was faster
        shutil.rmtree(scratch)
    return home / "data"


def _configure(data: Path) -> None:
    with open(data / "postgresql.conf", "a") as file:
        file.write(SETTINGS)
    (data / "pg_hba.conf").write_text(host_access([f"{HOST}/32"]))
    (data / "pg_ident.conf").write_text(ident_map())


def give_identity(control_file: Path) -> None:
    """Give a data directory that was copied a system identifier of its own.

    The identifier is the first field of `pg_control`, and a CRC-32C over the
    fields follows them. The log still carries the old one until `pg_resetwal`
    writes it anew, as `pg_createsubscriber` does it.
    """
    content = bytearray(control_file.read_bytes())
    end = _end_of_fields(content)
    struct.pack_into("=Q", content, 0, (int(time.time()) << 32) | secrets.randbits(32))
    struct.pack_into("=I", content, end, crc32c(bytes(content[:end])))
    control_file.write_bytes(content)


def _end_of_fields(content: bytes | bytearray) -> int:
    """Return where the checksum stands: each version of PostgreSQL has it elsewhere."""
    register = 0xFFFFFFFF
    for offset in range(len(content) - 4):
        if offset > 64 and struct.unpack_from("=I", content, offset)[0] == register ^ 0xFFFFFFFF:
            return offset
        register = _CRC_TABLE[(register ^ content[offset]) & 0xFF] ^ (register >> 8)
    raise ProcessFailed("pg_control has no valid checksum; remove the cache folder and start again")


def crc32c(content: bytes) -> int:
    """Return the CRC-32C (Castagnoli) of `content`."""
    register = 0xFFFFFFFF
    for byte in content:
        register = _CRC_TABLE[(register ^ byte) & 0xFF] ^ (register >> 8)
    return register ^ 0xFFFFFFFF


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC_TABLE = _crc_table()


def release_memory(data: Path, *, in_use: bool = False) -> None:
    """Remove the System V segment that a killed server left; its key and id stand in postmaster.pid.

    After a reboot another program may have the id: a segment with another key, or of another
    user than the server's, stays; so does one that somebody has attached, but `in_use`: then
    the server runs, and the kernel removes it with the last process that has it.
    """
    with contextlib.suppress(OSError, IndexError, ValueError):
        told = data / "postmaster.pid"
        key, number = (int(word) for word in told.read_text().splitlines()[6].split())
        found = _segment(number)
        same = (found["key"] - key) % (1 << 32) == 0  # one of the two may be written without a sign
        if same and found["uid"] == told.stat().st_uid and (in_use or not found["nattch"]):
            ctypes.CDLL(None).shmctl(number, 0, None)


def _segment(number: int) -> Mapping[str, int]:
    """Return what the kernel says of a System V segment: key, uid, nattch (who has it attached)."""
    heads, *rows = Path("/proc/sysvipc/shm").read_text().splitlines()
    told = (dict(zip(heads.split(), map(int, row.split()), strict=True)) for row in rows)
    found = [one for one in told if one["shmid"] == number]
    return found[0]
