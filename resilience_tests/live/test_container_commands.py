"""Commands over a stack of containers, and a harness that is killed in the middle of what it broke.

Needs a Docker engine, root, packet rules and loop devices; elsewhere all is skipped, with the reason.
"""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import docker
import pytest

from infra.containers import bring_up, leftovers
from infra.containers.claims import of_stack
from infra.containers.engine import Engine
from infra.containers.removal import remove_all
from infra.disks.loop import leftovers as disks_of
from infra.disks.loop import why_impossible
from infra.embedded import power
from infra.embedded.state import StackFolder, StateFolder, is_locked
from resilience_tests.contract.containers.field import rules_of, why_not
from resilience_tests.live.shop import PLAN

CUTOVER = str(Path(sys.executable).parent / "cutover")
CHECKOUT = Path(__file__).parents[2]
DEADLINE = 600.0  #: seconds; an image may have to be built, on a machine that does much else
WHY_NOT = why_not() or why_impossible()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"NOT TRIED, no containers here: {WHY_NOT}")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    for name in ("CUTOVER_STACK", "CUTOVER_PLAN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    return StateFolder.open()


@pytest.fixture
def engine() -> Iterator[docker.DockerClient]:
    with_client = Engine.at()
    yield with_client.client
    with_client.client.close()


@pytest.fixture
def name(state: StateFolder, engine: docker.DockerClient) -> Iterator[str]:
    """The name of a stack of which nothing is left afterwards."""
    chosen = f"cmd-{uuid.uuid4().hex[:8]}"
    yield chosen
    remove_all(state.stack(chosen), [engine])


def call(*words: str) -> subprocess.CompletedProcess[str]:
    """A command as it is typed; it must end with 0."""
    ended = subprocess.run([CUTOVER, *words], capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
    return ended


def left_of(engine: docker.DockerClient, name: str) -> leftovers.Leftovers:
    """What is left of a stack, but for empty networks that the engine takes for used."""
    left = leftovers.find(engine, of_stack(name))
    if not left.networks or left.containers or left.volumes or left.chains:
        return left
    tried = leftovers.remove(engine, of_stack(name))
    removable = tuple(network for network in left.networks if network not in tried.miscounted)
    return replace(left, networks=removable, stacks=left.stacks if removable else ())


def until(what: str, there: Callable[[], bool]) -> None:
    deadline = monotonic() + DEADLINE
    while not there():
        assert monotonic() < deadline, f"not within {DEADLINE:.0f} s: {what}"
        sleep(0.05)  # polls until its deadline


def free(state: StateFolder, folder: StackFolder) -> bool:
    """Whether the supervisor of a stack has ended."""
    with state.allocating():
        return not is_locked(folder.lock)


@contextmanager
def harness(way: str, name: str) -> Iterator[Callable[[], None]]:
    """A harness of its own; call what it gives to have it break the stack, and killed in the middle."""
    argv = [sys.executable, "-m", "resilience_tests.live.container_harness", way, name]
    with subprocess.Popen(
        argv, cwd=CHECKOUT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            until_said(process, "ready")

            def break_and_kill() -> None:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
                until_said(process, "broken")
                process.send_signal(signal.SIGKILL)
                process.wait(DEADLINE)

            yield break_and_kill
        finally:
            process.kill()


def until_said(process: "subprocess.Popen[str]", word: str) -> None:
    assert process.stdout is not None
    heard = []
    for line in process.stdout:
        heard.append(line)
        if line == f"{word}\n":
            return
    raise AssertionError(f"the harness ended before it was {word}: {''.join(heard)}")


def test_a_stack_of_containers_is_brought_up_looked_at_used_and_taken_down_by_commands(
    state: StateFolder, name: str, engine: docker.DockerClient, tmp_path: Path
) -> None:
    stack = f"docker:{name}"
    up = call("stack", "up", "--stack", stack, "--json")
    outputs = json.loads(up.stdout)["details"]["outputs"]
    assert outputs == str(state.stack(name).outputs("operator"))
    until("the engine has looked, too: all is ready", lambda: not not_ready(stack))
    assert json.loads(call("stack", "status", "--stack", stack, "--json").stdout)["kind"] == "applier"
    plan = tmp_path / "plan.yaml"
    plan.write_text(PLAN.format(stack="docker", gates="{}", deletes="record_transaction"))
    refused = subprocess.run(
        [CUTOVER, "plan", "check", str(plan), "--json"], capture_output=True, text=True, check=False
    )
    assert "visits" in refused.stdout, "both databases were asked, and the plan's tables are not in them"
    assert name in call("stack", "down", "--all").stdout
    assert not left_of(engine, name)
    assert state.stacks() == []


def not_ready(stack: str) -> list[str]:
    """What `status` says of processes that are not ready; the engine asks each every ten seconds."""
    lines = call("stack", "status", "--stack", stack).stdout.splitlines()[1:]
    assert len(lines) == 11
    return [line for line in lines if not re.search(r": ready \(pid \d+\)$", line)]


def test_a_harness_killed_in_the_middle_of_its_faults_leaves_nothing_once_another_starts(
    state: StateFolder, name: str, engine: docker.DockerClient
) -> None:
    folder = state.stack(name)
    with harness("up", name) as break_and_kill:
        assert "docker" in call("stack", "status", "--stack", f"docker:{name}").stdout
        break_and_kill()
        until("the supervisor ends with its harness", lambda: free(state, folder))
        left = leftovers.find(engine, of_stack(name))
        assert set(left.links) >= {f"{name}/east-west", f"{name}/operator-west"}
        assert left.containers
        assert len(disks_of(folder.path)) == 2
        assert rules_of(name)
        assert name in bring_up.reap(state, Engine(engine))
    assert rules_of(name) == []
    assert disks_of(folder.path) == []
    assert not left_of(engine, name)
    assert not folder.path.exists()
    assert not folder.reach.exists()
    assert str(folder.reach) not in Path("/proc/mounts").read_text()
    assert [pid for pid in os.listdir("/proc") if pid.isdigit() and is_of(pid, folder, name)] == []


async def test_a_site_that_outlives_its_power_is_started_over(state: StateFolder, name: str) -> None:
    """As when a power cut breaks off between the disk and the processes: healing it waited for ever."""
    stack = await bring_up.up(name, power_cut=True)
    try:
        await power.cut(stack.folder, "east")
        async with asyncio.timeout(DEADLINE):
            await stack.restart_site("east")
        seen = [one for one in (await stack.status())["processes"] if one["name"].startswith("east/")]
        assert [one["name"] for one in seen if not one["alive"]] == []
        assert not await power.is_off(stack.folder, "east")
    finally:
        await stack.down()


def is_of(pid: str, folder: StackFolder, name: str) -> bool:
    """Whether a process says in its command line or environment that it belongs to a stack."""
    try:
        told = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False
    return pid != str(os.getpid()) and (str(folder.path).encode() in told or name.encode() in told)
