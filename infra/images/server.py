"""PostgreSQL in a container: made at its first start, in whole or not at all, then run with nothing around.

A first start that was cut short leaves no mark, and the next one begins anew.
Configuration lies outside the data directory and is written by each start, so
a container that is made with other settings has them.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import psycopg

from cutover.model.secret import Secret
from infra.embedded.binaries import find_binaries
from infra.embedded.databases import create_run, make_template
from infra.embedded.errors import ProcessFailed
from infra.embedded.postgres import INITDB, SETTINGS, Server, host_access, ident_map, run_as
from infra.embedded.state import server_user
from infra.images.places import CODE, DATA, RUNNING
from infra.images.task import PostgresTask

SERVER_DATA = DATA / "postgres"

MADE = DATA / "postgres.made"
"""Written once the data directory is complete and on the disk; holds the name of the task's database."""

_HEALTH_CHECK = "127.0.0.1/32"  #: asked for a password it goes away in silence; refused it would fill the log
_LOCK = DATA / "postgres.lock"
_FIRST = RUNNING / "first"  #: socket folder of the server that the first start fills: nobody else finds it
_CONFIGURATION = RUNNING / "postgresql.conf"
_ACCESS = RUNNING / "pg_hba.conf"
_IDENT = RUNNING / "pg_ident.conf"


def run_server(task: PostgresTask) -> int:
    """Become the server; comes back only by raising StackError, psycopg.Error, ValueError or OSError."""
    _take_data()
    configure(task)
    made = MADE.read_text() if MADE.exists() else None
    if made is None:
        make_data(task)
    elif task.database and task.database != made:
        asyncio.run(_alone(task, _add_database))
        _mark_made(task)
    server = server_of(task)
    _forget_last_start()
    os.execve(server.argv[0], server.argv, server.environment)


def server_of(task: PostgresTask, *, first: bool = False) -> Server:
    """Return the server of this container; `first` for the one that nobody outside can reach."""
    user = server_user()
    return Server(
        folder=_FIRST if first else RUNNING,
        port=task.port,
        binaries=find_binaries(RUNNING, user, task.version),
        user=user,
        settings=_places(),
        listen="" if first else "*",
        data_at=SERVER_DATA,
    )


def configure(task: PostgresTask) -> None:
    """Write the server's configuration: what initdb chose, then ours, then the task's."""
    more = "".join(f"{name} = {_quoted(value)}\n" for name, value in task.settings.items())
    _CONFIGURATION.write_text(f"include '{SERVER_DATA}/postgresql.conf'\n{SETTINGS}{more}")
    _ACCESS.write_text(host_access([_HEALTH_CHECK, *task.hosts]))
    _IDENT.write_text(ident_map())


def make_data(task: PostgresTask) -> None:
    """Make the data directory with roles and template; it counts once all of it is on the disk."""
    shutil.rmtree(SERVER_DATA, ignore_errors=True)
    server = server_of(task)
    initdb = server.binaries.program("initdb")
    run_as(server.user, initdb, "-D", str(SERVER_DATA), *INITDB)
    asyncio.run(_alone(task, _make_databases))
    run_as(server.user, initdb, "--sync-only", "-D", str(SERVER_DATA))
    _mark_made(task)


async def _alone(task: PostgresTask, work: Callable[[Server, PostgresTask], Awaitable[None]]) -> None:
    """Do something with the server while nobody else can reach it."""
    _FIRST.mkdir(mode=0o700)
    _forget_last_start()
    server = server_of(task, first=True)
    running = subprocess.Popen(server.argv, env=server.environment)
    try:
        await server.wait_ready()
        await work(server, task)
    finally:
        running.send_signal(signal.SIGINT)
        status = running.wait()
    if status:
        raise ProcessFailed(f"PostgreSQL ended with {status} when it was made ready")


async def _make_databases(server: Server, task: PostgresTask) -> None:
    passwords = json.loads(Path(task.passwords_file).read_text())
    secrets = {role: Secret(password) for role, password in passwords.items()}
    await make_template(server, secrets, CODE / task.schema if task.schema else None)
    if task.database:
        await create_run(server, task.database)


async def _add_database(server: Server, task: PostgresTask) -> None:
    with contextlib.suppress(psycopg.errors.DuplicateDatabase):
        await create_run(server, str(task.database))


def _forget_last_start() -> None:
    """Remove what a killed server left: a process id that here means another, or nothing."""
    (SERVER_DATA / "postmaster.pid").unlink(missing_ok=True)


def _take_data() -> None:
    """Hold the data until the server ends: its own lock file means nothing outside one container."""
    descriptor = os.open(_LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.fcntl(descriptor, fcntl.F_SETFD, 0)  # the server keeps it
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ProcessFailed(f"another container runs on the data in {DATA}; end it first") from None


def _mark_made(task: PostgresTask) -> None:
    """Write down, on the disk, that all is made, and for which database."""
    scratch = MADE.with_suffix(".new")
    with open(scratch, "w") as file:
        file.write(task.database or "")
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(MADE)
    folder = os.open(DATA, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(folder)
    os.close(folder)


def _places() -> dict[str, object]:
    return {"config_file": _CONFIGURATION, "hba_file": _ACCESS, "ident_file": _IDENT}


def _quoted(value: object) -> str:
    said = ("off", "on")[value] if isinstance(value, bool) else str(value)
    return "'" + said.replace("'", "''") + "'"
