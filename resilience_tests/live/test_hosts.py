"""Hosts of a stack of containers: fit before a drill, dead when they were killed, fit again when healed.

One stack for all of it. Every assertion is also shown to fail, on a host that is not as it should be.
"""

import asyncio
import shutil
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import docker.errors
import pytest
import pytest_asyncio
from testinfra.host import get_host  # type: ignore[import-untyped]

from infra.blueprint.addresses import LINK
from infra.containers.bring_up import up
from infra.containers.stack import ContainerStack
from infra.containers.together import freezer_of
from infra.images.errors import NoPackageSource, NoTool
from infra.topology import Service
from resilience_tests.contract.containers.field import why_not
from resilience_tests.live.hosts import by_engine, inside, postgres
from resilience_tests.live.hosts.inside import Listening, below, listening_in, processes_of, reach
from resilience_tests.live.hosts.lives import (
    NotAlive,
    NotDead,
    assert_alive,
    assert_dead,
    life_of,
    until_dead,
    until_healthy,
)
from resilience_tests.live.hosts.looks import LivingBackend, NoAnswer, look
from resilience_tests.live.hosts.of_stack import HostOfStack, Hosts
from resilience_tests.live.hosts.preflight import assert_all_fit

in_its_loop = pytest.mark.asyncio(loop_scope="module")
"""For what asks the stack itself, which belongs to the loop in which it was made."""

PATIENT = 10.0  #: seconds for a connection that must come about
IMPATIENT = 1.0  #: seconds for one that must not

MARK = "CREATE TABLE IF NOT EXISTS mark AS SELECT 'written before the kill' AS said"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack() -> AsyncIterator[ContainerStack]:
    if reason := why_not():
        pytest.skip(f"NOT TRIED, no containers here: {reason}")
    if shutil.which("docker") is None:
        pytest.skip("NOT TRIED, there is no docker command, which testinfra looks through")
    try:
        made = await up(f"hosts-{uuid.uuid4().hex[:6]}")
    except (NoTool, NoPackageSource) as error:
        pytest.skip(f"NOT TRIED, no image can be made here: {error}")
    try:
        yield made
    finally:
        await made.down()


@pytest.fixture(scope="module")
def hosts(stack: ContainerStack) -> Iterator[Hosts]:
    found = Hosts(stack)
    yield found
    found.close()


@pytest.fixture
def spare(hosts: Hosts) -> Iterator[Any]:
    """A container of the stack's image that does nothing, and may die."""
    made = _extra(hosts, "spare", entrypoint=["sleep", "infinity"])
    yield made
    made.remove(force=True, v=True)


@pytest.fixture(scope="module")
def planted(hosts: Hosts) -> Iterator[HostOfStack]:
    """A platform at east that is nothing of what was planned for it."""
    near = hosts["east/platform"]
    secret = hosts.secrets["the password of platform at east"].reveal()
    name = f"{near.blueprint.settings.name}-open"
    labels = dict(near.blueprint.settings.labels)
    outside = near.client.networks.create(name, labels=labels)
    made = _extra(
        hosts,
        "planted",
        entrypoint=["python3", "-m", "http.server", "9999"],
        environment={"PASSWORD": secret},
        network=name,
        ports={"9999/tcp": ("127.0.0.1", None)},
        volumes=["/data"],
        cap_add=["NET_ADMIN"],
        ipc_mode="host",
    )
    made.exec_run(["sh", "-c", "echo {} > /run/cutover/open.json"])
    planned = replace(near.planned, name=made.name)
    yield HostOfStack(planned, near.blueprint, near.client)
    made.remove(force=True, v=True)
    outside.remove()


def _extra(hosts: Hosts, word: str, **told: Any) -> Any:
    """Run another container of the stack's image, which goes with the stack at the latest."""
    near = hosts["east/platform"]
    settings = near.blueprint.settings
    usual: dict[str, Any] = {
        "name": f"{settings.name}-{word}-{uuid.uuid4().hex[:6]}",
        "labels": dict(settings.labels),
        "network": next(iter(near.planned.networks)),
        "init": True,
        "detach": True,
    }
    return near.client.containers.run(near.container.attrs["Image"], **{**usual, **told})


# -- before a drill


@in_its_loop
async def test_every_host_is_as_planned_before_a_drill(stack: ContainerStack, hosts: Hosts) -> None:
    everywhere = hosts.at(*stack.places)
    assert len(everywhere) == 11
    await assert_all_fit(everywhere, hosts.secrets)


