"""A network goes once its last container has; one that only the engine takes for used is told apart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import docker
import docker.errors
import pytest

from infra.containers import leftovers, netfilter
from infra.containers.bring_up import _must_be_free
from infra.containers.claims import Claim, of_stack
from infra.embedded.errors import StackInUse

IN_USE = "network east id 77 has active endpoints"
FOREVER = 1_000_000


@dataclass
class Network:
    """Its last container is gone after some tries."""

    tries: int
    said: str = IN_USE
    listed: Sequence[str] = ()  #: its containers, as the engine lists them
    name: str = "east"
    id: str = "77"
    attrs: Mapping[str, Any] = field(default_factory=lambda: {"Labels": Claim(stack="main").labels()})

    @property
    def client(self) -> object:
        return SimpleNamespace(containers=SimpleNamespace(list=lambda **_: self.listed))

    def remove(self) -> None:
        self.tries -= 1
        if self.tries >= 0:
            raise docker.errors.APIError("refused", explanation=self.said)


@pytest.fixture(autouse=True)
def passing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tenth of a second goes by between two looks at the clock, and nobody waits for it."""
    now = iter(range(FOREVER))
    monkeypatch.setattr(leftovers, "monotonic", lambda: next(now) / 10)
    monkeypatch.setattr(leftovers, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(netfilter, "is_reachable", lambda: False)


def engine_with(network: Network) -> docker.DockerClient:
    """Return an engine that has a network, and nothing else."""
    nothing, one = (SimpleNamespace(list=lambda made=made, **_: made) for made in ([], [network]))
    return cast("docker.DockerClient", SimpleNamespace(containers=nothing, networks=one, volumes=nothing))


@pytest.mark.parametrize("listed", [[], ["leaving"]])
def test_a_network_that_a_container_is_leaving_is_waited_for(listed: list[str]) -> None:
    leaving = Network(3, listed=listed)
    assert leftovers.remove(engine_with(leaving), of_stack("main")).networks == ("east",)
    assert leaving.tries == -1


@pytest.mark.parametrize(
    ("said", "listed"), [(IN_USE, ["somebody's"]), ("permission denied", []), ("permission denied", ["one"])]
)
def test_one_that_stays_in_use_or_is_refused_is_told(said: str, listed: list[str]) -> None:
    told = leftovers.remove(engine_with(Network(FOREVER, said, listed)), of_stack("main"))
    assert (told.remaining, told.miscounted) == ((f"east: {said}",), ())


def test_an_empty_one_that_the_engine_takes_for_used_is_told_apart(caplog: pytest.LogCaptureFixture) -> None:
    told = leftovers.remove(engine_with(Network(FOREVER)), of_stack("main"))
    assert (told.remaining, told.miscounted) == ((), ("east",))
    assert "`docker network rm east` removes it once the engine has been restarted" in caplog.text


def test_the_name_of_a_stack_whose_network_the_engine_has_kept_is_not_taken() -> None:
    with pytest.raises(StackInUse, match="restart the engine"):
        _must_be_free(engine_with(Network(FOREVER)), "main")
