"""The hooks for the nemesis: each does what its name says, to whom it was told, until healed."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import BotoCoreError, ConnectionClosedError

from resilience_tests.contract.s3.check_multipart import begin
from resilience_tests.contract.s3.place import SECONDS_MAX, Place, refused
from resilience_tests.contract.s3.servers import OwnServer


def await_true(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS_MAX
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        pause.wait(0.005)


def test_503_strikes_and_heals(server: OwnServer, at: Place) -> None:
    at.put("key")
    server.ask(do="fail503")
    with refused(503, "ServiceUnavailable"):
        at.get("key")
    with refused(503, "ServiceUnavailable"):
        at.put("key", b"changed")
    server.ask(do="heal")
    assert at.get("key") == b"bytes"


def test_a_fault_keeps_to_its_limits(server: OwnServer, at: Place) -> None:
    server.ask(do="fail503", method="PUT", key_prefix="a/", bucket=at.bucket, count=2)
    at.put("b")
    for _ in range(2):
        with refused(503):
            at.put("a/key")
    at.put("a/key")
    assert at.get("a/key") == b"bytes"
    [fault] = server.ask(do="status")["faults"]
    assert (fault["hits"], fault["count"]) == (2, 0)


def test_slow_delays_and_then_does_it(server: OwnServer, at: Place) -> None:
    server.ask(do="slow", seconds=0.2)
    started = time.monotonic()
    at.put("key")
    assert time.monotonic() - started >= 0.2
    server.ask(do="heal")
    assert at.get("key") == b"bytes"


def test_hang_does_nothing_until_healed(server: OwnServer, at: Place) -> None:
    fault = server.ask(do="hang", method="PUT")["id"]
    with ThreadPoolExecutor(1) as client:
        hanging = client.submit(at.put, "key")
        await_true(lambda: server.ask(do="status")["faults"][0]["hits"] == 1)
        assert server.ask(do="status")["in_flight"] == 1
        assert at.keys() == []
        assert not hanging.done()
        server.ask(do="heal", id=fault)
        hanging.result(SECONDS_MAX)
    assert at.get("key") == b"bytes"


def test_a_lost_acknowledgement_has_its_effect(server: OwnServer, at: Place) -> None:
    at.put("gone")
    server.ask(do="lose_acknowledgement", count=2)
    with pytest.raises((ConnectionClosedError, BotoCoreError)):
        at.put("key")
    with pytest.raises((ConnectionClosedError, BotoCoreError)):
        at.client.delete_object(Bucket=at.bucket, Key="gone")
    assert at.keys() == ["key"]
    assert at.get("key") == b"bytes"


def test_a_full_disk_answers_an_error_and_harms_nothing(server: OwnServer, at: Place) -> None:
    at.put("key", b"old", Metadata={"version": "old"})
    upload = begin(at, "parts")
    server.ask(do="full")
    for body in (b"new", bytes(1_000_000)):
        with refused(507, "InsufficientStorage"):
            at.put("key", body, Metadata={"version": "new"})
    with refused(507):
        at.client.upload_part(Bucket=at.bucket, Key="parts", UploadId=upload, PartNumber=1, Body=b"x")
    with refused(507):
        at.client.copy_object(Bucket=at.bucket, Key="copy", CopySource={"Bucket": at.bucket, "Key": "key"})
    assert (at.get("key"), at.head("key")["Metadata"]) == (b"old", {"version": "old"})
    assert at.keys() == ["key"]
    server.ask(do="heal")
    at.put("key", b"new")
    assert at.get("key") == b"new"
    assert sum(1 for _ in (server.data / "bodies").glob("*/*")) == 1
    assert list((server.data / "incoming").iterdir()) == []


@pytest.mark.parametrize(
    "command",
    [
        {"do": "explode"},
        {"do": "slow", "colour": "red"},
        {"do": "slow", "seconds": "1"},
        {"do": "heal", "id": 99},
        {},
    ],
)
def test_senseless_commands_are_refused_by_name(server: OwnServer, command: dict[str, object]) -> None:
    answer = server.ask(**command)
    assert answer["ok"] is False
    assert answer["error"]
    assert server.ask(do="status")["faults"] == []
