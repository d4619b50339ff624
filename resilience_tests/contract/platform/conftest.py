"""The platform's parts in memory and on real servers, for one suite."""

from collections.abc import AsyncIterator, Iterator
from itertools import count

import boto3
import pytest

from resilience_tests.contract.platform.servers import (
    S3_KEY,
    S3_SECRET,
    Server,
    throwaway_s3,
    throwaway_server,
)
from resilience_tests.contract.platform.world import MemoryWorld, RealWorld, World
from sample_platform.database import Address, Database
from sample_platform.memory import MemoryObjects, MemoryRecords
from sample_platform.objects_s3 import S3Objects, Store
from sample_platform.postgres import PostgresRecords, PostgresServingCheck

_NUMBERS = count()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """One PostgreSQL for all tests that do not kill it."""
    with throwaway_server() as running:
        yield running


@pytest.fixture
def fresh_database(server: Server) -> Iterator[Address]:
    """An empty platform database."""
    name = f"t{next(_NUMBERS)}"
    server.execute(f"create database {name} template fresh")
    yield server.address(name)
    server.execute(f"drop database {name} (force)")


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server."""
    with throwaway_s3(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture
def bucket(s3_endpoint: str) -> Store:
    """An empty bucket."""
    store = Store(
        endpoint=s3_endpoint,
        bucket=f"bucket-{next(_NUMBERS)}",
        region="us-east-1",
        access_key=S3_KEY,
        secret_key=S3_SECRET,
    )
    client = boto3.client(
        "s3",
        endpoint_url=s3_endpoint,
        aws_access_key_id=S3_KEY,
        aws_secret_access_key=S3_SECRET,
        region_name="us-east-1",
    )
    client.create_bucket(Bucket=store.bucket)
    client.close()
    return store


@pytest.fixture(params=["memory", "real"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    """Every part that the platform stands on, all in memory or all real."""
    if request.param == "memory":
        records = MemoryRecords()
        yield MemoryWorld(records=records, objects=MemoryObjects(), serving=records.office)
        return
    server: Server = request.getfixturevalue("server")
    address: Address = request.getfixturevalue("fresh_database")
    database = Database(address)
    objects = S3Objects(request.getfixturevalue("bucket"))
    yield RealWorld(
        records=PostgresRecords(database),
        objects=objects,
        serving=PostgresServingCheck(database),
        server=server,
        address=address,
    )
    await database.close()
    await objects.close()
