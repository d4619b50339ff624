"""Servers under judgement: ours, moto, and the one at --s3-endpoint."""

from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from resilience_tests.contract.s3.options import OPTION, add_s3_options
from resilience_tests.contract.s3.place import Account, Place, connected
from resilience_tests.contract.s3.servers import (
    OwnServer,
    account_at,
    moto_server,
    own_server,
    versitygw_at_hand,
    versitygw_server,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    with suppress(ValueError):  # the repository's plugin has registered it
        add_s3_options(parser)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "judged" in metafunc.fixturenames:
        endpoint = metafunc.config.getoption(OPTION, default=None)
        metafunc.parametrize(
            "judged", ["url"] if endpoint else servers_here(), indirect=True, scope="session"
        )


def servers_here() -> list[str]:
    """Name the servers that can be started without building one."""
    return ["own", "moto", *(["versitygw"] if versitygw_at_hand() else [])]


@pytest.fixture(scope="session")
def judged(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Account, Any]]:
    """Name, account and client of a server whose capabilities are judged."""
    with ExitStack() as stack:
        match request.param:
            case "own":
                account = stack.enter_context(own_server(tmp_path_factory.mktemp("own"))).account
            case "moto":
                account = stack.enter_context(moto_server())
            case "versitygw":
                program = versitygw_at_hand()
                assert program is not None
                account = stack.enter_context(versitygw_server(tmp_path_factory.mktemp("versitygw"), program))
            case _:
                account = account_at(request.config.getoption(OPTION))
        yield request.param, account, stack.enter_context(connected(account))


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OwnServer]:
    """Our server on a folder of its own, to be killed, filled and broken."""
    if request.config.getoption(OPTION, default=None):
        pytest.skip(f"NOT JUDGED at {OPTION}: this test kills and breaks the server, so it needs our own")
    with own_server(tmp_path) as server:
        yield server


@pytest.fixture
def at(server: OwnServer) -> Iterator[Place]:
    """A bucket of that server."""
    with connected(server.account) as client:
        client.create_bucket(Bucket="contract")
        yield Place(account=server.account, client=client, bucket="contract")
