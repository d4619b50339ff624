"""Serve one folder over S3 until cancelled.

Settings: folder, host, port, control_socket (path; may be left out),
credentials (path of a JSON file {access_key: secret}), region.
"""

import asyncio
import json
import logging
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from infra.s3_server.app import Application
from infra.s3_server.faults import Faults, listen
from infra.s3_server.store import Store

logger = logging.getLogger("infra.s3_server")

KEEP_ALIVE_SECONDS: Final = 3600
"""How long an idle connection is kept: longer than any drill, so that clients never race our closing."""

SWITCH_SECONDS: Final = 0.0005
"""How long the loop may keep the committing thread from running on (Python's default is 0.005):
each of its system calls would wait that long while the loop is busy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where to serve what, and who may ask."""

    folder: Path
    host: str
    port: int
    region: str
    credentials: Mapping[str, str]
    control_socket: Path | None


def read_settings(settings: Mapping[str, object]) -> Settings:
    """Return checked settings; raises ValueError that names what is wrong."""
    known = {"folder", "host", "port", "control_socket", "credentials", "region"}
    unknown, missing = settings.keys() - known, known - settings.keys() - {"control_socket"}
    if unknown or missing:
        raise ValueError(f"S3 server settings: unknown {sorted(unknown)}, missing {sorted(missing)}")
    control = settings.get("control_socket")
    return Settings(
        folder=Path(str(settings["folder"])),
        host=str(settings["host"]),
        port=int(str(settings["port"])),
        region=str(settings["region"]),
        credentials=_read_credentials(Path(str(settings["credentials"]))),
        control_socket=None if control is None else Path(str(control)),
    )


def _read_credentials(path: Path) -> Mapping[str, str]:
    credentials = json.loads(path.read_text())
    if not isinstance(credentials, dict) or not all(
        isinstance(secret, str) for secret in credentials.values()
    ):
        raise ValueError(f"{path} must hold a JSON object of access keys and their secrets")
    return credentials


class _Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, which also tells us how to close a connection unanswered."""

    def on_headers_complete(self) -> None:
        self.scope["abort"] = self.transport.abort  # type: ignore[typeddict-unknown-key]
        self.scope["expects_continue"] = self.expect_100_continue  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves the signals to whoever runs us."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()


async def serve(settings: Mapping[str, object], ready: Callable[[], None]) -> None:
    """Serve until cancelled; call `ready` once connections are taken.

    Raises ValueError for wrong settings, OSError when the address is taken,
    FolderInUse or FolderDamaged.
    """
    wanted = read_settings(settings)
    sys.setswitchinterval(SWITCH_SECONDS)
    listener = _bind(wanted.host, wanted.port)
    store = Store(wanted.folder)
    if store.swept:
        logger.info("swept %d bodies that no object owned", store.swept)
    faults = Faults()
    application = Application(store, faults, credentials=wanted.credentials, region=wanted.region)
    control = await listen(faults, wanted.control_socket) if wanted.control_socket else None
    try:
        await _run(_Server(_config(application), ready), listener)
    finally:
        if control:
            control.close()
        await store.close()


def _bind(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


def _config(application: Application) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        http=_Protocol,
        ws="none",
        lifespan="off",
        proxy_headers=False,
        interface="asgi3",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=1,
    )


async def _run(server: _Server, listener: socket.socket) -> None:
    """Run `server`; when we are cancelled, let it answer what it is at, then end."""
    task = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        server.should_exit = True
        await task
        raise
