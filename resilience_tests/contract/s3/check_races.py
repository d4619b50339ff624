"""Conditions raced: many clients at once, and exactly one of them may win."""

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from resilience_tests.contract.s3.place import SECONDS_MAX, Place, status_of

RACERS = 8
ROUNDS = 5


def race(action: Callable[[int], Any]) -> list[int]:
    """Run `action(n)` in all racers at once; return their statuses in order."""
    line = threading.Barrier(RACERS, timeout=SECONDS_MAX)

    def run(racer: int) -> int:
        line.wait()
        return status_of(lambda: action(racer))

    with ThreadPoolExecutor(RACERS) as racers:
        return list(racers.map(run, range(RACERS)))


def body_of(racer: int) -> bytes:
    return bytes([racer]) * (4096 + racer)


def winner_of(statuses: list[int], *, won: int, lost: set[int]) -> int:
    """Return who won; there must be exactly one, and the others were told so."""
    assert Counter(statuses)[won] == 1, statuses
    assert set(statuses) <= {won, *lost}, statuses
    return statuses.index(won)


def check_one_of_many_creates(at: Place) -> None:
    for number in range(ROUNDS):
        key = f"key-{number}"

        def create(racer: int, key: str = key) -> Any:
            return at.client.put_object(Bucket=at.bucket, Key=key, Body=body_of(racer), IfNoneMatch="*")

        winner = winner_of(race(create), won=200, lost={409, 412})
        assert at.get(key) == body_of(winner)


def check_one_of_many_replaces(at: Place) -> None:
    etag = at.put("key")
    for _ in range(ROUNDS):

        def swap(racer: int, seen: str = etag) -> Any:
            return at.client.put_object(
                Bucket=at.bucket, Key="key", Body=body_of(racer) + seen.encode(), IfMatch=seen
            )

        winner = winner_of(race(swap), won=200, lost={409, 412})
        assert at.get("key") == body_of(winner) + etag.encode()
        etag = at.head("key")["ETag"]


def check_one_of_many_deletes(at: Place) -> None:
    for number in range(ROUNDS):
        etag = at.put(f"key-{number}")

        def delete(_: int, key: str = f"key-{number}", etag: str = etag) -> Any:
            return at.client.delete_object(Bucket=at.bucket, Key=key, IfMatch=etag)

        winner_of(race(delete), won=204, lost={404, 409, 412})
    assert at.keys() == []


def check_one_of_many_completes(at: Place) -> None:
    for number in range(ROUNDS):
        key = f"key-{number}"
        uploads = [_prepared(at, key, racer) for racer in range(RACERS)]

        def complete(racer: int, key: str = key, uploads: list[tuple[str, str]] = uploads) -> Any:
            upload, etag = uploads[racer]
            return at.client.complete_multipart_upload(
                Bucket=at.bucket,
                Key=key,
                UploadId=upload,
                MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]},
                IfNoneMatch="*",
            )

        winner = winner_of(race(complete), won=200, lost={409, 412})
        assert at.get(key) == body_of(winner)


def _prepared(at: Place, key: str, racer: int) -> tuple[str, str]:
    upload = at.client.create_multipart_upload(Bucket=at.bucket, Key=key)["UploadId"]
    part = at.client.upload_part(
        Bucket=at.bucket, Key=key, UploadId=upload, PartNumber=1, Body=body_of(racer)
    )
    return upload, part["ETag"]


def check_one_of_many_copies(at: Place) -> None:
    for racer in range(RACERS):
        at.put(f"source-{racer}", body_of(racer))

    def copy(racer: int) -> Any:
        source = {"Bucket": at.bucket, "Key": f"source-{racer}"}
        return at.client.copy_object(Bucket=at.bucket, Key="key", CopySource=source, IfNoneMatch="*")

    winner = winner_of(race(copy), won=200, lost={409, 412})
    assert at.get("key") == body_of(winner)


def check_bytes_and_metadata_never_mix(at: Place) -> None:
    """Overwriting without conditions: a reader sees one writer's bytes with that writer's metadata."""
    at.put("key", body_of(0), Metadata={"racer": "0"})
    done = threading.Event()
    seen: list[str] = []

    def watch() -> None:
        try:
            while not done.is_set():
                found = at.client.get_object(Bucket=at.bucket, Key="key")
                racer = int(found["Metadata"]["racer"])
                if found["Body"].read() != body_of(racer):
                    seen.append(f"bytes are not those of {racer}")
        except ClientError as error:
            seen.append(f"the reader was told {error}")

    def write(racer: int) -> Any:
        for _ in range(ROUNDS - 1):
            at.put("key", body_of(racer), Metadata={"racer": str(racer)})
        return at.client.put_object(
            Bucket=at.bucket, Key="key", Body=body_of(racer), Metadata={"racer": str(racer)}
        )

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        assert set(race(write)) == {200}
    finally:
        done.set()
        watcher.join()
    assert seen == []