PLANTED: Mapping[str, tuple[Callable[[HostOfStack], None], str]] = {
    "it is published": (by_engine.assert_published_nowhere, "publishes .*127.0.0.1"),
    "it is on a network with a way out": (by_engine.assert_networks_as_planned, "is on .*-open"),
    "it keeps capabilities": (by_engine.assert_few_rights, "drops None.*NET_ADMIN.*may gain.*IpcMode"),
    "it has a volume of its own": (by_engine.assert_mounts_as_planned, "volume.*/data.*planned is"),
    "it runs as root": (inside.assert_serves_as_user, "runs as .0."),
    "it runs another program": (inside.assert_runs_its_program, "http.server"),
    "it listens elsewhere": (inside.assert_listens, "listens at .*9999"),
    "its credentials are on a disk": (inside.assert_data_on_a_disk, "/run/cutover is no mount"),
    "its files are open": (inside.assert_files_closed, "open.json has mode 644"),
}


@pytest.mark.parametrize("wrong", PLANTED)
def test_a_host_that_is_not_as_planned_is_found_out(planted: HostOfStack, wrong: str) -> None:
    check, words = PLANTED[wrong]
    with pytest.raises(AssertionError, match=words):
        check(planted)


def test_a_secret_in_a_variable_is_found_and_not_repeated(planted: HostOfStack, hosts: Hosts) -> None:
    with pytest.raises(AssertionError, match="password of platform at east in the variables of") as found:
        by_engine.assert_secrets_untold(planted, hosts.secrets)
    assert "password of platform at east in what the engine tells" in str(found.value)
    assert not [one for one in hosts.secrets.values() if one.reveal() in str(found.value)]


def test_a_host_reaches_no_network_but_its_own(hosts: Hosts) -> None:
    """West's platform serves on west's own network, which no container of east is on."""
    serves = hosts["west/platform"].life()
    address = hosts.address("west/platform", "west")
    port = hosts["west/platform"].blueprint.addresses.port(Service.PLATFORM)
    assert reach(hosts["west/agent"], address, port, seconds=PATIENT) == "ok"
    assert reach(hosts["east/agent"], address, port, seconds=IMPATIENT) == "TimeoutError"
    assert_alive(serves)


# -- what a server says of itself


@in_its_loop
async def test_a_server_is_judged_by_what_it_does_and_not_by_its_files(hosts: Hosts) -> None:
    east = hosts["east/postgres"]
    configured = east.look().file("/run/cutover/postgresql.conf").content_string
    postgres.answer(east, "ALTER SYSTEM SET fsync = off")
    try:
        await _reload(east, until="off")
        with pytest.raises(AssertionError, match="'fsync': 'off'"):
            postgres.assert_durable(east, postgres.reported(east))
        assert east.look().file("/run/cutover/postgresql.conf").content_string == configured
    finally:
        postgres.answer(east, "ALTER SYSTEM RESET fsync")
        await _reload(east, until="on")
    postgres.assert_durable(east, postgres.reported(east))


async def _reload(host: HostOfStack, *, until: str) -> None:
    """Have a server read its files again; each question is a session of its own, and sees what it took."""
    postgres.answer(host, "SELECT pg_reload_conf()")
    async with asyncio.timeout(PATIENT):
        while postgres.answer(host, "SHOW fsync").strip() != until:
            await asyncio.sleep(0)


def test_a_role_that_does_not_wait_for_the_disk_is_found(hosts: Hosts) -> None:
    """Only its own sessions would show it: ours reports `on` all the time."""
    west = hosts["west/postgres"]
    postgres.answer(west, "ALTER ROLE platform SET synchronous_commit = off")
    said = postgres.reported(west)
    postgres.answer(west, "ALTER ROLE platform RESET synchronous_commit")
    assert said.settings["synchronous_commit"] == "on"
    with pytest.raises(AssertionError, match=r"some sessions with .*synchronous_commit=off"):
        postgres.assert_durable(west, said)
    postgres.assert_durable(west, postgres.reported(west))


def test_a_role_that_may_do_everything_is_found(hosts: Hosts) -> None:
    west = hosts["west/postgres"]
    postgres.answer(west, "CREATE ROLE mighty LOGIN CREATEROLE")
    said = postgres.reported(west)
    postgres.answer(west, "DROP ROLE mighty")
    with pytest.raises(AssertionError, match=r"mighty.* could do more"):
        postgres.assert_few_roles_of_power(west, said)


# -- the dead, the paused and the living


def _dead(container: Any) -> None:
    container.kill()
    container.wait()


def _frozen(container: Any) -> None:
    """Pause it as a nemesis does that does not ask the engine."""
    freezer = freezer_of(container)
    assert freezer is not None
    freezer.freeze()


GONE: Mapping[str, Callable[[Any], object]] = {
    "dead": _dead,
    "paused": lambda container: container.pause(),
    "frozen": _frozen,
}


