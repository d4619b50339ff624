"""Sites that stand as plain processes: they come up, die as one, come back, and leave nothing behind."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psycopg
import psycopg2
import pytest
from psycopg import sql
from psycopg2.extras import LogicalReplicationConnection

from cutover.adapters.postgres import names
from cutover.model.outputs import Credentials, Outputs
from drill.live.field import LiveField
from drill.sample_plan import sample_plan
from infra.embedded.errors import ProcessFailed, StackError, StackInUse
from infra.embedded.processes import Identity, identify, marked_with, tree_of, wait_gone, working_in
from infra.embedded.stack import EmbeddedStack, list_stacks, reap
from infra.embedded.state import StateFolder
from resilience_tests.live.embedded_stand_ins import HERE, SERVICES

CHECKOUT = Path(__file__).parents[2]
DEADLINE = 20.0  #: seconds; only a failure waits this long

SCHEMA = "CREATE TABLE notes (id bigint PRIMARY KEY, body text NOT NULL);"


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[EmbeddedStack]:
    schema = tmp_path / "schema.sql"
    schema.write_text(SCHEMA)
    stack = await EmbeddedStack.up(services=SERVICES, schema=schema)
    try:
        yield stack
    finally:
        await stack.down()


async def connect(
    stack: EmbeddedStack, site: str, role: str = "platform", viewer: str = "operator"
) -> psycopg.AsyncConnection:
    """Connect as the outputs say, over the viewer's link."""
    at = stack.outputs(viewer).sites[site]
    password = Credentials.from_json(Path(at.credentials_file).read_text()).postgres[role].reveal()
    return await psycopg.AsyncConnection.connect(
        host=at.postgres.host,
        port=at.postgres.port,
        dbname=at.postgres.database,
        user=role,
        password=password,
        connect_timeout=10,
        autocommit=True,
    )


