"""Drills take a stack that stands, and give it back as it was: its run, its data, its links."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from cutover.model.outputs import Credentials, ObjectStore, Outputs
from drill.cli.application import run as command
from drill.drills import Drill
from drill.live.stacks import SCHEMA, Where, bring_up
from drill.live.suite import Suite
from drill.planted import LIVE
from drill.verdict import Verdict
from infra.embedded.buckets import Door
from infra.embedded.errors import NoSuchStack, StackError, StackInUse
from infra.embedded.lent import LentStack
from infra.embedded.loan import Loan, held, is_lent
from infra.embedded.processes import identify, wait_gone
from infra.embedded.stack import EmbeddedStack
from infra.embedded.state import StackFolder, StateFolder

CHECKOUT = Path(__file__).parents[2]
CUTOVER = str(Path(sys.executable).parent / "cutover")
NAMED = "embedded:standing"
DEADLINE = 60.0  #: seconds; only a failure waits this long

BORROW_AND_BREAK = """
import asyncio, sys
from drill.live.stacks import Where, bring_up

async def main():
    stack = await bring_up(lambda _: None, Where(stack=sys.argv[1]), plant=sys.argv[2] or None)
    await stack.cut("east-west")
    await stack.kill_site("west")
    print("broken", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@dataclass(frozen=True)
class Owned:
    """A stack of somebody's, and all that is to be the same after drills on it."""

    folder: StackFolder
    told: Outputs
    described: str

    @property
    def outputs(self) -> Path:
        return self.folder.path / "outputs.json"


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Owned]:
    """A stack as `cutover stack up` leaves it, with a table and an object of its owner's at both sites.

    One for all tests: each leaves it as it was.
    """
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("CUTOVER_STATE", str(tmp_path_factory.mktemp("lent") / "state"))
        environment.delenv("CUTOVER_STACK", raising=False)
        up = command_line("stack", "up", "--stack", NAMED)
        assert up.returncode == 0, up.stderr
        folder = StateFolder.open().stack("standing")
        told = Outputs.from_json((folder.path / "outputs.json").read_text())
        try:
            for site, at in told.sites.items():
                ask(told, site, "CREATE TABLE kept AS SELECT 'before the drills' AS said")
                assert (
                    door(at.s3, at.credentials_file).ask("PUT", "/content-r1/kept", body=b"also").status
                    == 200
                )
            yield Owned(folder, told, folder.description.read_text())
        finally:
            command_line("stack", "down", "--stack", NAMED)


def command_line(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [CUTOVER, *words], cwd=CHECKOUT, capture_output=True, text=True, timeout=DEADLINE, check=False
    )


@contextmanager
def killed_in_the_middle(plant: str = "") -> Iterator[None]:
    """A harness that has borrowed the stack and broken it; it is killed at the end."""
    argv = [sys.executable, "-c", BORROW_AND_BREAK, NAMED, plant]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout is not None
        assert harness.stdout.readline() == "broken\n"
        yield
        harness.send_signal(signal.SIGKILL)


def ask(told: Outputs, site: str, query: str) -> list[tuple[object, ...]]:
    at = told.sites[site]
    password = Credentials.from_json(Path(at.credentials_file).read_text()).postgres["platform"].reveal()
    with psycopg.connect(
        host=at.postgres.host,
        port=at.postgres.port,
        dbname=at.postgres.database,
        user="platform",
        password=password,
        connect_timeout=10,
        autocommit=True,
    ) as connection:
        cursor = connection.execute(query.encode())
        return cursor.fetchall() if cursor.description else []


def door(store: ObjectStore, credentials: str) -> Door:
    pair = Credentials.from_json(Path(credentials).read_text()).s3
    return Door(endpoint=store.endpoint, region=store.region, pair=pair)


def stores(told: Outputs) -> list[tuple[Door, str]]:
    """Each place's server, with the one bucket that it had before the drills."""
    sites = [(at.s3, at.credentials_file) for at in told.sites.values()]
    places = [*sites, (told.witness.s3, told.witness.credentials_file)]
    return [(door(store, credentials), store.bucket) for store, credentials in places]


async def must_be_as_before(owned: Owned) -> None:
    folder, told = owned.folder, owned.told
    assert not is_lent(folder)
    assert folder.description.read_text() == owned.described
    assert Outputs.from_json(owned.outputs.read_text()) == told
    for site in told.sites:
        assert ask(told, site, "SELECT said FROM kept") == [("before the drills",)]
        named = ask(told, site, "SELECT datname FROM pg_database WHERE datname LIKE 'platform_r%'")
        assert named == [("platform_r1",)]
        seen_there = json.loads((folder.path / "outputs" / f"{site}.json").read_text())
        assert seen_there["sites"]["east"]["postgres"]["database"] == "platform_r1"
    for server, bucket in stores(told):
        assert re.findall("<Name>(.*?)</Name>", server.ask("GET", "/").text) == [bucket]
        kept = re.findall("<Key>(.*?)</Key>", server.ask("GET", f"/{bucket}", "list-type=2").text)
        assert [key for key in kept if not key.startswith("standing/r1/")] == ["kept"] * (bucket != "witness")
    stack = await EmbeddedStack.attach(folder.name)
    status = await stack.status()
    await stack.close()
    assert len(status["processes"]) == 12, "nothing that the drills ran is told of"
    assert all(one["ready"] and not one["paused"] for one in status["processes"])
    assert {route["mode"] for route in status["routes"]} == {"open"}


