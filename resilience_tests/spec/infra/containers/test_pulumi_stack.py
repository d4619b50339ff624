"""Giving a stack of Pulumi's back: until it serves its own run again, the run that it serves is known."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import docker
import pytest

from cutover.model.secret import Secret
from infra.blueprint.settings import StackSettings
from infra.components.exports import Published
from infra.containers import netfilter
from infra.containers.engine import Engine
from infra.containers.pulumi_folder import is_lent, publish_here, take_folder
from infra.containers.pulumi_stack import PulumiStack
from infra.embedded.control import Control
from infra.embedded.errors import ProcessFailed
from infra.embedded.state import StateFolder

PUBLISHED = Published(StackSettings(name="dev", image="cutover-site:test"), Secret("hunter2-" * 4))


class Unreachable(PulumiStack):
    """Its services cannot be told whom to serve: the machine of a site went away."""

    back = False

    async def _end_run(self) -> None:
        return

    async def _give(self, process: str) -> None:
        if process == "west/agent" and not self.back:
            raise ProcessFailed("no route to west")

    async def start(self, process: str, **_: object) -> None:
        assert process


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(netfilter, "is_reachable", lambda: False)
    client = cast("docker.DockerClient", SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(Engine, "at", lambda *_: Engine(client))
    return StateFolder.open()


def taken(state: StateFolder, told: list[str], *, back: bool) -> PulumiStack:
    """A stack in the middle of a run of drills."""
    folder, description, lock = take_folder(state, PUBLISHED)
    os.close(lock)
    description.save(folder)
    control = cast("Control", SimpleNamespace(close=_closed, ask=_asked))
    stack = Unreachable(folder, description, PUBLISHED, control, told.append)
    stack.back = back
    stack.publish()
    return stack


async def _closed() -> None:
    return


async def _asked(do: str) -> None:
    assert do == "forget"


@pytest.mark.parametrize("published", [True, False])
async def test_a_stack_that_could_not_be_given_back_is_known_to_serve_its_run_of_drills(
    state: StateFolder, *, published: bool
) -> None:
    if published:
        publish_here(PUBLISHED)
    told: list[str] = []
    stack = taken(state, told, back=False)
    run = stack.run
    await stack.close()
    assert is_lent("dev")
    assert f"still serves run {run} of the drills: no route to west. `cutover stack up" in told[0]
    assert f"platform_{run}" in publish_here(PUBLISHED).read_text(), "the platform writes there"


@pytest.mark.parametrize("published", [True, False])
async def test_a_stack_that_was_given_back_serves_its_own_run(state: StateFolder, *, published: bool) -> None:
    if published:
        publish_here(PUBLISHED)
    stack = taken(state, [], back=True)
    await stack.close()
    assert not is_lent("dev")
    assert stack.folder.path.exists() is published, "files that nobody asked for go with the harness"
    assert "platform_r1" in publish_here(PUBLISHED).read_text()
