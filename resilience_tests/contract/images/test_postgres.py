"""PostgreSQL in a container: whole or not there, and nothing acknowledged is lost when it is killed."""

import psycopg
import pytest
from docker.models.containers import Container

from resilience_tests.contract.images.ground import (
    POSTGRES_PORT,
    Ground,
    address,
    has_file,
    inside,
    kill,
    log,
    put,
    start,
    wait_for,
)

MADE = "/data/postgres.made"


@pytest.fixture(scope="module")
def server(on: Ground) -> Container:
    """A server that is up; tests may kill it, if they start it again."""
    return start(on.postgres())


def connect(on: Ground, server: Container, database: str = "platform_r1") -> psycopg.Connection:
    return psycopg.connect(
        host=address(server),
        port=POSTGRES_PORT,
        user="platform",
        password=on.passwords["platform"],
        dbname=database,
        autocommit=True,
    )


def asked(on: Ground, server: Container, query: str, database: str = "platform_r1") -> object:
    with connect(on, server, database) as connection:
        row = connection.execute(query.encode()).fetchone()
        assert row is not None
        return row[0]


def test_the_platform_logs_in_and_owns_its_tables(on: Ground, server: Container) -> None:
    owned = "SELECT count(*) FROM pg_tables WHERE tableowner = current_user"
    assert asked(on, server, owned) != 0


def test_a_wrong_password_opens_nothing(on: Ground, server: Container) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=address(server), user="platform", password="wrong", dbname="platform_r1")


def test_a_superuser_comes_in_over_no_network(on: Ground, server: Container) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(host=address(server), user="postgres", password="postgres", dbname="postgres")


def test_an_acknowledged_row_survives_a_kill(on: Ground, server: Container) -> None:
    with connect(on, server) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 'acknowledged' AS word")
    kill(server)
    start(server)
    assert asked(on, server, "SELECT word FROM kept") == "acknowledged"


def test_health_checks_leave_no_line_in_the_log(server: Container) -> None:
    inside(server, "/opt/cutover/bin/pg_isready", "-h", "127.0.0.1")
    assert "no pg_hba.conf entry" not in log(server)


def test_the_database_of_a_run_is_made_and_dropped_from_outside(on: Ground, server: Container) -> None:
    inside(server, "python3", "-m", "infra.images.databases", "create", "platform_r2")
    assert asked(on, server, "SELECT current_database()", "platform_r2") == "platform_r2"
    inside(server, "python3", "-m", "infra.images.databases", "drop", "platform_r2")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        connect(on, server, "platform_r2")


def test_what_it_is_told_is_stronger_than_our_settings(on: Ground) -> None:
    server = start(on.postgres(settings={"fsync": False, "log_line_prefix": "it's "}))
    assert asked(on, server, "SHOW fsync") == "off"
    assert asked(on, server, "SHOW log_line_prefix") == "it's "
    assert asked(on, server, "SHOW wal_level") == "logical"


def test_a_first_start_that_was_killed_is_made_again_as_a_whole(on: Ground) -> None:
    """Goal: no half-made server ever serves.

    Method: the schema never ends, so the kill comes while the template is being
    made; then the same container starts with a schema that does.
    """
    server = on.postgres(schema="/run/cutover/endless.sql")
    put(server, {"endless.sql": "SELECT pg_sleep(600)"})
    server.start()
    wait_for(lambda: "ready to accept connections" in log(server), lambda: log(server))
    kill(server)
    assert has_file(server, "/data/postgres")
    assert not has_file(server, MADE)
    put(server, on.postgres_files())
    start(server)
    assert asked(on, server, "SELECT count(*) FROM pg_roles WHERE rolname = 'cutover_applier'") == 1
    assert has_file(server, MADE)


def test_a_database_that_it_hears_of_later_is_made_too(on: Ground) -> None:
    server = start(on.postgres(database=None))
    kill(server)
    put(server, on.postgres_files(database="platform_r7"))
    start(server)
    assert asked(on, server, "SELECT current_database()", "platform_r7") == "platform_r7"


def test_two_containers_never_run_on_the_same_data(on: Ground) -> None:
    volume = on.volume()
    first = start(on.postgres(volume))
    second = on.postgres(volume)
    second.start()
    assert second.wait(timeout=60)["StatusCode"] == 70
    assert "another container runs on the data" in log(second)
    assert asked(on, first, "SELECT 1") == 1


def test_it_ends_without_waiting_for_its_clients(on: Ground) -> None:
    server = start(on.postgres())
    with connect(on, server):
        server.stop(timeout=60)
        assert server.wait()["StatusCode"] == 0
    assert "database system is shut down" in log(server).splitlines()[-1]
