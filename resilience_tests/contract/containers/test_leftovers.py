"""What a killed harness leaves behind is found and removed by the next one, and nothing else is."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import docker
import pytest

from infra.containers.claims import Claim, of_stack, of_the_dead
from infra.containers.holders import check_available, mark_of
from infra.containers.leftovers import find, remove
from infra.containers.links import Links
from infra.embedded.processes import identify, marked_with, wait_gone
from resilience_tests.contract.containers.field import PORTS, Field, rules_of


@pytest.fixture
def engine(ground: Field) -> docker.DockerClient:
    """The engine's client."""
    return ground.engine


def dead_of(stack: str) -> Callable[[Claim], bool]:
    """Choose what is left over of this stack only, so that no other test's is touched."""
    dead = of_the_dead(time.time())
    return lambda claim: claim.stack == stack and dead(claim)


@pytest.fixture(params=["cut", "delay"])
def killed(request: pytest.FixtureRequest, engine: docker.DockerClient) -> Iterator[str]:
    """The name of a stack whose harness was killed while a link was broken and containers were frozen."""
    if request.param == "delay":
        check_available()
    running = subprocess.Popen(
        [sys.executable, "-m", "resilience_tests.contract.containers.harness", request.param],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stdout is not None
    stack = running.stdout.readline().strip()
    assert stack
    assert not find(engine, dead_of(stack)), "its harness lives"
    assert find(engine, of_stack(stack)).links == (f"{stack}/east-west",)
    running.kill()
    running.communicate()
    yield stack
    remove(engine, of_stack(stack))


def test_a_harness_killed_in_the_middle_of_a_cut_leaves_nothing_after_the_next_start(
    killed: str, engine: docker.DockerClient
) -> None:
    found = remove(engine, dead_of(killed))
    assert (len(found.containers), len(found.networks), len(found.volumes), len(found.chains)) == (2, 1, 1, 1)
    assert found.remaining == ()
    assert rules_of(killed) == []
    assert not find(engine, of_stack(killed))
    assert engine.containers.list(all=True, filters={"name": killed}) == []
    assert [one.name for one in engine.networks.list(names=[killed])] == []
    programs = [who for pid in marked_with(mark_of(killed)) if (who := identify(pid))]
    assert wait_gone(programs, 10.0) == []


def test_what_a_living_harness_holds_is_left_alone(ground: Field, engine: docker.DockerClient) -> None:
    ground.start("import signal; signal.pause()")
    assert not remove(engine, dead_of(ground.claim.stack))
    assert find(engine, of_stack(ground.claim.stack)).containers


async def test_rules_that_have_expired_go_though_their_owner_lives(ground: Field) -> None:
    claim = Claim(stack=f"{ground.claim.stack}-old", owner=ground.claim.owner, expires=time.time() - 1)
    await Links(claim, {"east": ["198.51.100.1"], "west": ["198.51.100.2"]}, PORTS).cut("east-west")
    assert remove(None, dead_of(claim.stack)).links == (f"{claim.stack}/east-west",)
    assert rules_of(claim.stack) == []


async def test_rules_of_a_dead_visitor_go_and_those_of_the_stack_stay(ground: Field) -> None:
    """A kept stack has no owner; who breaks its links for a drill has."""
    kept = Claim(stack=f"{ground.claim.stack}-kept")
    gone = Claim(stack=kept.stack, owner=_of_a_dead_process())
    addresses = {"east": ["198.51.100.1"], "west": ["198.51.100.2"]}
    links = Links(kept, addresses, PORTS)
    await links.cut("east-west")
    await Links(gone, addresses, PORTS).cut("west-east")
    assert remove(None, dead_of(kept.stack)).links == (f"{kept.stack}/west-east",)
    assert [one.link for one in await links.broken()] == ["east-west"]
    await links.close()
    assert rules_of(kept.stack) == []


def _of_a_dead_process() -> str:
    said = subprocess.run(
        [sys.executable, "-c", "from infra.containers.claims import this_process as who; print(who())"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return said.stdout.strip()
