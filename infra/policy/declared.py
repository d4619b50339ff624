"""A stack as its program declares it, plain: what the rules judge."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from infra.blueprint.containers import UPLOADED
from infra.components.labels import KIND, PLACE

CONTAINER = "docker:index/container:Container"
IMAGE = "docker:index/remoteImage:RemoteImage"
NETWORK = "docker:index/network:Network"
SITE = "cutover:infra:Site"

NOT_YET = "not known yet"
"""Stands for what a preview cannot know: no rule finds anything in it, since the update is judged again."""

Properties = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One resource. What is not known yet is NOT_YET."""

    type: str
    name: str  #: in the program
    properties: Properties
    engine: str = ""  #: Docker host of its provider; empty where none is named: the usual one
    urn: str = ""


Plan = Sequence[Declared]


@dataclass(frozen=True, slots=True)
class Box:
    """A container of the plan, read the way that the rules ask."""

    resource: Declared

    @property
    def name(self) -> str:
        return str(self.properties.get("name") or self.resource.name)

    @property
    def properties(self) -> Properties:
        return self.resource.properties

    @property
    def labels(self) -> Mapping[str, str]:
        return {one["label"]: one["value"] for one in self.many("labels")}

    @property
    def place(self) -> str | None:
        return self.labels.get(PLACE)

    @property
    def kind(self) -> str | None:
        return self.labels.get(KIND)

    @property
    def keeps(self) -> Mapping[str, str]:
        """Return the volume or the machine's folder behind each path that outlives the container."""
        kept = {
            one.get("containerPath"): one.get("volumeName") or one.get("hostPath") for one in self.volumes
        }
        return {str(path): str(what) for path, what in kept.items() if path and what}

    @property
    def volumes(self) -> Sequence[Properties]:
        return self.many("volumes")

    @property
    def ports(self) -> Sequence[Properties]:
        return self.many("ports")

    @property
    def addresses(self) -> frozenset[str]:
        """Return every address at which it can be reached."""
        own = (one.get("ipv4Address") for one in self.many("networksAdvanced"))
        return frozenset(str(one) for one in (*own, *(port.get("ip") for port in self.ports)) if one)

    @property
    def words(self) -> str:
        """Return its entry point, its command and its environment as one line."""
        parts = (*self.many("entrypoints"), *self.many("command"), *self.many("envs"))
        return " ".join(str(part) for part in parts)

    def many(self, key: str) -> Sequence[Any]:
        """Return what is known of a property that is a list; empty where it is not given."""
        found = self.properties.get(key)
        return [one for one in found if one != NOT_YET] if isinstance(found, list) else ()

    def text(self, path: str) -> str | None:
        """Return an uploaded file by its path below `/etc/cutover`; None if there is none."""
        given = {one.get("file"): one.get("content") for one in self.many("uploads")}
        return given.get(f"{UPLOADED}/{path}")

    def file(self, path: str) -> Mapping[str, Any]:
        """Return an uploaded JSON file; empty if it cannot be read."""
        return _object(self.text(path))


def boxes(plan: Plan, *, place: str | None = None, kind: str | None = None) -> Iterator[Box]:
    """Return the containers of the plan, of one place or kind where these are given."""
    for resource in plan:
        box = Box(resource)
        if resource.type == CONTAINER and place in (None, box.place) and kind in (None, box.kind):
            yield box


def told(plan: Plan) -> Iterator[tuple[Box, Mapping[str, Any]]]:
    """Return each container that was told where everything is, with what it was told."""
    for box in boxes(plan):
        if outputs := box.file("outputs.json"):
            yield box, outputs


def hosts_told(outputs: Mapping[str, Any], place: str) -> frozenset[str]:
    """Return the addresses at which these outputs say that a place is reached."""
    described = outputs["sites"].get(place) if place in outputs["sites"] else outputs.get(place, {})
    urls = [described.get(service, {}).get("url") for service in ("platform", "agent")]
    urls.append(described.get("s3", {}).get("endpoint"))
    hosts = {urlsplit(url).hostname for url in urls if url} | {described.get("postgres", {}).get("host")}
    return frozenset(str(host) for host in hosts if host)


def _object(text: object) -> Mapping[str, Any]:
    try:
        read = json.loads(text) if isinstance(text, str) else {}
    except json.JSONDecodeError:
        return {}
    return read if isinstance(read, dict) else {}
