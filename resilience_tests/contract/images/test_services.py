"""Services in containers: ready when they say so, and as durable as the same code without a container."""

import secrets
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from docker.models.containers import Container

from infra.images.places import READY
from resilience_tests.contract.images.ground import (
    PLATFORM_PORT,
    POSTGRES_PORT,
    S3_PORT,
    Ground,
    address,
    inside,
    kill,
    put,
    size_of,
    start,
)

KEY, SECRET = "operator", secrets.token_hex(16)


def store_files() -> dict[str, object]:
    settings = {
        "folder": "/data/s3",
        "host": "0.0.0.0",
        "port": S3_PORT,
        "region": "eu-central-1",
        "credentials": "/run/cutover/keys.json",
    }
    task = {"entry": "infra.s3_server.service:serve", "settings": settings}
    return {"service.json": task, "keys.json": {KEY: SECRET}}


def platform_files() -> dict[str, object]:
    """Return what a platform is given whose stores are not there: it refuses requests until they are."""
    settings = {
        "site": "east",
        "listen": {"host": "0.0.0.0", "port": PLATFORM_PORT},
        "postgres": {"host": "127.0.0.1", "port": POSTGRES_PORT, "database": "nowhere"},
        "s3": {"endpoint": f"http://127.0.0.1:{S3_PORT}", "bucket": "nowhere", "region": "eu-central-1"},
        "credentials_file": "/run/cutover/credentials/platform.json",
    }
    pair = {"access_key": KEY, "secret_key": SECRET}
    return {
        "service.json": {"entry": "sample_platform.service:serve", "settings": settings},
        "credentials/platform.json": {"s3": pair, "postgres": {"platform": SECRET}},
    }


@pytest.fixture(scope="module")
def store(on: Ground) -> Container:
    return start(on.box("s3", S3_PORT, store_files()))


def s3(store: Container, secret: str = SECRET) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"http://{address(store)}:{S3_PORT}",
        region_name="eu-central-1",
        aws_access_key_id=KEY,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}),
    )


def test_an_acknowledged_put_survives_a_kill(store: Container) -> None:
    location = {"LocationConstraint": "eu-central-1"}
    s3(store).create_bucket(Bucket="kept", CreateBucketConfiguration=location)
    s3(store).put_object(Bucket="kept", Key="a/key", Body=b"acknowledged")
    kill(store)
    start(store)
    assert s3(store).get_object(Bucket="kept", Key="a/key")["Body"].read() == b"acknowledged"


def test_a_wrong_secret_puts_nothing(store: Container) -> None:
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        s3(store, "wrong").put_object(Bucket="kept", Key="another", Body=b"")


def test_the_platform_is_ready_before_its_stores_are(on: Ground) -> None:
    platform = start(on.box("platform", PLATFORM_PORT, platform_files()))
    seen = inside(platform, "stat", "-c", "%a %U", "/run/cutover/credentials/platform.json")
    assert seen == "600 cutover\n"


def test_a_service_ends_when_it_is_asked_to(on: Ground) -> None:
    box = start(on.box("s3", S3_PORT, store_files()))
    box.stop(timeout=60)
    assert box.wait()["StatusCode"] == 0


def test_a_service_that_was_killed_is_not_ready_until_it_serves_again(on: Ground) -> None:
    """Its readiness is a file, and a file outlives a kill where its folder is not a tmpfs."""
    box = start(on.box("s3", S3_PORT, store_files(), tmpfs=False))
    assert size_of(box, str(READY)) > 0
    kill(box)
    put(box, {"service.json": {"entry": "infra.nowhere:serve", "settings": {}}})
    box.start()
    assert box.wait(timeout=60)["StatusCode"] == 70
    assert size_of(box, str(READY)) == 0
