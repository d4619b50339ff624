"""Drills take a stack that Pulumi made, give it back as it was, and leave taking it down to Pulumi.

The applier makes it of the same program, labelled as Pulumi's; the command is a stand-in that
prints what such a stack publishes. Needs a Docker engine and root; elsewhere all is skipped.
"""

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import docker
import psycopg
import pytest

from cutover.model.outputs import Credentials, Database, Outputs
from drill.live.stacks import Where
from drill.live.stacks import bring_up as drills_on
from infra.blueprint.settings import StackSettings
from infra.components.exports import KEY, document_of
from infra.containers import bring_up, leftovers
from infra.containers.claims import PULUMI, STACK, from_labels, of_stack
from infra.containers.engine import Engine
from infra.containers.pulumi_folder import is_lent, key_file
from infra.containers.routes import ways
from infra.embedded.errors import StackError, StackInUse
from infra.embedded.state import StateFolder
from infra.images.build import ensure_image
from infra.images.errors import NoPackageSource, NoTool
from resilience_tests.contract.containers.field import rules_of, why_not
from resilience_tests.live.test_container_commands import (
    CHECKOUT,
    CUTOVER,
    DEADLINE,
    call,
    free,
    harness,
    until,
)
from resilience_tests.spec.cli.pulumi import SECRET, Pulumi, outputs

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"NOT TRIED, no containers here: {WHY_NOT}")


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.DockerClient]:
    client = Engine.at().client
    yield client
    client.close()


@pytest.fixture(scope="module")
def settings(engine: docker.DockerClient) -> Iterator[StackSettings]:
    """A stack that is up, and that Pulumi made for all that anybody can see."""
    try:
        image = ensure_image(engine)
    except (NoTool, NoPackageSource) as error:
        pytest.skip(f"NOT TRIED, no image can be made here: {error}")
    told = StackSettings(name=f"pul-{uuid.uuid4().hex[:8]}", image=image, subnet=unused_subnet(engine))
    try:
        subprocess.run(
            [sys.executable, "-m", "infra.containers.applier"],
            input=json.dumps({"settings": document_of(told), "key": SECRET}),
            cwd=CHECKOUT,
            text=True,
            check=True,
            timeout=DEADLINE,
        )
        yield told
    finally:
        leftovers.remove(engine, of_stack(told.name))


def unused_subnet(engine: docker.DockerClient) -> str:
    """Outside the range from which stacks take theirs."""
    taken = {
        pool.get("Subnet") for one in engine.networks.list() for pool in one.attrs["IPAM"]["Config"] or ()
    }
    taken |= {str(way.network) for way in ways()}
    thirds = [str(number) for number in range(140, 250)]
    used = {str(subnet).split(".")[2] for subnet in taken}
    return next(f"198.18.{third}.0/24" for third in thirds if third not in used)


