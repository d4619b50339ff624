"""Kill our server in the middle of writes: what it acknowledged is there, whole, and nothing is mixed."""

import hashlib
import json
import os
import random
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import pytest
from botocore.exceptions import BotoCoreError, ClientError

from resilience_tests.contract.s3.check_multipart import add, begin, complete
from resilience_tests.contract.s3.place import SECONDS_MAX, Place
from resilience_tests.contract.s3.servers import OwnServer

WRITERS = 6
SIZES = (0, 100, 4096, 300_000)
"""Bodies (bytes) on both sides of the size at which a body goes to a file while it comes in."""


@dataclass
class Attempts:
    """What was tried on one key, in order; the writer is the only one on it."""

    tried: list[str] = field(default_factory=list)
    acknowledged: int = 0  #: how many of `tried`, from the front, are known to be done


def body_of(version: str, size: int) -> bytes:
    return random.Random(version).randbytes(size)


def version_at(at: Place, key: str) -> str | None:
    """Return the version of an object, having checked that bytes and metadata are that version's."""
    try:
        found = at.client.get_object(Bucket=at.bucket, Key=key)
    except at.client.exceptions.NoSuchKey:
        return None
    version: str = found["Metadata"]["version"]
    body = found["Body"].read()
    assert body == body_of(version, int(found["Metadata"]["size"])), (
        f"{key}: bytes are not those of {version}"
    )
    assert found["ContentType"] == f"test/{version}", f"{key}: headers are not those of {version}"
    return version


def assert_kept(at: Place, key: str, attempts: Attempts) -> None:
    """The last acknowledged version is there, or one that was tried after it."""
    allowed: list[str | None] = list(attempts.tried[max(0, attempts.acknowledged - 1) :])
    if attempts.acknowledged == 0:
        allowed.append(None)
    found = version_at(at, key)
    assert found in allowed, (
        f"{key}: found {found}, acknowledged up to {attempts.acknowledged} of {attempts.tried}"
    )


def write_until_killed(write: Callable[[int], None], acknowledged: threading.Semaphore) -> None:
    """Call `write` with 0, 1, ... until the server is gone."""
    number = 0
    while True:
        try:
            write(number)
        except (BotoCoreError, ClientError):
            return
        acknowledged.release()
        number += 1


def kill_after(server: OwnServer, acknowledged: threading.Semaphore, count: int) -> None:
    for _ in range(count):
        assert acknowledged.acquire(timeout=SECONDS_MAX), (
            "the server acknowledged too little to be killed in flight"
        )
    server.kill()


@pytest.mark.parametrize("round_", range(3))
def test_acknowledged_puts_outlive_a_kill(server: OwnServer, at: Place, round_: int) -> None:
    keys = {f"writer-{writer}/{number}": Attempts() for writer in range(WRITERS) for number in range(5)}
    acknowledged = threading.Semaphore(0)

    def writer(number: int) -> None:
        chance = random.Random(f"{round_}-{number}")

        def put(turn: int) -> None:
            key = f"writer-{number}/{turn % 5}"
            version, size = f"{number}.{turn}", chance.choice(SIZES)
            keys[key].tried.append(version)
            at.put(
                key,
                body_of(version, size),
                Metadata={"version": version, "size": str(size)},
                ContentType=f"test/{version}",
            )
            keys[key].acknowledged = len(keys[key].tried)

        write_until_killed(put, acknowledged)

    with ThreadPoolExecutor(WRITERS) as writers:
        running = [writers.submit(writer, number) for number in range(WRITERS)]
        kill_after(server, acknowledged, 50 + 30 * round_)
        for one in running:
            one.result()
    server.start()
    for key, attempts in keys.items():
        assert_kept(at, key, attempts)
    assert_no_orphans(server)


