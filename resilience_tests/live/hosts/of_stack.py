"""The containers of a stack as hosts: what the blueprint says of each, beside what the engine shows."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import docker
from testinfra.host import Host  # type: ignore[import-untyped]

from cutover.model.secret import Secret
from infra.blueprint.containers import Blueprint, Container
from infra.blueprint.keys import DATABASE_ROLES, Keys
from infra.blueprint.settings import StackSettings
from infra.components.exports import keys_of
from infra.containers.engine import Engine
from infra.containers.stack import ContainerStack
from resilience_tests.live.hosts.lives import Life, alive_now, assert_alive, life_of
from resilience_tests.live.hosts.looks import look


class HostOfStack:
    """One container: `planned` by the blueprint, and shown by its engine."""

    def __init__(self, planned: Container, blueprint: Blueprint, client: docker.DockerClient) -> None:
        self.planned = planned
        self.blueprint = blueprint
        self.client = client
        self._looked: dict[str | None, tuple[Life, Host]] = {}

    @property
    def name(self) -> str:
        """Return what the harness calls it, as PLACE/KIND."""
        return f"{self.planned.place}/{self.planned.kind}"

    @property
    def container(self) -> Any:
        """Return it as it is now, dead or alive."""
        return self.client.containers.get(self.planned.name)

    def life(self) -> Life:
        """Return its present life. Raises NotAlive."""
        return life_of(self.container)

    def look(self, user: str | None = None) -> Host:
        """Return it as testinfra sees it. Raises NotAlive, now and at every command.

        The same object for as long as a life lasts, since testinfra asks a host
        what it is before anything else; what it remembers must not outlive that.
        """
        now = alive_now(container := self.container)
        life, host = self._looked.get(user, (None, None))
        if life is None or (life.began, life.first) != now:
            life = life_of(container)
            host = look(life, user)
            self._looked[user] = (life, host)
        return host

    @contextmanager
    def inspected(self) -> Iterator[Mapping[str, Any]]:
        """Give what the engine says of it, if it lives from before until after that is judged."""
        life = self.life()
        yield life.container.attrs
        assert_alive(life)


class Hosts:
    """The containers of one stack that is up."""

    def __init__(self, stack: ContainerStack) -> None:
        self._blueprint = stack.description.blueprint
        key = Secret((stack.folder.credentials / "key").read_text())
        self.secrets = {"the stack's key": key, **_secrets(keys_of(self._blueprint.settings, key))}
        hosts = self._blueprint.settings.hosts
        self._engines = {place.name: Engine.at(hosts.get(place.name)) for place in self._blueprint.places}

        self._hosts = {
            name: HostOfStack(planned, self._blueprint, self._engines[planned.place].client)
            for name, planned in self._blueprint.containers.items()
        }

    def __getitem__(self, process: str) -> HostOfStack:
        return self._hosts[process]

    def at(self, *places: str) -> list[HostOfStack]:
        """Return what keeps running at these places."""
        return [one for one in self._hosts.values() if one.planned.place in places and not one.planned.once]

    def address(self, process: str, network: str) -> str:
        """Return where a container is reached on the network of a place, or on the link."""
        place, _, kind = process.partition("/")
        return self._blueprint.addresses.own(place, kind, network)

    def close(self) -> None:
        """Let go of the engines."""
        for engine in self._engines.values():
            engine.client.close()


def _secrets(keys: Keys) -> Mapping[str, Secret]:
    """Return what is derived from the key of a stack, by names that may be printed."""
    topology = Blueprint(StackSettings(name="any", image="any")).addresses.topology
    found: dict[str, Secret] = {}
    for site in topology.sites:
        passwords = keys.passwords(site.name)
        found |= {f"the password of {role} at {site.name}": passwords[role] for role in DATABASE_ROLES}
    for place in topology.places:
        for viewer in topology.viewers:
            found[f"the secret of {viewer} at {place}'s store"] = keys.pair(viewer, place).secret_key
    return found
