"""What an engine has of a stack that a tool for infrastructure as code deployed there."""

import time
from dataclasses import dataclass

import docker
from docker.models.containers import Container

from infra.components.labels import PLACE
from infra.containers.claims import STACK
from infra.containers.engine import NOTICED_SECONDS_MAX
from infra.containers.together import kill_together

HEALTHY_SECONDS = 60.0
"""Longest that a healed site may take to be healthy (seconds): the provider does not wait for it then."""

ALL_WELL = frozenset({"healthy", "ended with 0"})


@dataclass(frozen=True)
class Deployed:
    """One stack by its label."""

    name: str
    engine: docker.DockerClient

    def containers(self, **labels: str) -> list[Container]:
        wanted = {STACK: self.name, **labels}
        filters: dict[str, str | list[str] | bool] = {
            "label": [f"{key}={value}" for key, value in wanted.items()]
        }
        return list(self.engine.containers.list(all=True, filters=filters))

    @property
    def left(self) -> list[str]:
        """Names of all that the engine has of this stack."""
        filters = {"label": f"{STACK}={self.name}"}
        networks = [str(one.name) for one in self.engine.networks.list(filters=filters)]
        volumes = [str(one.name) for one in self.engine.volumes.list(filters=filters)]
        return [*(str(one.name) for one in self.containers()), *networks, *volumes]

    def states(self) -> set[str]:
        """How the containers are: ALL_WELL, or what else the engine says of them."""
        return {_state_of(one) for one in self.containers()}

    def kill_site(self, site: str) -> None:
        """End all of a site at one instant, and return when the engine knows of it: a refresh asks it."""
        dead = [one for one in self.containers(**{PLACE: site}) if one.status == "running"]
        kill_together(dead)
        for one in dead:
            one.wait(timeout=NOTICED_SECONDS_MAX)

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + HEALTHY_SECONDS
        while (found := self.states()) != ALL_WELL:
            assert time.monotonic() < deadline, f"after {HEALTHY_SECONDS:.0f} s: {found}"
            time.sleep(0.2)  # polls until its deadline


def _state_of(container: Container) -> str:
    state = container.attrs["State"]
    if "Health" in state and state["Running"]:
        return str(state["Health"]["Status"])
    return str(state["Status"]) if state["Running"] else f"ended with {state['ExitCode']}"
