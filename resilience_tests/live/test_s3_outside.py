"""A stack whose object store stands outside: the way there dies with each site, and nothing stays there."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from cutover.adapters.s3.address import S3Address
from cutover.adapters.s3.objects import S3Objects
from cutover.errors import SiteUnreachable
from cutover.model.outputs import ANY_KEYS, PATHS, Credentials
from drill.drills import Drill
from drill.live.stacks import Where
from drill.live.suite import Suite
from drill.live.unsynced import NAME
from drill.verdict import Verdict
from drill.workload.clients import Amount
from infra.disks.loop import why_impossible
from infra.embedded.errors import NoS3Server, StackError
from infra.embedded.processes import identify, marked_with, wait_gone
from infra.embedded.services import Services
from infra.embedded.stack import EmbeddedStack, reap
from infra.embedded.state import StateFolder
from infra.s3_engines.outside import ACCESS, KEYS, REGION, SECRET
from resilience_tests.contract.front.tls import make_certificate, serving
from resilience_tests.contract.s3.place import Account, connected
from resilience_tests.contract.s3.servers import (
    own_server,
    versitygw_at_hand,
    versitygw_server,
)
from resilience_tests.live.commands import CUTOVER
from resilience_tests.live.test_s3_engines import body_of

NOTHING_ELSE = Services(platform=None, worker=None, agent=None, coordinator=None)
CHECKOUT = Path(__file__).parents[2]
NEIGHBOUR = "cutover-main-00000001-east-r1"
"""Somebody else's bucket, with a name that could be one of ours."""

DEADLINE = 60.0
SMALL = Amount(uploads=40, others=300)

HOLD = """
import asyncio, sys
from infra.embedded.stack import EmbeddedStack
from resilience_tests.live.test_s3_outside import NOTHING_ELSE

async def hold():
    await EmbeddedStack.up(sys.argv[1], services=NOTHING_ELSE, s3_server=sys.argv[2])
    print("up", flush=True)
    await asyncio.Event().wait()

asyncio.run(hold())
"""


@pytest.fixture(params=["own", *(["versitygw"] if versitygw_at_hand() else [])])
def account(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Account]:
    """Somebody's server, with a neighbour's bucket; in the end there is that, as it was, and nothing else."""
    with ExitStack() as closing:
        program = versitygw_at_hand()
        if request.param == "versitygw":
            assert program is not None
            found = closing.enter_context(versitygw_server(tmp_path, program))
            monkeypatch.setenv(KEYS, PATHS)
        else:
            found = closing.enter_context(own_server(tmp_path)).account
            monkeypatch.delenv(KEYS, raising=False)
        monkeypatch.setenv(ACCESS, found.access_key)
        monkeypatch.setenv(SECRET, found.secret)
        monkeypatch.setenv(REGION, found.region)
        client = closing.enter_context(connected(found))
        client.create_bucket(Bucket=NEIGHBOUR)
        client.put_object(Bucket=NEIGHBOUR, Key="theirs", Body=b"theirs")
        yield found
        assert client.get_object(Bucket=NEIGHBOUR, Key="theirs")["Body"].read() == b"theirs"
        assert [one["Name"] for one in client.list_buckets()["Buckets"]] == [NEIGHBOUR]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    """Our own server as somebody's."""
    with own_server(tmp_path) as server:
        monkeypatch.setenv(ACCESS, server.account.access_key)
        monkeypatch.setenv(SECRET, server.account.secret)
        yield server.account


def buckets_at(account: Account) -> set[str]:
    with connected(account) as client:
        return {one["Name"] for one in client.list_buckets()["Buckets"]}


@asynccontextmanager
async def store_of(stack: EmbeddedStack, site: str) -> AsyncIterator[S3Objects]:
    at = stack.outputs().sites[site]
    pair = Credentials.from_json(Path(at.credentials_file).read_text()).s3
    store = S3Objects(S3Address.of(at.s3, pair), site)
    try:
        yield store
    finally:
        await store.close()


async def test_the_store_of_a_site_is_gone_with_the_site_and_back_with_it(account: Account) -> None:
    stack = await EmbeddedStack.up(services=NOTHING_ELSE, s3_server=account.endpoint)
    try:
        async with store_of(stack, "east") as east, store_of(stack, "west") as west:
            assert await east.prove_conditions() == []
            assert await east.put_if_absent("key", body_of(1))
            assert not await west.equals("key", body_of(1), None)
            await stack.kill_site("east")
            with pytest.raises(SiteUnreachable):
                await east.head("key")
            assert await west.put_if_absent("key", body_of(2))
            await stack.restart_site("east")
            assert await east.equals("key", body_of(1), None)
            with pytest.raises(StackError, match="no faults to ask for"):
                await stack.s3_fault("east", "slow")
        for site in stack.outputs().sites.values():
            assert (site.s3.region, site.s3.keys) == (account.region, os.environ.get(KEYS, ANY_KEYS))
        before = buckets_at(account)
        await stack.kill("west/s3")
        await stack.fresh()
        assert len(buckets_at(account) & before) == 2  # the witness' and the neighbour's
        async with store_of(stack, "west") as west:
            assert await west.put_if_absent("key", body_of(1))
    finally:
        await stack.down()


@asynccontextmanager
async def behind_tls(account: Account, certificate: Path) -> AsyncIterator[str]:
    """What many put before such a server: it speaks TLS, and passes requests on. Its URL."""
    address = urlsplit(account.endpoint)

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(address.hostname, address.port)
        with suppress(ConnectionError):
            await asyncio.gather(one_way(reader, far_writer), one_way(far_reader, writer))

    async def one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=serving(certificate))
    yield f"https://localhost:{server.sockets[0].getsockname()[1]}"
    server.close()