@pytest.fixture
def state(settings: StackSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    """An empty state folder, and the stand-in for Pulumi on PATH."""
    pulumi = Pulumi.make(tmp_path / "bin")
    pulumi.tell(stack={"prints": json.dumps(outputs(settings))})
    for name in ("CUTOVER_STACK", "CUTOVER_PLAN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", f"{pulumi.folder}:{os.environ['PATH']}")
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    return StateFolder.open()


def made_by_pulumi(engine: docker.DockerClient, settings: StackSettings) -> set[str]:
    """The ids of the stack's containers, all of which carry the claim of Pulumi."""
    found = engine.containers.list(all=True, filters={"label": f"{STACK}={settings.name}"})
    owners = {claim.owner for one in found if (claim := from_labels(one.labels))}
    assert owners == {PULUMI}
    return {str(one.id) for one in found}


def not_ready(name: str) -> list[str]:
    lines = call("stack", "status", "--stack", f"pulumi:{name}").stdout.splitlines()[1:]
    assert len(lines) == 11
    return [line for line in lines if ": ready" not in line]


def connect(
    site: Database, credentials: str, name: str | None = None
) -> "psycopg.Connection[tuple[object, ...]]":
    password = Credentials.from_json(Path(credentials).read_text()).postgres["platform"].reveal()
    return psycopg.connect(
        host=site.host,
        port=site.port,
        dbname=name or site.database,
        user="platform",
        password=password,
        connect_timeout=10,
        autocommit=True,
    )


def ask(told: Outputs, query: str, database: str | None = None) -> list[tuple[object, ...]]:
    site = told.sites["east"]
    with connect(site.postgres, site.credentials_file, database) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def databases(told: Outputs) -> list[object]:
    found = ask(
        told, "SELECT datname FROM pg_database WHERE datname LIKE 'platform_r%' ORDER BY 1", "postgres"
    )
    return [name for (name,) in found]


def served(engine: docker.DockerClient, settings: StackSettings) -> dict[str, str]:
    """The run that each service was told to serve."""
    return {
        name: json.loads(run)["settings"]["run"]
        for name in ("east-platform", "east-worker", "west-agent")
        for run in [read(engine, f"{settings.name}-{name}", "/etc/cutover/service.json")]
    }


def run_of(told: Outputs) -> str:
    return told.sites["east"].postgres.database.removeprefix("platform_")


def read(engine: docker.DockerClient, container: str, path: str) -> str:
    _, output = engine.containers.get(container).exec_run(["cat", path], user="root")
    assert isinstance(output, bytes)
    return output.decode()


async def test_drills_have_runs_of_their_own_and_give_the_stack_back_with_its_data(
    state: StateFolder, settings: StackSettings, engine: docker.DockerClient
) -> None:
    before = made_by_pulumi(engine, settings)
    up = json.loads(call("stack", "up", "--stack", f"pulumi:{settings.name}", "--json").stdout)
    published = Path(up["details"]["outputs"])
    told = Outputs.from_json(published.read_text())
    until("all is ready", lambda: not not_ready(settings.name))
    ask(told, "CREATE TABLE kept AS SELECT 'written before the drills' AS said")
    stack = await bring_up.of_pulumi(settings.name)
    try:
        mine = stack.outputs()
        assert mine.sites["east"].postgres.database not in (
            "platform_r1",
            told.sites["west"].postgres.database,
        )
        assert ask(mine, "SELECT to_regclass('kept')") == [(None,)]
        assert set(served(engine, settings).values()) == {stack.run}
        with pytest.raises(StackInUse):
            await bring_up.of_pulumi(settings.name)
        await stack.kill_site("west")
    finally:
        await stack.close()
    assert made_by_pulumi(engine, settings) == before
    until("all is ready", lambda: not not_ready(settings.name))
    assert set(served(engine, settings).values()) == {"r1"}
    assert databases(told) == ["platform_r1"]
    assert ask(told, "SELECT said FROM kept") == [("written before the drills",)]
    assert Outputs.from_json(published.read_text()) == told
    assert free(state, state.stack(settings.name))


async def test_what_it_printed_is_enough_for_drills_on_a_machine_without_pulumi(
    state: StateFolder,
    settings: StackSettings,
    engine: docker.DockerClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = made_by_pulumi(engine, settings)
    (tmp_path / "bin" / "pulumi").unlink()
    printed = tmp_path / "outputs.json"
    printed.write_text(json.dumps(outputs(settings)))
    stack = await drills_on(print, Where(stack=str(printed)))
    try:
        assert set(served(engine, settings).values()) == {run_of(stack.outputs())}
        await stack.kill_site("east")
    finally:
        await stack.close()
    assert made_by_pulumi(engine, settings) == before
    assert set(served(engine, settings).values()) == {"r1"}
    assert free(state, state.stack(settings.name))


async def test_what_another_stack_of_its_name_printed_does_not_strike_it(
    state: StateFolder, settings: StackSettings, engine: docker.DockerClient, tmp_path: Path
) -> None:
    before = made_by_pulumi(engine, settings)
    printed = tmp_path / "outputs.json"
    printed.write_text(json.dumps({**outputs(settings), KEY: "of somebody else, and as long"}))
    with pytest.raises(StackError, match="another one of that name"):
        await drills_on(print, Where(stack=str(printed)))
    assert made_by_pulumi(engine, settings) == before
    assert not state.stack(settings.name).path.exists()


async def test_a_harness_killed_on_it_leaves_no_rule_and_stack_up_gives_the_stack_back(
    state: StateFolder, settings: StackSettings, engine: docker.DockerClient
) -> None:
    before = made_by_pulumi(engine, settings)
    folder = state.stack(settings.name)
    with harness("of_pulumi", settings.name) as break_and_kill:
        break_and_kill()
        until("the supervisor ends with its harness", lambda: free(state, folder))
        assert rules_of(settings.name)
        assert key_file(folder).exists()
        assert settings.name in bring_up.reap(state, Engine(engine))
    assert rules_of(settings.name) == []
    assert not folder.reach.exists()
    assert made_by_pulumi(engine, settings) == before
    assert is_lent(settings.name)
    given_back = call("stack", "up", "--stack", f"pulumi:{settings.name}")
    assert "it is given back" in given_back.stderr
    assert not is_lent(settings.name)
    until("all is ready", lambda: not not_ready(settings.name))
    assert set(served(engine, settings).values()) == {"r1"}


async def test_taking_all_down_ends_a_harness_on_it_and_leaves_the_containers(
    state: StateFolder, settings: StackSettings, engine: docker.DockerClient
) -> None:
    before = made_by_pulumi(engine, settings)
    with harness("of_pulumi", settings.name):
        told = json.loads(call("stack", "down", "--all", "--json").stdout)["details"]
        assert told["kept"] == [f"pulumi:{settings.name}"]
        assert settings.name not in told["down"]
    assert is_lent(settings.name), "it still serves a run of drills"
    assert made_by_pulumi(engine, settings) == before
    stack = await bring_up.of_pulumi(settings.name)
    await stack.down()
    assert not state.stack(settings.name).path.exists()
    assert set(served(engine, settings).values()) == {"r1"}


async def test_a_stack_of_the_applier_of_the_same_name_fails_and_takes_nothing_of_pulumi_with_it(
    state: StateFolder, settings: StackSettings, engine: docker.DockerClient
) -> None:
    before = made_by_pulumi(engine, settings)
    refused = subprocess.run(
        [CUTOVER, "stack", "up", "--stack", f"docker:{settings.name}"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )
    assert refused.returncode == 12, refused.stderr
    assert "the engine has a stack" in refused.stderr
    assert made_by_pulumi(engine, settings) == before
    assert state.stacks() == []