async def test_a_drill_on_its_outputs_holds_and_leaves_it_as_it_was(standing: Owned, tmp_path: Path) -> None:
    where = Where(stack=str(standing.outputs))
    drill = Drill(seed=3, fault="kill", victim="source", point="drain")
    report = await Suite(drills=[drill], folder=tmp_path / "report", tell=print, where=where).run()
    (result,) = report.drills
    assert result.verdict is Verdict.HELD, result.findings
    assert f" --stack {where.stack}" in result.repeat
    await must_be_as_before(standing)


async def test_a_killed_harness_leaves_it_lent_until_it_is_given_back(standing: Owned) -> None:
    with killed_in_the_middle():
        with pytest.raises(StackInUse, match="another harness drills on standing"):
            await LentStack.borrow("standing", schema=SCHEMA)
        refused = command_line("stack", "down", "--stack", NAMED)
        assert (refused.returncode, "a harness drills on standing" in refused.stderr) == (12, True)
    assert is_lent(standing.folder)
    given_back = command_line("stack", "up", "--stack", NAMED)
    assert (given_back.returncode, "it was given back" in given_back.stderr) == (0, True)
    await must_be_as_before(standing)


async def test_what_a_killed_harness_left_is_not_taken_for_the_stack_as_it_was(standing: Owned) -> None:
    with killed_in_the_middle():
        pass
    next_one = await bring_up(print, Where(stack=NAMED))
    await next_one.close()
    await must_be_as_before(standing)


async def test_what_it_cannot_carry_is_said_before_anything_is_changed(
    standing: Owned, tmp_path: Path
) -> None:
    where = Where(stack=NAMED)
    with pytest.raises(StackError, match="has no disks whose power can be cut"):
        await bring_up(print, where, power_cut=True)
    other = tmp_path / "other.sql"
    other.write_text("CREATE TABLE notes (id bigint PRIMARY KEY)")
    with pytest.raises(StackError, match="drills run the sample platform"):
        await LentStack.borrow("standing", schema=other)
    with pytest.raises(StackError, match="databases of a stack that stands keep their settings"):
        await bring_up(print, where, plant="fsync-off")
    await must_be_as_before(standing)


@pytest.mark.usefixtures("standing")
def test_nothing_is_kept_of_drills_on_a_stack_that_stays(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["gate", "--stack", NAMED, "--keep-stack"]) == 64
    assert "stays anyway" in capsys.readouterr().err


async def test_what_a_killed_harness_planted_is_not_what_the_next_one_runs(standing: Owned) -> None:
    plant = next(one.name for one in LIVE.values() if "worker" in one.processes and not one.database)
    with killed_in_the_middle(plant):
        assert plant in standing.folder.description.read_text()
    next_one = await bring_up(print, Where(stack=NAMED))
    try:
        assert plant not in standing.folder.description.read_text()
    finally:
        await next_one.close()
    await must_be_as_before(standing)


def test_a_stack_that_does_not_stay_or_is_drilled_on_by_its_owner_is_not_lent(
    standing: Owned, tmp_path: Path
) -> None:
    with held(standing.folder), pytest.raises(StackInUse):
        Loan.take(standing.folder)
    folder = StackFolder("passing", tmp_path, tmp_path)
    (tmp_path / "outputs.json").write_text("{}")
    folder.description.write_text('{"keep": false}')
    with pytest.raises(NoSuchStack):
        Loan.take(folder)


def test_when_it_died_while_it_was_lent_another_takes_its_place(standing: Owned) -> None:
    """The last of these tests: what stood is gone, and what comes up is empty."""
    with killed_in_the_middle():
        supervisor = json.loads(standing.folder.processes.read_text())["supervisor"]
        dying = identify(supervisor["pid"])
        assert dying is not None
        os.kill(dying.pid, signal.SIGKILL)
        assert wait_gone([dying], DEADLINE) == []
    up = command_line("stack", "up", "--stack", NAMED)
    assert up.returncode == 0, up.stderr
    assert not is_lent(standing.folder)
    told = Outputs.from_json(standing.outputs.read_text())
    assert ask(told, "east", "SELECT to_regclass('kept')") == [(None,)]
