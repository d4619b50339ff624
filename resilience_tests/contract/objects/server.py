"""A real S3 server of ours in a process of its own, with its faults at hand."""

import asyncio
import json
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cutover.adapters.s3.address import Limits, S3Address
from cutover.adapters.s3.wire import Request, Wire
from cutover.model.secret import Secret

REGION = "east-1"
ACCESS_KEY = "drillkey"
SECRET = "drill secret / with + signs"
END_SECONDS = 10.0

QUICK = Limits(connect_seconds=0.5, answer_seconds=5.0, attempts=3, total_seconds=5.0)
HASTY = Limits(connect_seconds=0.3, answer_seconds=0.3, attempts=2, total_seconds=1.0)


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where it listens, and how it is told to misbehave."""

    port: int
    control: Path

    def address(self, bucket: str, **changed: str) -> S3Address:
        """A bucket of this server, as somebody who may use it reaches it."""
        return S3Address(
            endpoint=changed.get("endpoint", f"http://127.0.0.1:{self.port}"),
            region=REGION,
            bucket=bucket,
            access_key=changed.get("access_key", ACCESS_KEY),
            secret_key=Secret(changed.get("secret", SECRET)),
        )

    async def make_bucket(self, bucket: str) -> None:
        """Create it; it may be there already."""
        wire = Wire(self.address(bucket), "east", QUICK)
        try:
            answer = await wire.ask(Request(method="PUT"))
            assert answer.status in (200, 409), answer
        finally:
            await wire.close()

    async def strike(self, do: str, **limits: object) -> None:
        """Put one fault in force."""
        reader, writer = await asyncio.open_unix_connection(self.control)
        writer.write(json.dumps({"do": do} | limits).encode() + b"\n")
        answer = json.loads(await reader.readline())
        writer.close()
        await writer.wait_closed()
        assert answer["ok"], answer


@contextmanager
def running() -> Iterator[S3Server]:
    """Start a server on a fresh folder and end it afterwards."""
    with tempfile.TemporaryDirectory(prefix="s3-") as name:
        folder = Path(name)
        port = unused_port()
        credentials = folder / "credentials.json"
        credentials.write_text(json.dumps({ACCESS_KEY: SECRET}))
        settings = folder / "settings.json"
        settings.write_text(
            json.dumps(
                {
                    "folder": str(folder / "data"),
                    "host": "127.0.0.1",
                    "port": port,
                    "region": REGION,
                    "credentials": str(credentials),
                    "control_socket": str(folder / "control"),
                }
            )
        )
        command = [sys.executable, "-m", "infra.s3_server", "--settings", str(settings)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline().startswith("serving"), "the S3 server did not start"
                yield S3Server(port, folder / "control")
            finally:
                process.terminate()
                process.wait(END_SECONDS)


def unused_port() -> int:
    """A port on which nobody listens, so that connections are refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
