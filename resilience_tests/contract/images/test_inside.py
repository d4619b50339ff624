"""What a container shows of itself: nobody is root, and no secret stands where others look."""

import json

import docker
import pytest
from docker.models.containers import Container

from resilience_tests.contract.images.ground import Ground, inside, start


@pytest.fixture(scope="module", params=[True, False], ids=["with-init", "without-init"])
def server(on: Ground, request: pytest.FixtureRequest) -> Container:
    return start(on.postgres(init=request.param))


def test_nothing_of_ours_runs_as_root(server: Container) -> None:
    """What comes from outside (a health check, this `ps`) has no parent here and is left out."""
    listed = inside(server, "ps", "-eo", "user=,ppid=,pid=,comm=").splitlines()
    rows = [line.split() for line in listed]
    users = {program: user for user, parent, pid, program in rows if parent != "0" or pid == "1"}
    assert users.pop("docker-init", "root") == "root"
    assert "postgres" in users
    assert set(users.values()) == {"cutover"}, listed


def test_the_server_can_never_be_root_again(server: Container) -> None:
    pid = inside(server, "sh", "-c", "head -n 1 /data/postgres/postmaster.pid").strip()
    status = inside(server, "cat", f"/proc/{pid}/status")
    told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {told[name] for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {"0" * 16}
    assert told["NoNewPrivs"] == "1"


def test_nobody_else_reads_what_was_uploaded(server: Container) -> None:
    seen = inside(server, "stat", "-c", "%a %U %n", "/run/cutover/passwords.json")
    assert seen == "600 cutover /run/cutover/passwords.json\n"


def test_no_secret_is_in_the_image_or_told_by_the_engine(
    client: docker.DockerClient, on: Ground, server: Container
) -> None:
    shown = "\n".join(
        (
            json.dumps(client.images.get(on.image).history()),
            json.dumps(client.images.get(on.image).attrs),
            json.dumps(server.attrs),
            inside(server, "ps", "-eo", "args"),
            server.logs().decode(),
        )
    )
    assert [role for role, password in on.passwords.items() if password in shown] == []


def test_a_container_that_is_told_nothing_says_so(on: Ground) -> None:
    box = on.box("worker", None, {"service.json": {"entry": "nowhere:serve", "setings": {}}})
    box.start()
    assert box.wait(timeout=60)["StatusCode"] == 78
    assert "nobody reads setings" in box.logs().decode()
