"""Stacks whose `up` was killed are found and taken down, and one that resists keeps no other one up.

With real supervisors, and an engine that lists what a test gave it.
"""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import docker
import docker.errors
import pytest

from infra.containers import netfilter
from infra.containers.bring_up import _key_file, _take, attach, down_all, list_stacks, reap
from infra.containers.claims import Claim
from infra.containers.engine import Engine
from infra.embedded.control import Control
from infra.embedded.errors import StackError
from infra.embedded.launch import start_supervisor
from infra.embedded.reaper import remove
from infra.embedded.state import StackFolder, StateFolder
from resilience_tests.spec.infra.containers.test_engine import Thing, engine_with


class Stuck(Thing):
    """A container that the engine does not remove."""

    def remove(self, **_: object) -> None:
        raise docker.errors.APIError("stuck", explanation="a driver holds it")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateFolder]:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(netfilter, "is_reachable", lambda: False)
    opened = StateFolder.open()
    yield opened
    for folder in opened.stacks():
        remove(folder)


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> docker.DockerClient:
    made, _ = engine_with()
    _at(made, monkeypatch)
    return made


def _at(client: docker.DockerClient, monkeypatch: pytest.MonkeyPatch) -> None:
    closing = cast("docker.DockerClient", SimpleNamespace(**vars(client), close=lambda: None))
    monkeypatch.setattr(Engine, "at", lambda *_: Engine(closing))


async def killed_up(state: StateFolder, client: docker.DockerClient, name: str) -> StackFolder:
    """A kept stack whose `up` was killed as soon as its supervisor ran."""
    folder, _, lock = _take(
        state, client, Claim(stack=name), {"image": "cutover-site:test"}, keep=True, power_cut=False
    )
    control = await Control.over(start_supervisor(folder, lock, keep=True))
    await control.ask("status")
    await control.close()
    return folder


async def test_a_stack_whose_up_was_killed_at_once_can_be_taken_down(
    state: StateFolder, client: docker.DockerClient
) -> None:
    folder = await killed_up(state, client, "first")
    assert list_stacks() == ["first"]
    await (await attach("first")).down()
    assert not folder.path.exists()


async def test_all_go_down_also_one_that_nobody_can_attach_to(
    state: StateFolder, client: docker.DockerClient
) -> None:
    folders = [await killed_up(state, client, name) for name in ("first", "other")]
    _key_file(folders[0]).unlink(missing_ok=True)
    assert await down_all() == ["first", "other"]
    assert [folder.path.exists() for folder in folders] == [False, False]


async def test_one_that_does_not_answer_keeps_no_other_one_up_and_is_named(
    state: StateFolder, client: docker.DockerClient
) -> None:
    deaf, other = [await killed_up(state, client, name) for name in ("deaf", "other")]
    socket = deaf.socket("control")
    hidden = socket.rename(socket.with_name("hidden"))
    with pytest.raises(StackError, match=r"'deaf' is up; down are other$"):
        await down_all()
    assert not other.path.exists()
    hidden.rename(socket)
    assert await down_all() == ["deaf"]


async def test_what_an_engine_does_not_remove_is_told(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = Claim(stack="old", expires=1.0)
    client, things = engine_with(over)
    things[0] = Stuck(things[0].name, things[0].attrs)
    _at(client, monkeypatch)
    told: list[str] = []
    assert reap(state, Engine.at(), told.append) == ["old"]
    assert told == ["could not be removed: old-0: a driver holds it"]
    with pytest.raises(StackError, match="a driver holds it"):
        await down_all()
