"""Drills take a stack of containers that `cutover stack up` made, and give it back as it was.

Needs a Docker engine and root; elsewhere all is skipped, with the reason.
"""

import re

import docker
import pytest

from cutover.model.outputs import Outputs
from infra.containers import bring_up
from infra.containers.description import ContainerDescription
from infra.embedded.errors import StackError, StackInUse
from infra.embedded.loan import is_lent
from infra.embedded.state import StateFolder
from resilience_tests.contract.containers.field import rules_of, why_not
from resilience_tests.live.test_container_commands import call, engine, harness, name, state, until
from resilience_tests.live.test_container_pulumi import ask, databases
from resilience_tests.live.test_lent_stack import stores

__all__ = ["engine", "name", "state"]

WHY_NOT = why_not()
pytestmark = pytest.mark.skipif(WHY_NOT is not None, reason=f"NOT TRIED, no containers here: {WHY_NOT}")


async def test_drills_have_runs_of_their_own_and_a_killed_harness_is_made_up_for(
    state: StateFolder, engine: docker.DockerClient, name: str
) -> None:
    call("stack", "up", "--stack", f"docker:{name}")
    folder = state.stack(name)
    told = Outputs.from_json((folder.path / "outputs.json").read_text())
    described = ContainerDescription.load(folder)
    ask(told, "CREATE TABLE kept AS SELECT 'written before the drills' AS said")

    def all_ready() -> bool:
        return ": starting" not in call("stack", "status", "--stack", f"docker:{name}").stdout

    def must_be_as_before() -> None:
        until("all is ready", all_ready)
        assert not is_lent(folder)
        assert ContainerDescription.load(folder) == described
        assert Outputs.from_json((folder.path / "outputs.json").read_text()) == told
        assert databases(told) == ["platform_r1"]
        for server, bucket in stores(told):
            assert re.findall("<Name>(.*?)</Name>", server.ask("GET", "/").text) == [bucket]
        assert ask(told, "SELECT said FROM kept") == [("written before the drills",)]

    with pytest.raises(StackError, match="has no disks whose power can be cut"):
        await bring_up.StandingStack.borrow(name, power_cut=True)
    stack = await bring_up.StandingStack.borrow(name)
    try:
        assert ask(stack.outputs(), "SELECT to_regclass('kept')") == [(None,)]
        with pytest.raises(StackInUse, match="another harness drills"):
            await bring_up.StandingStack.borrow(name)
        await stack.kill_site("west")
    finally:
        await stack.close()
    must_be_as_before()

    with harness("borrow", name) as break_and_kill:
        break_and_kill()
    assert is_lent(folder)
    assert rules_of(name)
    assert "it was given back" in call("stack", "up", "--stack", f"docker:{name}").stderr
    assert rules_of(name) == []
    must_be_as_before()
    call("stack", "down", "--stack", f"docker:{name}")
