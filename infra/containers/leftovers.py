"""Finding and removing what killed runs of container stacks left: containers, networks, volumes, rules.

An engine counts the endpoints of a network apart from the endpoints themselves,
and miscounts now and then when several containers come or go at one moment, as
those of a killed site do. When all are gone, such a network is in use for ever;
only a restart of the engine counts again (seen with 20.10; moby/moby#42119). It
is empty and in nobody's way, so it is told, and no failure of ours.
"""

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Any

import docker
import docker.errors
from tenacity import Retrying, retry_if_exception, wait_fixed

from infra.containers import netfilter
from infra.containers.claims import STACK, Claim, from_labels
from infra.containers.holders import end_programs
from infra.containers.packets import queues_of
from infra.containers.together import freezer_of

HANDS = 8
"""Requests to the engine at once."""

LET_GO_SECONDS = 15.0
LOOK_SECONDS = 0.2
"""How long a network is waited for whose last container is on its way out, and between two looks (s)."""

EMPTY_SECONDS = 1.0
"""How long one is waited for that the engine takes for used, but lists no container of (s)."""

_LOGGER = logging.getLogger(__name__)

_GONE_OR_GOING = (404, 409)  #: somebody else removes it at the same time

Chosen = Callable[[Claim], bool]
"""Which claims: `of_the_dead`, `of_stack` or `of_all` of `infra.containers.claims`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leftovers:
    """What there is of the chosen claims, by name."""

    stacks: tuple[str, ...] = ()
    containers: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    links: tuple[str, ...] = ()  #: that rules break, as STACK/LINK
    chains: tuple[str, ...] = ()
    remaining: tuple[str, ...] = ()  #: what could not be removed, and why
    miscounted: tuple[str, ...] = ()  #: empty networks that the engine takes for used

    def __bool__(self) -> bool:
        return bool(self.stacks or self.containers or self.networks or self.volumes or self.chains)


def find(engine: docker.DockerClient | None, chosen: Chosen) -> Leftovers:
    """Return what the engine and this machine's packet rules have of the chosen claims.

    Without an engine only the rules are looked at; without root, or where there is
    no iptables, only the engine.
    """
    rules = netfilter.removals(netfilter.read(), chosen) if netfilter.is_reachable() else []
    return _told(_of_engine(engine, chosen), rules)


def remove(engine: docker.DockerClient | None, chosen: Chosen) -> Leftovers:
    """Remove the chosen, links first; return what there was. What is gone already is no error."""
    rules = netfilter.remove(chosen) if netfilter.is_reachable() else []
    for one in rules:
        for stack in one.stacks:
            end_programs(stack, queues_of(rule.text for rule in one.rules))
    found = _of_engine(engine, chosen)
    failed = [
        *_all(found.containers, _remove_container),
        *_all(found.networks, _remove_network),
        *_all(found.volumes, lambda one: one.remove(force=True)),
    ]
    return _told(found, rules, failed)


class Miscounted(Exception):
    """An engine takes a network for used that it lists no container of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    containers: tuple[Any, ...] = ()
    networks: tuple[Any, ...] = ()
    volumes: tuple[Any, ...] = ()


def _of_engine(engine: docker.DockerClient | None, chosen: Chosen) -> _Made:
    if engine is None:
        return _Made()
    labelled: dict[str, str | list[str] | bool] = {"label": STACK}
    return _Made(
        containers=_chosen(engine.containers.list(all=True, filters=labelled, ignore_removed=True), chosen),
        networks=_chosen(engine.networks.list(filters=labelled), chosen),
        volumes=_chosen(engine.volumes.list(filters=labelled), chosen),
    )


def _chosen(made: Iterable[Any], chosen: Chosen) -> tuple[Any, ...]:
    return tuple(one for one in made if (claim := from_labels(_labels(one))) and chosen(claim))


def _labels(one: Any) -> dict[str, str]:
    """Return the labels of a container, or of a network or volume, which keep them elsewhere."""
    return (one.attrs.get("Config") or {}).get("Labels") or one.attrs.get("Labels") or {}


def _told(made: _Made, rules: list[netfilter.Removal], failed: Iterable["_Failure"] = ()) -> Leftovers:
    stacks = {_labels(one)[STACK] for one in (*made.containers, *made.networks, *made.volumes)}
    said = [rule.comment for one in rules for rule in one.rules if rule.comment]
    return Leftovers(
        stacks=tuple(sorted(stacks.union(*(one.stacks for one in rules)))),
        containers=tuple(sorted(one.name for one in made.containers)),
        networks=tuple(sorted(one.name for one in made.networks)),
        volumes=tuple(sorted(one.name for one in made.volumes)),
        links=tuple(sorted({f"{one.claim.stack}/{one.link}" for one in said})),
        chains=tuple(one.chain for one in rules),
        remaining=tuple(f"{one.name}: {one.why}" for one in failed if not one.miscounted),
        miscounted=tuple(one.name for one in failed if one.miscounted),
    )


@dataclass(frozen=True, slots=True)
class _Failure:
    name: str
    why: object
    miscounted: bool


def _all(made: Iterable[Any], do: Callable[[Any], object]) -> list[_Failure]:
    """Do it to each at the same time; return what went wrong."""
    with ThreadPoolExecutor(HANDS) as pool:
        return [said for said in pool.map(lambda one: _tried(one, do), made) if said]


def _tried(one: Any, do: Callable[[Any], object]) -> _Failure | None:
    try:
        do(one)
    except Miscounted as error:
        return _Failure(one.name, error, miscounted=True)
    except docker.errors.APIError as error:
        if error.status_code not in _GONE_OR_GOING:
            return _Failure(one.name, error.explanation or error, miscounted=False)
    return None


def _remove_container(container: Any) -> None:
    """Thaw it first: a process in a frozen v1 control group does not die of SIGKILL."""
    if freezer := freezer_of(container):
        with suppress(OSError):  # it died meanwhile, or somebody else removes it
            freezer.thaw()
    container.remove(force=True, v=True)


def _remove_network(network: Any) -> None:
    """A container whose removal somebody else has begun lets go of it a moment later."""
    begun = monotonic()

    def given_up(_: object) -> bool:
        waited = monotonic() - begun
        return waited > LET_GO_SECONDS or (waited > EMPTY_SECONDS and not _containers_of(network))

    tries = Retrying(
        retry=retry_if_exception(_is_in_use),
        stop=given_up,
        wait=wait_fixed(LOOK_SECONDS),
        reraise=True,
    )
    try:
        tries(network.remove)
    except docker.errors.APIError as error:
        if not _is_in_use(error) or _containers_of(network):
            raise
        _LOGGER.warning(
            "the engine keeps network %s: it counts containers that are gone. It is empty, and in "
            "nobody's way; `docker network rm %s` removes it once the engine has been restarted",
            *(network.name, network.name),
        )
        raise Miscounted(network.name) from None


def _containers_of(network: Any) -> list[Any]:
    """Return what the engine lists of a network, also the dead: one is listed until its removal ends."""
    found: list[Any] = network.client.containers.list(
        all=True, filters={"network": network.id}, ignore_removed=True
    )
    return found


def _is_in_use(error: BaseException) -> bool:
    return isinstance(error, docker.errors.APIError) and "active endpoints" in str(error.explanation or "")
