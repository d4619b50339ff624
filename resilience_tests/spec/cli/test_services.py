"""Worker, agent and coordinator as processes: what they are given, and what they wait for."""

import asyncio
import json
import socket
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest

from cutover.cli.agent import Door
from cutover.cli.answer import Outcome, answer_to
from cutover.cli.application import run
from cutover.cli.coordinator import coordinate
from cutover.cli.service import Settings, first_plan, plan_of
from cutover.engine.coordinator import Coordinator
from cutover.engine.journalling import ask, begin, state_of
from cutover.errors import BadInput, Refused, StaleTerm
from cutover.model.journal import Entry, Intent, Kind
from cutover.model.outputs import Credentials, S3Credentials
from cutover.model.secret import Secret
from cutover.model.stage import Stage
from cutover.ports.witness import Journal
from resilience_tests.spec.cli.world import PLAN, World, outputs_of

SECONDS_MAX = 20.0
"""How long a test waits for something that must happen (seconds)."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_process_says_which_setting_it_was_not_given() -> None:
    read = Settings.read({"site": "east", "outputs": "/o.json", "listen": {"host": "127.0.0.1", "port": 7}})
    assert (read.site, read.outputs, read.plan) == ("east", Path("/o.json"), None)
    assert read.listen == ("127.0.0.1", 7)
    with pytest.raises(BadInput, match="'outputs'"):
        Settings.read({"site": "east"})


async def test_without_a_plan_a_process_waits_for_the_one_that_is_begun(world: World) -> None:
    parts = world.parts(world.plan)
    world.down.add("witness")
    waiting = asyncio.ensure_future(first_plan(parts.journal))
    await asyncio.sleep(0)
    world.down.clear()
    await begin(parts)
    async with asyncio.timeout(SECONDS_MAX):
        assert await waiting == world.plan


def test_a_journal_that_begins_with_no_plan_of_ours_is_refused() -> None:
    first = Entry(n=0, term=0, kind=Kind.PLAN, nonce="n", facts={"plan": {"schema": 9}})
    with pytest.raises(Refused, match="reads schema 1, found 9"):
        plan_of(first)
    with pytest.raises(Refused, match="not a journal of ours"):
        plan_of(replace(first, kind=Kind.MOVE))


async def test_the_agent_answers_who_serves_or_that_it_does_not_know(world: World) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    door = Door("east")
    async with door.open(("127.0.0.1", port)), aiohttp.ClientSession() as client:

        async def route() -> tuple[int, dict[str, object]]:
            async with client.get(f"http://127.0.0.1:{port}/route") as answer:
                return answer.status, await answer.json()

        assert (await route())[0] == 503
        door.parts = world.parts(world.plan)
        await begin(door.parts)
        assert await route() == (200, {"site": "east", "epoch": 1})
        world.down.add("witness")
        assert (await route())[0] == 503


async def test_a_second_coordinator_takes_over_and_the_first_one_says_so(world: World) -> None:
    """The first waits for an approval that the second is given."""
    text = PLAN.replace("approve_cutover: false", "approve_cutover: true")
    waits = asyncio.Event()
    async with world.opened(world.plan_of(text), outputs_of("east", "west")) as parts:
        first = Coordinator(parts, report=lambda now: waits.set() if "approve" in now.waiting_for else None)
        running = asyncio.ensure_future(first.run())
        async with asyncio.timeout(SECONDS_MAX):
            await waits.wait()
            await ask(parts, None)
            assert await Coordinator(parts).run() is Stage.SOAK
            with pytest.raises(StaleTerm, match="another coordinator has taken over") as deposed:
                await running
    assert answer_to(deposed.value).outcome is Outcome.REFUSED


@dataclass(frozen=True, slots=True)
class Heard:
    """A journal that says when something was written to it."""

    inner: Journal
    written: asyncio.Condition

    async def append(self, entry: Entry) -> None:
        await self.inner.append(entry)
        async with self.written:
            self.written.notify_all()

    async def read(self, start: int = 0) -> list[Entry]:
        return await self.inner.read(start)


async def test_a_coordinator_that_rests_goes_on_when_an_operator_asks(world: World) -> None:
    async with world.opened(world.plan, outputs_of("east", "west")) as opened:
        written = asyncio.Condition()
        parts = replace(opened, journal=Heard(opened.journal, written))
        running = asyncio.ensure_future(coordinate(parts))
        async with asyncio.timeout(SECONDS_MAX):
            async with written:
                while (state := await state_of(parts)) is None or state.stage is not Stage.SOAK:
                    await written.wait()
            await ask(parts, Intent.COMPLETE)
            await running
        state = await state_of(parts)
        assert state is not None
        assert state.stage is Stage.COMPLETE


def real_stack(world: World) -> None:
    """Outputs and credentials for real adapters, of a stack where nothing listens."""
    outputs = outputs_of("east", "west")
    key = S3Credentials(access_key="a", secret_key=Secret("hunter2"))
    roles = {"cutover_admin": Secret("hunter2"), "cutover_applier": Secret("hunter2")}
    path = world.folder / "credentials.json"
    path.write_text(Credentials(s3=key, postgres=roles).to_json())
    path.chmod(0o600)
    sites = {name: replace(site, credentials_file=str(path)) for name, site in outputs.sites.items()}
    witness = replace(outputs.witness, credentials_file=str(path))
    (world.folder / "outputs.json").write_text(replace(outputs, sites=sites, witness=witness).to_json())


def test_real_adapters_say_that_nothing_answers(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUTOVER_STATE", str(world.folder / "state"))
    real_stack(world)
    for command in (["plan", "check", str(world.path)], ["status", "--plan", str(world.path)]):
        assert run([*command, "--json"]) == 13
        answer = json.loads(capsys.readouterr().out)
        assert answer["outcome"] == "unreachable"
        assert "'witness' cannot be reached" in answer["error"]


def test_a_credentials_file_without_a_role_is_named(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUTOVER_STATE", str(world.folder / "state"))
    real_stack(world)
    path = world.folder / "credentials.json"
    document = json.loads(path.read_text())
    del document["postgres"]["cutover_applier"]
    path.write_text(json.dumps(document))
    assert run(["status", "--plan", str(world.path), "--json"]) == 12
    answer = json.loads(capsys.readouterr().out)
    assert "has no password of role 'cutover_applier'" in answer["error"]
    assert "hunter2" not in answer["error"]
