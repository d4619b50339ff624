"""The servers that are judged, each a process of its own on the loopback."""

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from infra.embedded.state import StateFolder
from infra.s3_engines import resolve, versitygw
from resilience_tests.contract.s3.place import Account

START_SECONDS_MAX = 30
"""How long a server may take until it can be reached (seconds); ours takes under one, moto about one."""

REPOSITORY = Path(__file__).parents[3]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def await_port(port: int, process: subprocess.Popen[bytes], host: str = "127.0.0.1") -> None:
    """Return once `port` takes connections; raise when `process` ended or time is up."""
    deadline = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it could be reached")
        with suppress(OSError), socket.create_connection((host, port), timeout=1):
            return
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.02)
    raise TimeoutError(f"the server on port {port} could not be reached within {START_SECONDS_MAX} s")


class OwnServer:
    """Our embedded server on a folder; can be killed and started again on the same data."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        self.folder = folder
        self._host = host
        self.control_socket = folder / "control"
        self._port = free_port()
        self.account = Account(
            endpoint=f"http://{host}:{self._port}", access_key="OWNKEY", secret=secrets.token_hex(16)
        )
        self._process: subprocess.Popen[bytes] | None = None
        self._write_settings()

    @property
    def settings(self) -> Path:
        return self.folder / "settings.json"

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command(), cwd=REPOSITORY, stdout=subprocess.DEVNULL)
        await_port(self._port, self._process, self._host)

    def kill(self) -> None:
        """End the process at once, as a lost machine would, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def interrupt(self) -> int:
        """Ask the process to end, and return how it did."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        code = self._process.wait(START_SECONDS_MAX)
        self._process = None
        return code

    def ask(self, **command: object) -> dict[str, Any]:
        """Send one command to the control socket; return the answer."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(START_SECONDS_MAX)
            control.connect(str(self.control_socket))
            control.sendall(json.dumps(command).encode() + b"\n")
            answer: dict[str, Any] = json.loads(control.makefile().readline())
        return answer

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "infra.s3_server", "--settings", str(self.settings)]

    def _write_settings(self) -> None:
        credentials = self.folder / "credentials.json"
        credentials.touch(0o600)
        credentials.write_text(json.dumps({self.account.access_key: self.account.secret}))
        settings = {
            "folder": str(self.data),
            "host": self._host,
            "port": self._port,
            "control_socket": str(self.control_socket),
            "credentials": str(credentials),
            "region": self.account.region,
        }
        self.settings.write_text(json.dumps(settings))


@contextmanager
def own_server(folder: Path, host: str = "127.0.0.1") -> Iterator[OwnServer]:
    server = OwnServer(folder, host)
    server.start()
    try:
        yield server
    finally:
        server.kill()


@contextmanager
def moto_server() -> Iterator[Account]:
    """moto's server, in a process of its own because two in one process share their buckets."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        await_port(port, process)
        yield Account(endpoint=f"http://127.0.0.1:{port}", access_key="MOTOKEY", secret="motosecret")
    finally:
        process.kill()
        process.wait()


@contextmanager
def versitygw_server(folder: Path, program: Path) -> Iterator[Account]:
    """versitygw on a folder, as a place of a stack runs it."""
    port, pair = free_port(), ("VGWKEY", secrets.token_hex(16))
    accounts = folder / "accounts"
    versitygw.prepare(folder / "data", accounts, dict([pair]))
    start = versitygw.launch(
        str(program),
        host="127.0.0.1",
        port=port,
        region="us-east-1",
        data=str(folder / "data"),
        accounts=str(accounts),
    )
    process = subprocess.Popen(start.argv, env=start.env, stdout=subprocess.DEVNULL)
    try:
        await_port(port, process)
        yield Account(endpoint=f"http://127.0.0.1:{port}", access_key=pair[0], secret=pair[1])
    finally:
        process.kill()
        process.wait()


def versitygw_at_hand() -> Path | None:
    """Return its binary where one was named or built before: no test ever builds one."""
    return resolve.versitygw_at_hand(StateFolder.open().cache)


def account_at(endpoint: str, environment: Mapping[str, str] = os.environ) -> Account:
    """Return the account for a server that runs already; raises KeyError without its keys."""
    return Account(
        endpoint=endpoint.rstrip("/"),
        access_key=environment["S3_ACCESS_KEY"],
        secret=environment["S3_SECRET_KEY"],
        region=environment.get("S3_REGION", "us-east-1"),
    )
