"""A site whose power is cut: what it acknowledged is there again, and a server that lied is found out.

Each of these needs root, a loop device and ext4; where one is missing they are skipped with the reason.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Event, Lock
from time import monotonic
from typing import Any

import boto3
import psycopg
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from cutover.model.outputs import Credentials
from drill.cli.application import run
from drill.drills import Drill
from drill.live import suite
from drill.live.services import extras_of
from drill.live.suite import Suite
from drill.report import DrillResult
from drill.verdict import Verdict
from infra.disks.loop import leftovers, why_impossible
from infra.embedded import power
from infra.embedded.errors import NoPowerCut, StackError
from infra.embedded.processes import Identity, identify, marked_with, wait_gone
from infra.embedded.services import Services
from infra.embedded.stack import EmbeddedStack, list_stacks, reap
from infra.embedded.state import StateFolder
from resilience_tests.live.power_cut_harness import LYING_STORE, WAYS

CHECKOUT = Path(__file__).parents[2]
DEADLINE = 60.0  #: seconds; only a failure waits this long
SCHEMA = "CREATE TABLE notes (id bigint PRIMARY KEY, body text NOT NULL);"
STORES_ONLY = Services(platform=None, worker=None, agent=None, coordinator=None)
ENOUGH = 300  #: acknowledged writes before the power goes
WHY_NOT = why_impossible()

needs_disks = pytest.mark.skipif(WHY_NOT is not None, reason=f"NOT TRIED, no power can be cut: {WHY_NOT}")


@pytest.fixture
async def stack(tmp_path: Path) -> AsyncIterator[EmbeddedStack]:
    schema = tmp_path / "schema.sql"
    schema.write_text(SCHEMA)
    stack = await EmbeddedStack.up(services=STORES_ONLY, schema=schema, power_cut=True)
    try:
        yield stack
    finally:
        await stack.down()


async def connect(stack: EmbeddedStack, site: str) -> psycopg.AsyncConnection:
    at = stack.outputs().sites[site]
    password = Credentials.from_json(Path(at.credentials_file).read_text()).postgres["platform"]
    return await psycopg.AsyncConnection.connect(
        host=at.postgres.host,
        port=at.postgres.port,
        dbname=at.postgres.database,
        user="platform",
        password=password.reveal(),
        connect_timeout=10,
        autocommit=True,
    )


async def rows(stack: EmbeddedStack, site: str) -> set[int]:
    async with await connect(stack, site) as platform:
        found = await (await platform.execute("SELECT id FROM notes")).fetchall()
    return {row[0] for row in found}


@dataclass(slots=True)
class Rows:
    """A client that writes one row after the other until its server is gone."""

    acknowledged: set[int] = field(default_factory=set)
    enough: asyncio.Event = field(default_factory=asyncio.Event)

    async def write(self, stack: EmbeddedStack, site: str) -> None:
        with suppress(psycopg.OperationalError):
            async with await connect(stack, site) as platform:
                for number in range(1_000_000):
                    await platform.execute("INSERT INTO notes VALUES (%s, 'x')", [number])
                    self.acknowledged.add(number)
                    if number == ENOUGH:
                        self.enough.set()


async def lost_by(stack: EmbeddedStack, *, power_cut: bool) -> int:
    """How many acknowledged rows a site lacks when it died and is back."""
    client = Rows()
    writing = asyncio.ensure_future(client.write(stack, "east"))
    await asyncio.wait_for(client.enough.wait(), DEADLINE)
    await (stack.power_cut_site("east") if power_cut else stack.kill_site("east"))
    await writing
    await stack.restart_site("east")
    lost = client.acknowledged - await rows(stack, "east")
    how = "power cut" if power_cut else "kill"
    settings = stack.description.extra("east/postgres")
    print(f"{how}, {settings}: {len(lost)} of {len(client.acknowledged)} lost")  # noqa: T201 - shown with -s
    return len(lost)


@needs_disks
async def test_a_database_loses_no_acknowledged_row_by_a_power_cut(stack: EmbeddedStack) -> None:
    assert await lost_by(stack, power_cut=True) == 0


@needs_disks
async def test_without_fsync_a_kill_loses_nothing_and_a_power_cut_does(stack: EmbeddedStack) -> None:
    """That a plain kill proves nothing of durability is why there are power cuts."""
    await stack.fresh(extras=extras_of("fsync-off"))
    assert await lost_by(stack, power_cut=False) == 0
    await stack.fresh()
    assert await lost_by(stack, power_cut=True) > 0


@needs_disks
async def test_without_synchronous_commit_a_power_cut_loses_acknowledged_rows(stack: EmbeddedStack) -> None:
    await stack.fresh(extras=extras_of("synchronous-commit-off"))
    assert await lost_by(stack, power_cut=True) > 0


@needs_disks
async def test_a_server_keeps_the_settings_of_its_run_and_no_longer(stack: EmbeddedStack) -> None:
    async def fsync() -> str:
        async with await connect(stack, "east") as platform:
            (value,) = await (await platform.execute("SHOW fsync")).fetchone() or ("",)
        return str(value)

    assert await fsync() == "on"
    await stack.fresh(extras={"postgres": {"fsync": "off"}})
    await stack.power_cut_site("east")
    await stack.restart_site("east")
    assert await fsync() == "off"
    await stack.fresh(extras={})
    assert await fsync() == "on"


# -- the object store


class Objects:
    """Clients that put one object after the other until their store is gone."""

    CLIENTS = 6
    SIZES = (0, 100, 5_000, 300_000)  #: bytes: in the index, and in files of their own

    def __init__(self, client: Any, bucket: str) -> None:
        self.client, self.bucket = client, bucket
        self.acknowledged: dict[str, int] = {}
        self.enough = Event()
        self._lock = Lock()

    @classmethod
    def at(cls, stack: EmbeddedStack, site: str) -> "Objects":
        at = stack.outputs(site).sites[site]
        keys = Credentials.from_json(Path(at.credentials_file).read_text()).s3
        client = boto3.client(
            "s3",
            endpoint_url=at.s3.endpoint,
            region_name=at.s3.region,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=keys.secret_key.reveal(),
            config=Config(retries={"total_max_attempts": 1}, max_pool_connections=cls.CLIENTS),
        )
        return cls(client, at.s3.bucket)

    def body(self, key: str) -> bytes:
        random = Random(key)
        return random.randbytes(random.choice(self.SIZES))

    def write(self, who: int) -> None:
        for number in range(1_000_000):
            key = f"{who}/{number}"
            try:
                self.client.put_object(Bucket=self.bucket, Key=key, Body=self.body(key))
            except (BotoCoreError, ClientError):
                return
            with self._lock:
                self.acknowledged[key] = number
                if len(self.acknowledged) == ENOUGH:
                    self.enough.set()

    def missing(self) -> list[str]:
        """The acknowledged keys that are gone, or whose bytes are others."""
        return [key for key in self.acknowledged if self._read(key) != self.body(key)]

    def _read(self, key: str) -> bytes | None:
        try:
            return bytes(self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read())
        except (BotoCoreError, ClientError):
            return None


async def objects_lost_by_power_cut(stack: EmbeddedStack) -> list[str]:
    """The keys of acknowledged objects that a site lacks when its power is back."""
    objects = Objects.at(stack, "east")
    with ThreadPoolExecutor(Objects.CLIENTS) as clients:
        for who in range(Objects.CLIENTS):
            clients.submit(objects.write, who)
        assert await asyncio.to_thread(objects.enough.wait, DEADLINE)
        await stack.power_cut_site("east")
    await stack.restart_site("east")
    lost = await asyncio.to_thread(objects.missing)
    print(f"{len(lost)} of {len(objects.acknowledged)} objects lost")  # noqa: T201 - shown with -s
    objects.client.close()
    return lost


@needs_disks
async def test_the_object_store_loses_no_acknowledged_object_by_a_power_cut(stack: EmbeddedStack) -> None:
    assert await objects_lost_by_power_cut(stack) == []


@needs_disks
async def test_an_object_store_that_does_not_sync_is_found_out(stack: EmbeddedStack) -> None:
    await stack.stop("east/s3")
    await stack.start("east/s3", entry=LYING_STORE)
    assert await objects_lost_by_power_cut(stack) != []


# -- what is left behind


def processes_of(folder: Path) -> Collection[Identity]:
    return [who for pid in marked_with(str(folder)) if (who := identify(pid))]


@needs_disks
async def test_a_fresh_run_gives_a_site_its_power_back_first(stack: EmbeddedStack) -> None:
    await stack.power_cut_site("west")
    await stack.fresh()
    assert await rows(stack, "west") == set()


@needs_disks
async def test_a_stack_that_goes_down_without_power_leaves_no_disk() -> None:
    stack = await EmbeddedStack.up(services=STORES_ONLY, power_cut=True)
    try:
        assert len(leftovers(stack.folder.path)) == 2
        await stack.power_cut_site("east")
    finally:
        await stack.down()
    assert leftovers(stack.folder.path) == []
    assert not stack.folder.path.exists()
    assert not stack.folder.reach.exists()


def wait_for(there: Callable[[], bool]) -> None:
    deadline = monotonic() + DEADLINE
    while not there():
        assert monotonic() < deadline


@contextmanager
def killed_harness(name: str, way: str) -> Iterator[None]:
    """A harness of its own that was killed in the middle of a power cut."""
    argv = [sys.executable, "-m", "resilience_tests.live.power_cut_harness", name, way]
    process = subprocess.Popen(argv, cwd=CHECKOUT, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"cut\n"
        process.send_signal(signal.SIGKILL)
        process.wait(DEADLINE)
        yield
    finally:
        process.kill()
        process.wait(DEADLINE)
        process.stdout.close()


@needs_disks
@pytest.mark.parametrize("way", WAYS)
def test_a_harness_that_is_killed_in_a_power_cut_leaves_nothing_once_another_starts(way: str) -> None:
    name = "power-cut-killed"
    folder = StateFolder.open().stack(name)
    with killed_harness(name, way):
        assert len(leftovers(folder.path)) == 2
        assert wait_gone(list(processes_of(folder.path)), DEADLINE) == []
        reap()
        assert leftovers(folder.path) == []
        assert not folder.path.exists()
        assert name not in list_stacks()


FIRST_THREAD_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
print("there", flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_process_is_not_taken_for_dead_while_one_of_its_threads_is_stuck() -> None:
    """As one that was killed in a write to a disk without power: its port and its files are still held."""
    with subprocess.Popen([sys.executable, "-c", FIRST_THREAD_ENDS], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"there\n"
            who = identify(process.pid)
            assert who is not None
            wait_for(lambda: Path(f"/proc/{who.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z")
            assert who.alive
            assert wait_gone([who], 0.0) == [who]
        finally:
            process.kill()
        assert wait_gone([who], DEADLINE) == []


# -- where it is impossible


async def test_a_stack_without_disks_keeps_its_power_and_says_why() -> None:
    stack = await EmbeddedStack.up(services=STORES_ONLY)
    try:
        with pytest.raises(StackError, match="east has no disk of its own"):
            await stack.power_cut_site("east")
    finally:
        await stack.down()


async def test_where_no_power_can_be_cut_no_stack_is_brought_up_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(power, "why_impossible", lambda: "only root can")
    with pytest.raises(NoPowerCut, match="only root can"):
        await EmbeddedStack.up("never-up", power_cut=True)
    assert "never-up" not in list_stacks()


def test_where_no_power_can_be_cut_the_drill_is_refused_and_the_reason_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(suite, "why_impossible", lambda: "only root can")
    words = ["--fault", "power-cut", "--victim", "source", "--at", "drain"]
    assert run(["run", "--fidelity", "live", *words, "--report", str(tmp_path / "report")]) == 12
    assert "'power-cut source at drain' was not run: only root can" in capsys.readouterr().err
    assert run(["gate", "--drills", "power-cut", "--report", str(tmp_path / "report")]) == 12
    assert not (tmp_path / "report").exists()


# -- drills


async def drilled(folder: Path, *drills: Drill) -> list[DrillResult]:
    """What becomes of each, one after the other on one stack."""
    report = await Suite(drills=drills, folder=folder, tell=print).run()
    return list(report.drills)


def told(result: DrillResult) -> str:
    found = [one for one in result.findings if one.verdict is not Verdict.HELD]
    return f"{result.name}: {[(one.checker, one.verdict.value, *one.witnesses[:2]) for one in found]}"


def verdict_of(result: DrillResult, checker: str) -> Verdict:
    return next(one.verdict for one in result.findings if one.checker == checker)


@needs_disks
async def test_a_migration_survives_a_power_cut_of_its_source(tmp_path: Path) -> None:
    drill = Drill(seed=1, fault="power-cut", victim="source", point="drain")
    (result,) = await drilled(tmp_path, drill)
    assert result.verdict is Verdict.HELD, told(result)


@needs_disks
async def test_a_database_without_fsync_is_caught_by_the_power_cut_and_not_by_the_kill(
    tmp_path: Path,
) -> None:
    """The site that serves dies: what clients were told there is nowhere else yet."""
    killed, cut = await drilled(
        tmp_path,
        Drill(seed=1, fault="kill", victim="target", point="soak", plant="fsync-off"),
        Drill(seed=1, fault="power-cut", victim="target", point="soak", plant="fsync-off"),
    )
    assert verdict_of(killed, "acknowledged") is Verdict.HELD, told(killed)
    assert killed.verdict is not Verdict.VIOLATED, told(killed)
    assert verdict_of(cut, "acknowledged") is Verdict.VIOLATED, told(cut)