async def test_a_server_behind_tls_is_used_when_somebody_vouches_for_it(
    own: Account, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    async with behind_tls(own, certificate) as url:
        with pytest.raises(NoS3Server, match="certificate verify failed"):
            await EmbeddedStack.up(services=NOTHING_ELSE, s3_server=url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        stack = await EmbeddedStack.up(services=NOTHING_ELSE, s3_server=url)
        try:
            async with store_of(stack, "west") as west:
                assert await west.put_if_absent("key", body_of(1))
                assert await west.equals("key", body_of(1), None)
        finally:
            await stack.down()
    assert buckets_at(own) == set()


def command(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run `cutover stack ...` in a process of its own, without the account unless it is given."""
    known = {name: value for name, value in os.environ.items() if name not in (ACCESS, SECRET)}
    return subprocess.run(
        [CUTOVER, "stack", *words],
        cwd=CHECKOUT,
        env={**known, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=DEADLINE,
    )


def test_a_kept_stack_is_used_and_taken_down_by_processes_that_were_told_no_account(own: Account) -> None:
    """And no command line, environment, log or description shows the secret."""
    name = f"kept-{os.getpid()}"
    told = {ACCESS: own.access_key, SECRET: own.secret}
    made = command("up", "--stack", f"embedded:{name}", "--s3-server", own.endpoint, **told)
    try:
        assert made.returncode == 0, made.stderr
        seen = command("status", "--stack", f"embedded:{name}", "--json")
        assert json.loads(seen.stdout)["sites"]["east"]["s3"]["bucket"] in buckets_at(own)
        folder = StateFolder.open().stack(name).path
        readable = [path for path in folder.rglob("*") if path.is_file()]
        shown = [path.name for path in readable if own.secret in path.read_text(errors="replace")]
        assert {one for one in shown if not one.endswith(".json")} == set()
        assert {"stack.json", "buckets.json", "outputs.json", "operator.json"}.isdisjoint(shown)
        assert all((folder / "credentials" / one).stat().st_mode & 0o077 == 0 for one in shown)
        for pid in marked_with(str(folder)):
            for kind in ("cmdline", "environ"):
                assert own.secret.encode() not in Path(f"/proc/{pid}/{kind}").read_bytes()
    finally:
        gone = command("down", "--stack", f"embedded:{name}")
    assert gone.returncode == 0, gone.stderr
    assert buckets_at(own) == set()
    assert own.secret not in made.stdout + made.stderr + seen.stdout + seen.stderr + gone.stdout + gone.stderr


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://s3.example", f"{ACCESS} and {SECRET} are not set"),
        ("http://me:sesame@s3.example", "no place for a password"),
    ],
)
def test_a_stack_is_not_begun_without_a_server_and_an_account(url: str, why: str) -> None:
    name = f"none-{os.getpid()}"
    refused = command("up", "--stack", f"embedded:{name}", "--s3-server", url)
    assert refused.returncode == 12
    assert why in refused.stderr
    assert "sesame" not in refused.stderr + refused.stdout
    assert "PostgreSQL" not in refused.stderr  # the first word on a stack that is being made
    assert not StateFolder.open().stack(name).path.exists()


def held(name: str, url: str) -> "subprocess.Popen[str]":
    """A harness that has brought a stack up."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, name, url], cwd=CHECKOUT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def killed(name: str, url: str) -> None:
    """Leave what is left of a stack whose harness was killed, when all its processes are gone."""
    process = held(name, url)
    marked = marked_with(str(StateFolder.open().stack(name).path))
    members = [who for pid in marked if (who := identify(pid))]
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert wait_gone(members, DEADLINE) == []


def test_after_a_harness_was_killed_the_next_start_removes_its_buckets(
    own: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"killed-{os.getpid()}"
    killed(name, own.endpoint)
    assert len(buckets_at(own)) == 3
    monkeypatch.delenv(SECRET)
    assert name in reap()
    assert buckets_at(own) == set()


def test_what_cannot_be_removed_at_a_server_that_is_away_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"killed-{os.getpid()}"
    with own_server(tmp_path) as server:
        monkeypatch.setenv(ACCESS, server.account.access_key)
        monkeypatch.setenv(SECRET, server.account.secret)
        killed(name, server.account.endpoint)
        left = buckets_at(server.account)
    again = command("down", "--all")
    assert again.returncode == 12
    assert all(bucket in again.stderr for bucket in left)
    assert f"buckets stayed at {server.account.endpoint}" in again.stderr
    assert not StateFolder.open().stack(name).path.exists()


async def test_a_drill_holds_and_says_that_the_store_itself_was_not_judged(
    own: Account, tmp_path: Path
) -> None:
    """Of a power cut, which is about what stores keep, nobody can say more than that."""
    drills = [Drill(seed=1, fault="kill", victim="source", point="drain")]
    if why_impossible() is None:
        drills.append(Drill(seed=1, fault="power-cut", victim="source", point="drain"))
    where = Where(s3_server=own.endpoint)
    suite = Suite(drills=drills, folder=tmp_path / "report", tell=print, where=where, amount=SMALL)
    report = await suite.run()
    killed_, *cut = report.drills
    assert killed_.verdict is Verdict.HELD
    assert own.endpoint in killed_.notes[0]
    assert f"--s3-server {own.endpoint}" in killed_.repeat
    for one in cut:
        unclear = [finding for finding in one.findings if finding.verdict is not Verdict.HELD]
        assert [(found.checker, found.verdict) for found in unclear] == [(NAME, Verdict.INCONCLUSIVE)]
    assert buckets_at(own) == set()
