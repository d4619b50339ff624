"""The platform of one site as a process: HTTP service and queue worker."""

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import uvicorn

from sample_platform.database import Address, Database
from sample_platform.errors import PlatformError
from sample_platform.http import application
from sample_platform.objects_s3 import S3Objects, Store
from sample_platform.platform import Platform
from sample_platform.postgres import PostgresRecords, PostgresServingCheck

LOG = logging.getLogger(__name__)

DATABASE_USER = "platform"
"""The role that the platform logs in as; the credentials file has its password."""

QUEUE_PAUSE_S = 0.25
"""Between two looks at an empty queue (seconds)."""

QUEUE_BACK_OFF_S = 1.0
"""After a look that failed, or at a site that does not serve (seconds)."""

BACKLOG = 512
"""Connections that may wait to be accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where one site's platform listens and what it stands on."""

    site: str
    host: str
    port: int
    database: Address
    store: Store
    spool: Path | None  #: where large uploads wait; None: the system's temporary folder


def read_settings(told: Mapping[str, Any]) -> Settings:
    """Read the settings of `serve`, and the credentials file that they name."""
    secrets = json.loads(Path(told["credentials_file"]).read_text())
    return Settings(
        site=told["site"],
        host=told["listen"]["host"],
        port=int(told["listen"]["port"]),
        database=Address(
            host=told["postgres"]["host"],
            port=int(told["postgres"]["port"]),
            database=told["postgres"]["database"],
            user=DATABASE_USER,
            password=secrets["postgres"][DATABASE_USER],
        ),
        store=Store(
            endpoint=told["s3"]["endpoint"],
            bucket=told["s3"]["bucket"],
            region=told["s3"]["region"],
            access_key=secrets["s3"]["access_key"],
            secret_key=secrets["s3"]["secret_key"],
        ),
        spool=Path(told["spool"]) if told.get("spool") else None,
    )


async def serve(
    settings: Mapping[str, object], ready: Callable[[], None], *, kind: type[Platform] = Platform
) -> None:
    """Serve until cancelled; `ready` is called when connections are accepted.

    `kind` is the logic that is put over the ports.

    Neither database nor store need to be up: requests are refused until they are.
    """
    known = read_settings(settings)
    database, objects = Database(known.database), S3Objects(known.store)
    platform = kind(
        site=known.site,
        records=PostgresRecords(database),
        objects=objects,
        serving=PostgresServingCheck(database),
        random=Random(),
    )
    worker = asyncio.create_task(deliver(platform), name=f"queue of {known.site}")
    try:
        with socket.create_server((known.host, known.port), backlog=BACKLOG) as listening:
            await _serve_http(application(platform, spool=known.spool), listening, ready)
    finally:
        worker.cancel()
        with suppress(asyncio.CancelledError):
            await worker
        await database.close()
        await objects.close()


async def deliver(platform: Platform) -> None:
    """Work the distribution queue for ever; a closed or dead site only slows it down."""
    while True:
        pause_s = QUEUE_PAUSE_S
        try:
            answer = await platform.work_queue()
        except PlatformError as error:
            LOG.debug("the queue waits: %s", error)
            pause_s = QUEUE_BACK_OFF_S
        else:
            if answer.state != "known":
                pause_s = QUEUE_BACK_OFF_S
        await asyncio.sleep(pause_s)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: whoever cancels `serve` decides."""

    ready: Callable[[], None]

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to accept, and say so."""
        await super().startup(sockets)
        self.ready()


async def _serve_http(app: Any, listening: socket.socket, ready: Callable[[], None]) -> None:
    config = uvicorn.Config(
        app,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )
    server = _Server(config)
    server.ready = ready
    serving = asyncio.create_task(server.serve([listening]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await asyncio.wait([serving])