def test_acknowledged_completions_outlive_a_kill(server: OwnServer, at: Place) -> None:
    attempts = {f"key-{number}": Attempts() for number in range(60)}
    prepared = {key: _prepare(at, key) for key in attempts}
    queue = list(attempts)
    acknowledged = threading.Semaphore(0)

    def complete_next(_: int) -> None:
        key = queue.pop()
        upload, part = prepared[key]
        attempts[key].tried.append(key)
        complete(at, key, upload, [part])
        attempts[key].acknowledged = 1

    with ThreadPoolExecutor(WRITERS) as writers:
        running = [writers.submit(_until_empty, complete_next, queue, acknowledged) for _ in range(WRITERS)]
        kill_after(server, acknowledged, 25)
        for one in running:
            one.result()
    server.start()
    for key, tried in attempts.items():
        assert_kept(at, key, tried)
        _assert_can_still_complete(at, key, prepared[key])
    assert_no_orphans(server)


def _prepare(at: Place, key: str) -> tuple[str, dict[str, object]]:
    metadata = {"version": key, "size": "5000"}
    upload = begin(at, key, Metadata=metadata, ContentType=f"test/{key}")
    return upload, add(at, key, upload, 1, body_of(key, 5000))


def _until_empty(write: Callable[[int], None], queue: list[str], acknowledged: threading.Semaphore) -> None:
    try:
        write_until_killed(write, acknowledged)
    except IndexError:
        assert not queue


def _assert_can_still_complete(at: Place, key: str, prepared: tuple[str, dict[str, object]]) -> None:
    """A completion that was cut off is repeated, whether or not it had its effect."""
    upload, part = prepared
    complete(at, key, upload, [part])
    assert version_at(at, key) == key


def test_deletes_and_copies_outlive_a_kill(server: OwnServer, at: Place) -> None:
    for key in ("deleted", "kept"):
        at.put(key, b"bytes", Metadata={"who": key})
    at.client.copy_object(Bucket=at.bucket, Key="copied", CopySource={"Bucket": at.bucket, "Key": "deleted"})
    at.client.delete_object(Bucket=at.bucket, Key="deleted")
    server.kill()
    server.start()
    assert at.keys() == ["copied", "kept"]
    assert (at.get("copied"), at.head("copied")["Metadata"]) == (b"bytes", {"who": "deleted"})


def test_bodies_that_nobody_owns_are_swept_at_the_start(server: OwnServer, at: Place) -> None:
    at.put("key")
    server.kill()
    shard = next((server.data / "bodies").iterdir())
    (shard / "orphan").write_bytes(b"a body whose commit never came")
    (server.data / "incoming" / "torn").write_bytes(b"half a bo")
    server.start()
    assert at.get("key") == b"bytes"
    assert_no_orphans(server)


def test_an_index_that_is_gone_is_not_taken_for_an_empty_store(server: OwnServer, at: Place) -> None:
    """Starting with a fresh index would sweep every body away."""
    at.put("key")
    server.kill()
    for index in server.data.glob("index.sqlite*"):
        index.rename(server.data.parent / index.name)
    with pytest.raises(RuntimeError, match="ended with 1"):
        server.start()
    for index in server.data.parent.glob("index.sqlite*"):
        index.rename(server.data / index.name)
    server.start()
    assert at.get("key") == b"bytes"


def test_two_servers_never_serve_one_folder(server: OwnServer, at: Place) -> None:
    at.put("key")
    second = OwnServer(server.folder)
    with pytest.raises(RuntimeError, match="ended with 1"):
        second.start()
    assert at.get("key") == b"bytes"


def test_an_interrupted_server_ends_cleanly(server: OwnServer, at: Place) -> None:
    at.put("key", os.urandom(100))
    assert server.interrupt() == 130
    server.start()
    assert at.keys() == ["key"]


def assert_no_orphans(server: OwnServer) -> None:
    """Every body on disk has an owner in the index, and every owner its body, with the right bytes."""
    bodies = server.data / "bodies"
    on_disk = {f"{path.parent.name}/{path.name}" for path in bodies.glob("*/*")}
    index = sqlite3.connect(server.data / "index.sqlite")
    rows = [
        (json.loads(segments), etag) for segments, etag in index.execute("select segments, etag from objects")
    ]
    parts = [name for (name,) in index.execute("select name from parts")]
    index.close()
    owned = {name for segments, _ in rows for name, _ in segments} | set(parts)
    assert on_disk == owned
    for segments, etag in rows:
        if "-" not in etag:
            [(name, size)] = segments
            body = (bodies / name).read_bytes()
            assert (len(body), hashlib.md5(body).hexdigest()) == (size, etag)