def refuses(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


def processes_of(stack: EmbeddedStack) -> list[Identity]:
    """Return every process that carries the stack's marker, and all that those made."""
    return [who for pid in tree_of(marked_with(str(stack.folder.path))) if (who := identify(pid))]


async def test_a_stack_is_up_with_every_process_and_goes_without_a_trace(tmp_path: Path) -> None:
    stack = await EmbeddedStack.up(services=SERVICES)
    try:
        status = await stack.status()
        assert all(one["alive"] and one["ready"] for one in status["processes"]), status
        assert {one["name"] for one in status["processes"]} == {
            "links/relays",
            "witness/s3",
            *(f"{site}/{kind}" for site in stack.sites for kind in ("postgres", "s3", "platform", "worker")),
        }
        running = processes_of(stack)
        assert len(running) > len(status["processes"])
    finally:
        await stack.down()
    assert wait_gone(running, DEADLINE) == []
    assert not stack.folder.path.exists()
    assert not stack.folder.reach.exists()
    assert stack.name not in list_stacks()


async def test_two_copied_databases_do_not_pass_for_one_another(stack: EmbeddedStack) -> None:
    identifiers = set()
    for site in stack.sites:
        async with await connect(stack, site, "cutover_admin") as admin:
            found = await admin.execute("SELECT system_identifier FROM pg_control_system()")
            identifiers.add((await found.fetchone() or [None])[0])
    assert len(identifiers) == 2


async def test_what_was_acknowledged_before_a_site_was_killed_is_there_after_its_restart(
    stack: EmbeddedStack,
) -> None:
    acknowledged: list[int] = []
    enough = asyncio.Event()

    async def write() -> None:
        async with await connect(stack, "east") as platform:
            for number in range(100_000):
                await platform.execute("INSERT INTO notes VALUES (%s, 'x')", [number])
                acknowledged.append(number)
                if number == 200:
                    enough.set()

    writer = asyncio.ensure_future(write())
    await asyncio.wait_for(enough.wait(), DEADLINE)
    death = await stack.kill_site("east")
    with pytest.raises(psycopg.OperationalError):
        await writer
    report = f"{death.processes} processes died within {death.skew_seconds * 1000:.1f} ms ({death.way})"
    print(report)  # noqa: T201 - shown with -s; a time is never asserted

    status = await stack.status()
    assert {one["name"] for one in status["processes"] if not one["alive"]} == {
        f"east/{kind}" for kind in ("postgres", "s3", "platform", "worker")
    }
    assert all(refuses(stack.description.ports[f"east/{kind}"]) for kind in ("postgres", "s3", "platform"))

    await stack.restart_site("east")
    async with await connect(stack, "east") as platform:
        found = await (await platform.execute("SELECT id FROM notes ORDER BY id")).fetchall()
    assert len(acknowledged) > 200
    assert {row[0] for row in found} >= set(acknowledged)


async def test_a_client_of_a_dead_site_is_told_at_once(stack: EmbeddedStack) -> None:
    await stack.kill_site("west")
    with pytest.raises(psycopg.OperationalError, match=r"closed|reset|refused"):
        await asyncio.wait_for(connect(stack, "west"), DEADLINE)
    async with aiohttp.ClientSession() as client:
        with pytest.raises(aiohttp.ClientConnectionError):
            await client.get(stack.outputs("clients").sites["west"].platform)


async def test_a_paused_site_answers_nobody_until_it_is_resumed(stack: EmbeddedStack) -> None:
    async with await connect(stack, "east") as platform:
        await stack.pause_site("east")
        states = {one["name"]: one["paused"] for one in (await stack.status())["processes"]}
        assert states["east/postgres"]
        assert not states["west/postgres"]
        waiting = asyncio.ensure_future(platform.execute("SELECT 1"))
        for who in (identify(pid) for pid in tree_of(await _roots(stack, "east"))):
            assert who is not None
            assert Path(f"/proc/{who.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        assert not waiting.done()
        await stack.resume_site("east")
        await asyncio.wait_for(waiting, DEADLINE)


async def _roots(stack: EmbeddedStack, place: str) -> list[int]:
    return [one["pid"] for one in (await stack.status())["processes"] if one["group"] == place]


async def test_a_paused_site_can_be_killed(stack: EmbeddedStack) -> None:
    await stack.pause_site("east")
    members = [who for pid in tree_of(await _roots(stack, "east")) if (who := identify(pid))]
    await stack.kill_site("east")
    assert wait_gone(members, DEADLINE) == []


async def test_what_is_dead_already_is_not_taken_for_killed(stack: EmbeddedStack) -> None:
    """A worker that crashed by itself before its fault struck would be taken for the fault's victim."""
    field = LiveField(stack, sample_plan(), {}, "nothing")
    await stack.kill("west/worker")
    with pytest.raises(StackError, match="not running"):
        await field.kill_process("worker")
    await field.kill_site("target")
    for strike in (field.kill_site, field.pause_site):
        with pytest.raises(ProcessFailed, match="not running"):
            await strike("target")


async def test_killing_a_service_takes_what_it_made_and_nothing_else(stack: EmbeddedStack) -> None:
    await stack.start("west/worker.2", settings={"child": True})
    pid = next(one["pid"] for one in (await stack.status())["processes"] if one["name"] == "west/worker.2")
    family = [who for one in tree_of([pid]) if (who := identify(one))]
    assert len(family) == 2
    death = await stack.kill("west/worker.2")
    assert death.processes == 2
    assert wait_gone(family, DEADLINE) == []
    assert await stack.wait_end("west/worker.2") == -signal.SIGKILL
    dead = [one["name"] for one in (await stack.status())["processes"] if not one["alive"]]
    assert dead == ["west/worker.2"]


async def test_a_service_comes_back_with_the_entry_and_settings_it_was_given(stack: EmbeddedStack) -> None:
    await stack.stop("east/platform")
    await stack.start("east/platform", settings={"marked": "yes"})
    await stack.kill_site("east")
    await stack.restart_site("east")
    assert (await _settings_of(stack, "east")).get("marked") == "yes"
    await stack.fresh()
    assert "marked" not in await _settings_of(stack, "east")


async def test_a_service_that_cannot_start_is_named(stack: EmbeddedStack) -> None:
    with pytest.raises(ProcessFailed, match=r"east/worker.3 ended with status 70"):
        await stack.start("east/worker.3", entry=f"{HERE}:broken")
    assert "planted: this service cannot start" in stack.folder.log("east/worker.3").read_text()


async def test_a_fresh_run_is_empty_and_has_names_of_its_own(stack: EmbeddedStack) -> None:
    before = stack.outputs()
    async with await connect(stack, "east") as platform:
        await platform.execute("INSERT INTO notes VALUES (1, 'old')")
    async with await connect(stack, "east", "cutover_admin") as admin:
        await admin.execute("SELECT pg_create_logical_replication_slot('left_over', 'pgoutput')")
        for name in (names.origin(before.sites["east"].postgres.database), "of_others"):
            await admin.execute("SELECT pg_replication_origin_create(%s)", [name])
    async with await connect(stack, "west") as platform:
        await platform.execute("BEGIN")
        await platform.execute("INSERT INTO notes VALUES (2, 'old')")
        await platform.execute("PREPARE TRANSACTION 'left_over'")
    await stack.pause_site("witness")
    await stack.cut("clients-east")

    with reading(stack, "east", "in_use"):
        after = await stack.fresh()

    for site in stack.sites:
        async with await connect(stack, site) as platform:
            assert await (await platform.execute("SELECT id FROM notes")).fetchall() == []
        async with await connect(stack, site, "cutover_admin") as admin:
            for left in ("pg_replication_slots", "pg_prepared_xacts"):
                query = sql.SQL("SELECT * FROM {}").format(sql.Identifier(left))
                assert await (await admin.execute(query)).fetchall() == []
            origins = await (await admin.execute("SELECT roname FROM pg_replication_origin")).fetchall()
            assert origins == ([("of_others",)] if site == "east" else [])
        settings = await _settings_of(stack, site)
        assert settings["postgres"]["database"] == after.sites[site].postgres.database
    assert after.sites["east"].s3.bucket != before.sites["east"].s3.bucket
    assert after.witness.prefix != before.witness.prefix
    assert Outputs.from_json((stack.folder.path / "outputs.json").read_text()) == after


@contextmanager
def reading(stack: EmbeddedStack, site: str, slot: str) -> Iterator[None]:
    """Hold a logical slot of a site in use, as a sync worker does."""
    at = stack.outputs().sites[site]
    password = Credentials.from_json(Path(at.credentials_file).read_text()).postgres["cutover_admin"]
    reader = psycopg2.connect(
        host=at.postgres.host,
        port=at.postgres.port,
        dbname=at.postgres.database,
        user="cutover_admin",
        password=password.reveal(),
        connection_factory=LogicalReplicationConnection,
    )
    cursor = reader.cursor()
    cursor.create_replication_slot(slot, output_plugin="pgoutput")
    cursor.start_replication(slot, options={"proto_version": "1", "publication_names": "none"})
    try:
        yield
    finally:
        reader.close()


async def _settings_of(stack: EmbeddedStack, site: str) -> dict[str, Any]:
    """Return what the stand-in platform says that it was started with."""
    url = stack.outputs("clients").sites[site].platform
    async with aiohttp.ClientSession() as client, client.get(url) as answer:
        settings: dict[str, Any] = await answer.json()
        return settings


async def test_a_fresh_run_mends_a_dead_site_first(stack: EmbeddedStack) -> None:
    await stack.kill_site("west")
    await stack.kill("links/relays")
    await stack.fresh()
    async with await connect(stack, "west") as platform:
        assert await (await platform.execute("SELECT id FROM notes")).fetchall() == []


async def test_each_role_may_do_its_work_and_no_more(stack: EmbeddedStack) -> None:
    async with await connect(stack, "east", "cutover_admin") as admin:
        await admin.execute("CREATE SCHEMA ours")
        await admin.execute(
            "CREATE FUNCTION ours.fence() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
        )
        await admin.execute(
            "CREATE TRIGGER fence BEFORE INSERT ON notes FOR EACH STATEMENT EXECUTE FUNCTION ours.fence()"
        )
        await admin.execute("ALTER TABLE notes ENABLE ALWAYS TRIGGER fence")
        await admin.execute("ALTER TABLE notes REPLICA IDENTITY FULL")
        await admin.execute("CREATE PUBLICATION ours FOR TABLE notes")
        await admin.execute("SELECT pg_create_logical_replication_slot('ours', 'pgoutput')")
        await admin.execute("SELECT * FROM pg_stat_activity")
    async with await connect(stack, "east", "cutover_applier") as applier:
        await applier.execute("SET session_replication_role = replica")
        await applier.execute("SELECT pg_replication_origin_create('ours')")
        await applier.execute("SELECT pg_replication_origin_session_setup('ours')")
        await applier.execute("SELECT pg_replication_origin_xact_setup('0/1', now())")
        await applier.execute("INSERT INTO notes VALUES (1, 'applied')")
    async with await connect(stack, "east", "checker") as checker:
        assert await (await checker.execute("SELECT body FROM notes")).fetchall() == [("applied",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await checker.execute("DELETE FROM notes")
    async with await connect(stack, "east") as platform:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await platform.execute("SET session_replication_role = replica")


async def test_no_secret_lies_where_others_can_read_it(stack: EmbeddedStack) -> None:
    secret_files = [*stack.folder.credentials.iterdir(), stack.folder.path / "outputs.json"]
    assert secret_files
    assert all(path.stat().st_mode & 0o077 == 0 for path in secret_files)
    passwords = json.loads((stack.folder.credentials / "operator-east.json").read_text())["postgres"].values()
    for pid in marked_with(str(stack.folder.path)):
        told = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
        assert not [password for password in passwords if password.encode() in told]


class Harness:
    """A process of its own that brings a stack up, so that a test can kill it."""

    def __init__(self, name: str, *arguments: str) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", HERE, name, *arguments],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )

    def wait_up(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"up\n"

    def end_if_running(self) -> None:
        if self.process.poll() is None:
            self.end(signal.SIGKILL)

    def end(self, signal_number: int) -> None:
        self.process.send_signal(signal_number)
        self.process.wait(DEADLINE)
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def harness(request: pytest.FixtureRequest) -> Callable[..., Harness]:
    def start(*arguments: str) -> Harness:
        made = Harness(f"killed-{os.getpid()}", *arguments)
        request.addfinalizer(made.end_if_running)
        made.wait_up()
        return made

    return start


def folder_of(name: str) -> str:
    return str(StateFolder.open().stack(name).path)


def everyone(name: str) -> list[Identity]:
    return [who for pid in tree_of(marked_with(folder_of(name))) if (who := identify(pid))]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
async def test_when_the_harness_dies_nothing_of_its_stack_stays(
    harness: Callable[..., Harness], how: signal.Signals
) -> None:
    killed = harness()
    members = everyone(killed.name)
    assert len(members) > 15
    killed.end(how)
    assert wait_gone(members, DEADLINE) == []
    again = await EmbeddedStack.up(killed.name, services=SERVICES)
    await again.down()


async def test_when_the_supervisor_dies_with_a_paused_site_the_next_start_clears_it(
    harness: Callable[..., Harness],
) -> None:
    killed = harness()
    members = everyone(killed.name)
    stack = await EmbeddedStack.attach(killed.name)
    await stack.pause_site("west")
    await stack.close()
    supervisor = json.loads(Path(folder_of(killed.name), "processes.json").read_text())["supervisor"]["pid"]
    os.kill(supervisor, signal.SIGKILL)
    killed.end(signal.SIGKILL)
    assert wait_gone([who for who in members if who.pid == supervisor], DEADLINE) == []
    assert killed.name in reap()
    assert wait_gone(members, DEADLINE) == []
    assert not Path(folder_of(killed.name)).exists()


async def test_frozen_children_of_a_dead_server_are_recognised(stack: EmbeddedStack) -> None:
    """Without supervisor, server and marker they are still found: by where they work."""
    server = next(one["pid"] for one in (await stack.status())["processes"] if one["name"] == "west/postgres")
    children = tree_of([server]) - {server}
    assert children
    assert not children & marked_with(str(stack.folder.path))
    assert children <= working_in(str(stack.folder.reach))


async def test_a_kept_stack_outlives_its_harness_and_is_found_again(harness: Callable[..., Harness]) -> None:
    gone = harness("keep")
    gone.end(signal.SIGKILL)
    assert gone.name not in reap()
    with pytest.raises(StackInUse):
        await EmbeddedStack.up(gone.name, services=SERVICES)
    stack = await EmbeddedStack.attach(gone.name)
    try:
        async with await connect(stack, "east") as platform:
            await platform.execute("SELECT 1")
    finally:
        members = everyone(gone.name)
        await stack.down()
    assert wait_gone(members, DEADLINE) == []


async def test_links_are_separate_for_every_viewer(stack: EmbeddedStack) -> None:
    ports = {
        urlsplit(stack.outputs(viewer).sites[site].platform).port
        for viewer in ("operator", "clients", "east", "west")
        for site in stack.sites
    }
    assert len(ports) == 8
    await stack.cut("clients-east", "refuse")
    with pytest.raises(aiohttp.ClientConnectorError):
        await _settings_of(stack, "east")
    await _settings_of(stack, "west")
    async with await connect(stack, "east"):
        pass
    await stack.heal("clients-east")
    await _settings_of(stack, "east")
