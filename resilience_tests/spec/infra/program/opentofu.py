"""What the program declares, in the language of OpenTofu: for the provider's own code without Pulumi.

Pulumi's Docker provider is a bridge over the one that OpenTofu runs: same code, same
properties, other spellings. Engine, state and diff of Pulumi are not tried by this.
"""

import re
from collections.abc import Mapping
from typing import Any

from resilience_tests.spec.infra.program.graph import PROVIDER, Graph, Registered

SOURCE = "kreuzwerker/docker"
"""The provider that Pulumi's bridges, as OpenTofu's registry calls it."""

TYPES = {
    "docker:index/container:Container": "docker_container",
    "docker:index/network:Network": "docker_network",
    "docker:index/remoteImage:RemoteImage": "docker_image",
    "docker:index/volume:Volume": "docker_volume",
}

SINGULAR = {
    "adds": "add",
    "drops": "drop",
    "envs": "env",
    "ipamConfigs": "ipam_config",
    "tests": "test",
    "uploads": "upload",
}
"""Lists have another name here; `labels`, `ports` and `volumes` are the same in both."""

BY_NAME = frozenset({"tmpfs", "logOpts"})
"""Properties whose keys are the user's."""


def opentofu(graph: Graph) -> Mapping[str, Any]:
    """Return the whole stack as one document of OpenTofu's JSON syntax."""
    resources: dict[str, dict[str, Any]] = {}
    for one in graph.registered.values():
        if one.type in TYPES:
            resources.setdefault(TYPES[one.type], {})[one.name] = _resource(graph, one)
    return {
        "terraform": {"required_providers": {"docker": {"source": SOURCE}}},
        "provider": {"docker": [{"alias": one.name} for one in graph.of(PROVIDER)]},
        "resource": resources,
    }


def _resource(graph: Graph, one: Registered) -> dict[str, Any]:
    declared = {key: value for key, value in one.properties.items() if not key.startswith("__")}
    needs = sorted(_address(graph.registered[urn]) for urn in graph.reaches(one) if _is_ours(graph, urn))
    told = dict(_spelled(declared))
    told |= {"provider": f"docker.{one.provider}", "depends_on": needs}
    if "image" in told:
        told["image"] = f"${{{_address(_image_of(graph, one))}.image_id}}"
    if ignored := [_snake(key) for key in one.request.ignoreChanges]:
        told["lifecycle"] = {"ignore_changes": ignored}
    return told


def _is_ours(graph: Graph, urn: str) -> bool:
    return graph.registered[urn].type in TYPES


def _address(one: Registered) -> str:
    return f"{TYPES[one.type]}.{one.name}"


def _image_of(graph: Graph, container: Registered) -> Registered:
    """Return the image that a container depends on and runs."""
    return next(
        one
        for urn in sorted(container.needs)
        if (one := graph.registered[urn]).type.endswith(":RemoteImage")
        and container.properties["image"].endswith(one.properties["name"])
    )


def _spelled(value: Any, key: str = "") -> Any:
    if isinstance(value, Mapping):
        return {name if key in BY_NAME else _snake(name): _spelled(one, name) for name, one in value.items()}
    return [_spelled(one) for one in value] if isinstance(value, list) else value


def _snake(key: str) -> str:
    return SINGULAR.get(key) or re.sub("[A-Z]", lambda found: f"_{found.group().lower()}", key)
