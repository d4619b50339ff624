"""A disk that is really full: a small file system in a mount namespace that ends with the test."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from resilience_tests.contract.s3.options import OPTION
from resilience_tests.contract.s3.place import Place, connected, refused, status_of
from resilience_tests.contract.s3.servers import REPOSITORY, START_SECONDS_MAX, OwnServer, await_port

DISK_BYTES = 12 * 1024 * 1024
BODY_BYTES = 50_000

SCRIPT = """
mount -t tmpfs -o size=$1 none "$2" || exit 77
while :; do "$3" -m infra.s3_server --settings "$4"; done
"""
"""Serves on the small disk, again after each kill, because the disk ends with the namespace."""


def in_namespace(*command: str) -> list[str]:
    """Return a command that runs where mounts are its own, as root or as an ordinary user."""
    return ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), *command]


class SmallDiskServer(OwnServer):
    """Our server on a disk of a few MiB."""

    def start(self) -> None:
        self.data.mkdir()
        self._process = subprocess.Popen(
            in_namespace(
                "sh", "-c", SCRIPT, "sh", str(DISK_BYTES), str(self.data), sys.executable, str(self.settings)
            ),
            cwd=REPOSITORY,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )
        await_port(self._port, self._process)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def kill_and_come_back(self) -> None:
        """Kill the server but not its disk; return when the next one can be reached."""
        assert self._process is not None
        killed = self._server_pid()
        os.kill(killed, signal.SIGKILL)
        deadline = time.monotonic() + START_SECONDS_MAX
        while self._server_pid() in (0, killed):
            assert time.monotonic() < deadline, "no server came after the killed one"
        await_port(self._port, self._process)

    def _server_pid(self) -> int:
        assert self._process is not None
        shell = self._process.pid
        return int((Path("/proc") / f"{shell}/task/{shell}/children").read_text().partition(" ")[0] or 0)


@pytest.fixture
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[SmallDiskServer, Place]]:
    if request.config.getoption(OPTION, default=None):
        pytest.skip(f"NOT JUDGED at {OPTION}: this test fills the server's disk, so it needs our own")
    tried = subprocess.run(
        in_namespace("mount", "-t", "tmpfs", "none", str(tmp_path)), capture_output=True, check=False
    )
    if tried.returncode:
        pytest.skip(f"NOT JUDGED: no mount namespace may be made here: {tried.stderr.decode().strip()}")
    server = SmallDiskServer(tmp_path)
    try:
        server.start()
        with connected(server.account) as client:
            client.create_bucket(Bucket="contract")
            yield server, Place(account=server.account, client=client, bucket="contract")
    finally:
        server.kill()


def fill(at: Place) -> dict[str, bytes]:
    """Put random bodies until the disk is full; return what was acknowledged."""
    acknowledged: dict[str, bytes] = {}
    for number in range(DISK_BYTES // BODY_BYTES + 1):
        body = os.urandom(BODY_BYTES)
        if put_status(at, f"key-{number}", body) == 507:
            return acknowledged
        acknowledged[f"key-{number}"] = body
    raise AssertionError("the disk never became full")


def put_status(at: Place, key: str, body: bytes) -> int:
    status = status_of(lambda: at.client.put_object(Bucket=at.bucket, Key=key, Body=body))
    assert status in (200, 507), status
    return status


def test_a_really_full_disk_harms_nothing_and_can_be_emptied(
    small_disk: tuple[SmallDiskServer, Place],
) -> None:
    server, at = small_disk
    at.put("kept", b"old", Metadata={"version": "old"})
    acknowledged = fill(at)
    for body in (os.urandom(BODY_BYTES), os.urandom(2_000_000)):
        with refused(507, "InsufficientStorage"):
            at.put("kept", body, Metadata={"version": "new"})
    for _ in range(2):
        assert (at.get("kept"), at.head("kept")["Metadata"]) == (b"old", {"version": "old"})
        assert at.keys() == sorted([*acknowledged, "kept"])
        assert {key: at.get(key) for key in acknowledged} == acknowledged
        server.kill_and_come_back()
    for key in list(acknowledged)[:3]:
        at.client.delete_object(Bucket=at.bucket, Key=key)
    at.put("kept", os.urandom(BODY_BYTES), Metadata={"version": "new"})
    assert at.head("kept")["Metadata"] == {"version": "new"}