@pytest.fixture
def thawed(spare: Any) -> Iterator[Any]:
    """The spare one, which can be removed however it was stopped."""
    yield spare
    with suppress(docker.errors.APIError):
        spare.unpause()
    if freezer := freezer_of(spare):
        freezer.thaw()


@pytest.mark.parametrize("how", GONE)
def test_no_assertion_holds_of_a_host_that_does_not_live(thawed: Any, how: str) -> None:
    """Neither what is true of it alive nor what is not; and not from memory either."""
    life = life_of(thawed)
    at = look(life)
    assert at.file("/etc/passwd").exists
    assert not at.file("/no/such/file").exists
    GONE[how](thawed)
    for path in ("/etc/passwd", "/no/such/file"):
        with pytest.raises(NotAlive, match=thawed.name):
            _ = at.file(path).exists
    with pytest.raises(NotAlive):
        at.run("true")
    with pytest.raises(NotAlive):
        life_of(thawed)
    with pytest.raises(NotAlive):
        assert_alive(life)


@pytest.mark.parametrize("how", ["dead", "paused"])
def test_testinfra_alone_takes_death_for_an_answer(thawed: Any, how: str) -> None:
    """Why no test here uses its backend as it is."""
    at = get_host(f"docker://{thawed.name}")
    assert at.file("/etc/passwd").exists
    GONE[how](thawed)
    assert not at.file("/etc/passwd").exists


def test_a_host_that_dies_during_a_look_gave_no_answer(spare: Any) -> None:
    with pytest.raises((NotAlive, NoAnswer), match=spare.name):
        look(life_of(spare)).run("kill -9 -1; sleep 60")


def test_a_host_that_was_started_again_is_not_the_one_that_was_looked_at(spare: Any) -> None:
    life = life_of(spare)
    spare.restart(timeout=0)
    with pytest.raises(NotAlive, match="started again"):
        look(life).run("true")
    with pytest.raises(NotDead, match="running"):
        assert_dead(life)


def test_a_host_that_gives_no_answer_is_not_waited_for(spare: Any) -> None:
    life = life_of(spare)
    with pytest.raises(NoAnswer, match="not done after"):
        LivingBackend(life, None, seconds=0.5).run("sleep 60")


