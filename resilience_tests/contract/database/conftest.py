"""Real PostgreSQL for the contract tests: two servers a session, a fresh database a test."""

from collections.abc import Iterator

import pytest

from resilience_tests.contract.database.server import Database, Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """The server of the site under test."""
    running = Server.make()
    yield running
    running.remove()


@pytest.fixture(scope="session")
def peer_server() -> Iterator[Server]:
    """The server of its peer: another cluster, with another system identifier."""
    running = Server.make()
    yield running
    running.remove()


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    """A fresh, empty database of the site."""
    fresh = server.fresh()
    yield fresh
    server.drop(fresh)


@pytest.fixture
def peer(peer_server: Server) -> Iterator[Database]:
    """A fresh, empty database of the peer."""
    fresh = peer_server.fresh()
    yield fresh
    peer_server.drop(fresh)
