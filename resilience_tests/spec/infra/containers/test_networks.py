"""A network goes once the last container has let go of it, whoever removes that."""

import docker.errors
import pytest

from infra.containers import leftovers

IN_USE = "network east id 77 has active endpoints"


class Network:
    """Its last container is gone after some tries."""

    name = "east"

    def __init__(self, tries: int, said: str) -> None:
        self.tries, self.said = tries, said

    def remove(self) -> None:
        self.tries -= 1
        if self.tries >= 0:
            raise docker.errors.APIError("refused", explanation=self.said)


def test_a_network_that_a_container_is_leaving_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "LOOK_SECONDS", 0.0)
    leaving = Network(3, IN_USE)
    leftovers._remove_network(leaving)
    assert leaving.tries == -1


@pytest.mark.parametrize(("said", "seconds"), [(IN_USE, 0.0), ("permission denied", 15.0)])
def test_one_that_stays_in_use_or_is_refused_is_told(
    said: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leftovers, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(leftovers, "LET_GO_SECONDS", seconds)
    with pytest.raises(docker.errors.APIError, match=said):
        leftovers._remove_network(Network(1_000_000, said))