def test_what_did_not_run_to_its_end_is_no_answer(spare: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another engine does not know the container, which lives all the while."""
    at = look(life_of(spare))
    assert at.run("echo said; exit 3").stdout == "said\n"
    assert at.run("echo said; exit 3").rc == 3
    with pytest.raises(NoAnswer):
        at.run("kill -9 $PPID")
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/engine")
    with pytest.raises(NoAnswer):
        _ = at.file("/no/such/file").exists


@pytest.mark.parametrize("how", ["alive", "paused", "frozen"])
def test_what_lives_is_not_called_dead(thawed: Any, how: str) -> None:
    life = life_of(thawed)
    GONE.get(how, str)(thawed)
    with pytest.raises(NotDead, match=r"the engine says .*; processes .* are in /proc"):
        assert_dead(life)


def test_a_process_that_outlives_its_container_is_found_in_proc(hosts: Hosts, spare: Any) -> None:
    """The engine alone would be believed: here it tells of another container, which is dead indeed."""
    life = life_of(spare)
    other = _extra(hosts, "other", entrypoint=["true"])
    other.wait()
    other.reload()
    began = str(other.attrs["State"]["StartedAt"])
    try:
        with pytest.raises(NotDead) as found:
            assert_dead(replace(life, container=other, began=began))
        assert "the engine" not in str(found.value)
    finally:
        other.remove()


def test_the_killed_are_proven_dead(spare: Any) -> None:
    life = life_of(spare)
    _dead(spare)
    assert_dead(life)


# -- after a fault


@in_its_loop
async def test_a_killed_site_is_dead_as_a_whole_and_comes_back_on_its_data(
    stack: ContainerStack, hosts: Hosts
) -> None:
    east, others = hosts.at("east"), hosts.at("west", "witness")
    lives = [one.life() for one in east]
    spared = [one.life() for one in others]
    volumes = {one.name: _volumes(one) for one in east}
    postgres.answer(hosts["east/postgres"], MARK)

    await stack.kill_site("east")
    for one in east:  # at once: the engine takes them for running up to a second more
        with pytest.raises(NotAlive):
            one.look()
    await asyncio.gather(*(until_dead(life) for life in lives))
    for life in spared:
        assert_alive(life)

    await stack.restart_site("east")
    again = await asyncio.gather(*(until_healthy(one.container) for one in east))
    assert {life.name for life in again} == {life.name for life in lives}
    assert not {life.first for life in again} & {life.first for life in lives}
    assert {one.name: _volumes(one) for one in east} == volumes
    assert "written before the kill" in postgres.answer(hosts["east/postgres"], "SELECT said FROM mark")
    await assert_all_fit(east, hosts.secrets)
    for life in spared:
        assert_alive(life)


def _volumes(host: HostOfStack) -> list[tuple[str, str, str]]:
    """Return the volumes of a container, each by what a new one of the same name would not share."""
    names = [mount["Name"] for mount in host.container.attrs["Mounts"]]
    found = [host.client.volumes.get(name) for name in names]
    return [(one.name, one.attrs["CreatedAt"], one.attrs["Mountpoint"]) for one in found]


@in_its_loop
async def test_a_paused_site_says_nothing_and_goes_on_in_the_same_life(
    stack: ContainerStack, hosts: Hosts
) -> None:
    west = hosts.at("west")
    lives = [one.life() for one in west]
    await stack.pause_site("west")
    try:
        for one, life in zip(west, lives, strict=True):
            with pytest.raises(NotAlive, match="paused"):
                one.look()
            with pytest.raises(NotDead):
                assert_dead(life)
    finally:
        await stack.resume_site("west")
    for life in lives:
        assert_alive(life)


@in_its_loop
async def test_behind_a_cut_link_the_peer_is_out_of_reach_and_nothing_else_is(
    stack: ContainerStack, hosts: Hosts
) -> None:
    lives = [one.life() for one in hosts.at(*stack.places)]
    assert await _tried(hosts, "east/agent", "west/postgres", PATIENT) == "ok"
    await stack.cut("east-west")
    try:
        assert await _tried(hosts, "east/agent", "west/postgres", IMPATIENT) == "TimeoutError"
        assert await _tried(hosts, "east/worker", "west/s3", IMPATIENT) == "TimeoutError"
        assert await _tried(hosts, "east/agent", "east/postgres", PATIENT) == "ok"
        assert await _tried(hosts, "east/agent", "witness/s3", PATIENT) == "ok"
        assert await _tried(hosts, "west/agent", "east/postgres", PATIENT) == "ok"
    finally:
        await stack.heal("east-west")
    assert await _tried(hosts, "east/agent", "west/postgres", PATIENT) == "ok"
    assert await _tried(hosts, "east/worker", "west/s3", PATIENT) == "ok"
    for life in lives:
        assert_alive(life)


async def _tried(hosts: Hosts, origin: str, goal: str, seconds: float) -> str:
    """Try to connect from inside one host to another's service, over the network that joins them."""
    at, _, kind = goal.partition("/")
    network = at if at in (origin.partition("/")[0], "witness") else LINK
    port = hosts[goal].blueprint.addresses.port(Service(kind))
    return await asyncio.to_thread(reach, hosts[origin], hosts.address(goal, network), port, seconds=seconds)


# -- how the kernel's words are read


def test_sockets_that_listen_are_read_as_the_kernel_writes_them() -> None:
    text = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0B00007F:9ACD 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5337539 1 0
   1: 00000000:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000 10001        0 5353624 1 0
  29: 084012C6:1538 0A4012C6:E3F4 01 00000000:00000000 02:00000000 00000000 10001        0 5383451 3 0
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 7 0 5 1
"""
    assert listening_in(text) == [
        Listening(IPv4Address("127.0.0.11"), 39629, 0),
        Listening(IPv4Address("0.0.0.0"), 5432, 10001),
        Listening(IPv6Address("::1"), 8080, 7),
    ]


def test_what_the_engine_puts_into_a_host_is_not_taken_for_its_service() -> None:
    """Nor is what that started; a process that ended while it was read is left out."""
    text = "".join(_status(pid, parent) for pid, parent in ((1, 0), (7, 1), (8, 7), (90, 0), (91, 90)))
    seen = processes_of(text + "/proc/92/status:Uid:\t0\t0\t0\t0\n")
    assert [one.pid for one in seen] == [1, 7, 8, 90, 91]
    assert [one.pid for one in below(1, seen)] == [7, 8]


def _status(pid: int, parent: int) -> str:
    sets = "".join(f"/proc/{pid}/status:Cap{name}:\tcb\n" for name in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
    ids = f"/proc/{pid}/status:Uid:\t0\t0\t0\t0\n/proc/{pid}/status:Gid:\t0\t0\t0\t0\n"
    more = f"/proc/{pid}/status:Groups:\t\n/proc/{pid}/status:NoNewPrivs:\t1\n"
    return f"/proc/{pid}/status:PPid:\t{parent}\n{ids}{sets}{more}"
