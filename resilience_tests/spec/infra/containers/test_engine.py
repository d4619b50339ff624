"""What is done to an engine depends on whose it is, and on which machine."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import docker
import pytest
from pulumi.runtime.mocks import MockResourceArgs

from infra.blueprint.settings import StackSettings
from infra.containers import applier, netfilter
from infra.containers.bring_up import _must_be_free
from infra.containers.claims import Claim, this_process
from infra.containers.description import ContainerDescription
from infra.containers.engine import Engine
from infra.containers.removal import remove_all
from infra.embedded.errors import StackInUse
from infra.embedded.state import StateFolder


@dataclass
class Thing:
    """A container, network or volume."""

    name: str
    attrs: Mapping[str, Any]
    removed: bool = False

    def remove(self, **_: object) -> None:
        self.removed = True


@dataclass
class Listed:
    """What an engine has of one kind."""

    things: list[Thing] = field(default_factory=list)

    def list(self, **_: object) -> "list[Thing]":
        return self.things


@pytest.mark.parametrize(
    ("told", "asked"),
    [({}, None), ({"host": "tcp://usual:2376"}, None), ({"host": "ssh://east"}, "ssh://east")],
)
def test_the_engine_of_the_environment_is_asked_as_the_environment_says(
    told: Mapping[str, str], asked: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK writes DOCKER_HOST into a provider; its certificates are in the environment only."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://usual:2376")
    hosts: list[str | None] = []

    def connect(host: str | None) -> SimpleNamespace:
        hosts.append(host)
        return SimpleNamespace(volumes=SimpleNamespace(create=lambda *_, **__: SimpleNamespace(name="v")))

    monkeypatch.setattr(applier, "connect", connect)
    made = applier.Applier(lambda _: None)
    provider = "urn:pulumi:dev::cutover::pulumi:providers:docker::east::east"
    made.new_resource(MockResourceArgs("pulumi:providers:docker", "east", dict(told), custom=True))
    made.new_resource(
        MockResourceArgs("docker:index/volume:Volume", "v", {"name": "v"}, provider=provider, custom=True)
    )
    assert hosts == [asked]


def engine_with(*claims: Claim) -> tuple[docker.DockerClient, list[Thing]]:
    """Return an engine with a container of each claim."""
    things = [
        Thing(f"{one.stack}-{n}", {"Config": {"Labels": one.labels()}, "State": {"Pid": 0}})
        for n, one in enumerate(claims)
    ]
    made = SimpleNamespace(containers=Listed(things), networks=Listed(), volumes=Listed())
    return cast("docker.DockerClient", made), things


@pytest.mark.parametrize(
    ("url", "local"),
    [("http+docker://localhost", True), ("http+docker://ssh", False), ("http://127.0.0.1:2375", False)],
)
def test_only_an_engine_behind_a_socket_has_processes_of_this_machine(url: str, *, local: bool) -> None:
    client = SimpleNamespace(api=SimpleNamespace(base_url=url))
    assert Engine(cast("docker.DockerClient", client)).local is local


def test_a_name_that_somebody_else_has_on_the_engine_is_not_taken() -> None:
    client, _ = engine_with(Claim(stack="main"))
    with pytest.raises(StackInUse, match="another name"):
        _must_be_free(client, "main")
    _must_be_free(client, "other")


def test_a_stack_of_the_same_name_that_another_harness_has_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(netfilter, "is_reachable", lambda: False)
    mine, theirs = Claim(stack="main", owner=this_process()), Claim(stack="main", owner="9:9@elsewhere.9")
    folder = StateFolder.open().stack("main")
    folder.make()
    settings = StackSettings(name="main", image="cutover-site:test", labels=mine.labels())
    ContainerDescription(settings=settings, keep=False, made_by="applier").save(folder)
    client, things = engine_with(mine, theirs, Claim(stack="main"))
    assert remove_all(folder, [client]) == ()
    assert [one.removed for one in things] == [True, False, False]
    assert not folder.path.exists()
