"""Drills take a stack that stands, and give it back as it was: its run, its data, its links."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from cutover.model.outputs import Credentials, ObjectStore, Outputs
from drill.cli.application import run as command
from drill.drills import Drill
from drill.live.stacks import SCHEMA, Where, bring_up
from drill.live.suite import Suite
from drill.verdict import Verdict
from infra.embedded.buckets import Door
from infra.embedded.errors import StackError, StackInUse
from infra.embedded.lent import LentStack
from infra.embedded.loan import is_lent
from infra.embedded.stack import EmbeddedStack

CHECKOUT = Path(__file__).parents[2]
CUTOVER = str(Path(sys.executable).parent / "cutover")
DEADLINE = 60.0  #: seconds; only a failure waits this long

BORROW_AND_BREAK = """
import asyncio, sys
from drill.live.stacks import Where, bring_up

async def main():
    stack = await bring_up(lambda _: None, Where(stack=sys.argv[1]))
    await stack.cut("east-west")
    await stack.kill_site("west")
    print("broken", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def standing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[EmbeddedStack]:
    """A stack as `cutover stack up` leaves it, with a table of its owner's at both sites."""
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    stack = await EmbeddedStack.up("standing", keep=True, schema=SCHEMA)
    try:
        for site in stack.sites:
            ask(stack.outputs(), site, "CREATE TABLE kept AS SELECT 'before the drills' AS said")
            at = stack.outputs().sites[site]
            assert door(at.s3, at.credentials_file).ask("PUT", "/content-r1/kept", body=b"also").status == 200
        yield stack
    finally:
        await stack.down()


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


async def must_be_as_before(stack: EmbeddedStack, told: Outputs, described: str) -> None:
    folder = stack.folder
    assert not is_lent(folder)
    assert folder.description.read_text() == described
    assert Outputs.from_json((folder.path / "outputs.json").read_text()) == told
    for site in stack.sites:
        assert ask(told, site, "SELECT said FROM kept") == [("before the drills",)]
        named = ask(told, site, "SELECT datname FROM pg_database WHERE datname LIKE 'platform_r%'")
        assert named == [("platform_r1",)]
    for server, bucket in stores(told):
        assert re.findall("<Name>(.*?)</Name>", server.ask("GET", "/").text) == [bucket]
        kept = re.findall("<Key>(.*?)</Key>", server.ask("GET", f"/{bucket}", "list-type=2").text)
        assert [key for key in kept if not key.startswith("standing/r1/")] == ["kept"] * (bucket != "witness")
    status = await stack.status()
    assert len(status["processes"]) == 12, "nothing that the drills ran is told of"
    assert all(one["ready"] and not one["paused"] for one in status["processes"])
    assert {route["mode"] for route in status["routes"]} == {"open"}
    for site in stack.sites:
        settings = json.loads((folder.path / "outputs" / f"{site}.json").read_text())
        assert settings["sites"]["east"]["postgres"]["database"] == "platform_r1"


async def test_a_drill_on_its_outputs_holds_and_leaves_it_as_it_was(
    standing: EmbeddedStack, tmp_path: Path
) -> None:
    told, described = standing.outputs(), standing.folder.description.read_text()
    where = Where(stack=str(standing.folder.path / "outputs.json"))
    drill = Drill(seed=3, fault="kill", victim="source", point="drain")
    report = await Suite(drills=[drill], folder=tmp_path / "report", tell=print, where=where).run()
    (result,) = report.drills
    assert result.verdict is Verdict.HELD, result.findings
    assert f" --stack {where.stack}" in result.repeat
    await must_be_as_before(standing, told, described)


async def test_a_killed_harness_leaves_it_lent_until_it_is_given_back(standing: EmbeddedStack) -> None:
    told, described = standing.outputs(), standing.folder.description.read_text()
    argv = [sys.executable, "-c", BORROW_AND_BREAK, f"embedded:{standing.name}"]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout is not None
        assert await asyncio.to_thread(harness.stdout.readline) == "broken\n"
        with pytest.raises(StackInUse, match="another harness drills on standing"):
            await LentStack.borrow(standing.name, schema=SCHEMA)
        refused = await commanded("stack", "down", "--stack", "embedded:standing")
        assert (refused.returncode, "a harness drills on standing" in refused.stderr) == (12, True)
        harness.send_signal(signal.SIGKILL)
    assert is_lent(standing.folder)
    assert (await commanded("stack", "up", "--stack", "embedded:standing")).returncode == 0
    await must_be_as_before(standing, told, described)


async def test_what_a_killed_harness_left_is_not_taken_for_the_stack_as_it_was(
    standing: EmbeddedStack,
) -> None:
    told, described = standing.outputs(), standing.folder.description.read_text()
    argv = [sys.executable, "-c", BORROW_AND_BREAK, f"embedded:{standing.name}"]
    with subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, text=True) as harness:
        assert harness.stdout is not None
        assert await asyncio.to_thread(harness.stdout.readline) == "broken\n"
        harness.send_signal(signal.SIGKILL)
    next_one = await bring_up(print, Where(stack="embedded:standing"))
    await next_one.close()
    for one in ask(told, "east", "SELECT datname FROM pg_database WHERE datname LIKE 'platform_r%'"):
        assert one == ("platform_r1",)
    await must_be_as_before(standing, told, described)


async def commanded(*words: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [CUTOVER, *words],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


async def test_what_it_cannot_carry_is_said_before_anything_is_changed(
    standing: EmbeddedStack, tmp_path: Path
) -> None:
    told, described = standing.outputs(), standing.folder.description.read_text()
    where = Where(stack="embedded:standing")
    with pytest.raises(StackError, match="has no disks whose power can be cut"):
        await bring_up(print, where, power_cut=True)
    other = tmp_path / "other.sql"
    other.write_text("CREATE TABLE notes (id bigint PRIMARY KEY)")
    with pytest.raises(StackError, match="drills run the sample platform"):
        await LentStack.borrow("standing", schema=other)
    with pytest.raises(StackError, match="databases of a stack that stands keep their settings"):
        await bring_up(print, where, plant="fsync-off")
    await must_be_as_before(standing, told, described)


def test_nothing_is_kept_of_drills_on_a_stack_that_stays(
    standing: EmbeddedStack, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["gate", "--stack", "embedded:standing", "--keep-stack"]) == 64
    assert "stays anyway" in capsys.readouterr().err
