"""What the program registers with an engine of Pulumi's, without one: each request as it was sent."""

import asyncio
import contextlib
import contextvars
import functools
import json
import runpy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pulumi
import yaml
from google.protobuf import json_format  # type: ignore[import-untyped]
from pulumi.runtime import mocks, rpc
from pulumi.runtime.stack import run_in_stack

from infra.policy.declared import CONTAINER, Declared, Plan
from resilience_tests.style.sources import ROOT

PROGRAM = ROOT / "infra" / "__main__.py"
CONFIGURATIONS = ROOT / "infra" / "stacks"
KEY = "0123456789-a-key-of-some-length"
IMAGE = "cutover-site:of-a-test"
PROVIDER = "pulumi:providers:docker"

FOREIGN: Mapping[str, Any] = {
    "s3Image": "store:1",
    "s3Command": ["--listen", ":7000"],
    "s3Variables": ["ROOT_USER", "ROOT_PASSWORD"],
    "s3Health": ["CMD", "true"],
    "s3Data": "/var/store",
    "s3Port": "7000",
}
"""A store of somebody else, which takes its keys from its environment."""

OWN_STORE = "dev-with-a-store-of-its-own"

SERVER = "http://s3.example:9000"
"""A server that stands outside of every site."""

ELSEWHERE: Mapping[str, Any] = {
    "s3Url": SERVER,
    "s3Region": "eu-north-1",
    "s3Mark": "00000001",
    "subnet": "198.18.64.0/23",
    "key": f"{KEY}\nAN-ACCESS-KEY\nthe secret of the account",
    "labels": {"cutover.owner": "somebody"},
}
"""What a stack is told whose stores are fronts of that server; only a runtime of ours tells a program so."""

FRONTS = "dev-with-fronts-of-a-server-outside"

STACKS = ("dev", "staging", OWN_STORE, FRONTS)
"""What must hold is looked at for each: the stacks of the repository, and `dev` with FOREIGN or ELSEWHERE."""


@dataclass(frozen=True)
class Registered:
    """One request of the program, and what it came to."""

    urn: str
    request: Any
    properties: Mapping[str, Any]  #: plain, secrets too
    secrets: frozenset[str]  #: keys of properties that are marked secret

    @property
    def type(self) -> str:
        return str(self.request.type)

    @property
    def name(self) -> str:
        return str(self.request.name)

    @property
    def parent(self) -> str:
        return str(self.request.parent)

    @property
    def provider(self) -> str:
        """Name of the provider in the program; empty for the default one."""
        return str(self.request.provider).rpartition("::")[0].rpartition("::")[2]

    @property
    def needs(self) -> frozenset[str]:
        """URNs of all that must be there first."""
        by_property = (urn for one in self.request.propertyDependencies.values() for urn in one.urns)
        return frozenset((*self.request.dependencies, *by_property))

    @property
    def plain(self) -> str:
        """Everything in the request that is not marked as a secret, as text."""
        return json.dumps(_without_secrets(json_format.MessageToDict(self.request.object)))


@dataclass
class Graph:
    """A stack as its program registered it."""

    registered: dict[str, Registered] = field(default_factory=dict)
    published: Any = None  #: what the program exports, as it was sent

    def of(self, type_: str) -> list[Registered]:
        return [one for one in self.registered.values() if one.type == type_]

    def one(self, type_: str, name: str) -> Registered:
        return next(one for one in self.of(type_) if one.name == name)

    def containers(self, *, place: str | None = None, kind: str | None = None) -> Iterator[Registered]:
        for one in self.of(CONTAINER):
            its_place, _, its_kind = one.name.partition("-")
            if place in (None, its_place) and kind in (None, its_kind):
                yield one

    def place_of(self, one: Registered) -> str:
        """Name of the component that a resource belongs to; its own, if it is one."""
        above = self.registered.get(one.parent)
        return above.name if above is not None and above.type.startswith("cutover:infra:") else one.name

    def reaches(self, one: Registered) -> frozenset[str]:
        """URNs of all that must be there before a resource: what it needs, its parent needs, and so on."""
        found: set[str] = set()
        open_ = self._before(one)
        while open_:
            urn = open_.pop()
            if urn not in found:
                found.add(urn)
                open_ += self._before(self.registered[urn])
        return frozenset(found)

    def _before(self, one: Registered) -> list[str]:
        return [*one.needs, *([one.parent] if one.parent else [])]

    @property
    def plan(self) -> Plan:
        """The stack as the policies get to see it."""
        hosts = {one.name: one.properties.get("host") for one in self.of(PROVIDER)}
        return [
            Declared(
                type=one.type,
                name=one.name,
                properties=one.properties,
                engine=str(hosts.get(one.provider) or ""),
                urn=one.urn,
            )
            for one in self.registered.values()
        ]

    @property
    def outputs(self) -> Mapping[str, Any]:
        return dict(_plain(rpc.deserialize_properties(self.published)))

    @property
    def secret_outputs(self) -> frozenset[str]:
        return frozenset(
            key
            for key, value in rpc.deserialize_properties(self.published).items()
            if rpc.is_rpc_secret(value)
        )


class _Monitor(mocks.MockMonitor):
    """Keeps the requests themselves: edges, options and marks of secrets are only there."""

    def __init__(self, engine: mocks.Mocks, graph: Graph) -> None:
        super().__init__(engine)
        self._graph = graph

    def RegisterResource(self, request: Any) -> Any:
        with _loop_of_this_thread():
            answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        sent = rpc.deserialize_properties(request.object)
        secret = frozenset(key for key, value in sent.items() if rpc.is_rpc_secret(value))
        self._graph.registered[answer.urn] = Registered(answer.urn, request, _plain(sent), secret)
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:
        if request.outputs.fields and request.urn.split("::")[2] == "pulumi:pulumi:Stack":
            self._graph.published = request.outputs  # `set_mocks` registers another stack, an empty one
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]


class _Engine(mocks.Mocks):
    """Makes nothing, and answers like an engine that had made everything."""

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[Any, Any], list[tuple[str, str]] | None]:
        raise AssertionError(f"the program asks the engine for {args.token}")

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[Any, Any]]:
        made = dict(args.inputs)
        if args.typ.endswith(":RemoteImage"):
            made["imageId"] = f"sha256:of-{made['name']}"
        return f"id-of-{args.name}", made


def configured(stack: str, **changed: Any) -> dict[str, str]:
    """Return the configuration of a stack of the repository, with keys changed; None takes one away.

    A key is one of ours, unless it names its namespace: `docker:host`.
    """
    file = yaml.safe_load((CONFIGURATIONS / f"Pulumi.{stack}.yaml").read_text(encoding="utf-8"))
    given = dict(file["config"]) | {"cutover:image": IMAGE, "cutover:key": KEY}
    given |= {key if ":" in key else f"cutover:{key}": value for key, value in changed.items()}
    return {
        key: value if isinstance(value, str) else json.dumps(value)
        for key, value in given.items()
        if value is not None
    }


def declare(stack: str, *, preview: bool = False, **changed: Any) -> Graph:
    """Run the program under the configuration of a stack, and return what it registers."""
    if stack == OWN_STORE:
        stack, changed = "dev", {**FOREIGN, **changed}
    elif stack == FRONTS:
        stack, changed = "dev", {**ELSEWHERE, **changed}
    run = functools.partial(_declare, stack, configured(stack, **changed), preview=preview)
    return contextvars.copy_context().run(run)


@functools.cache
def as_it_is(stack: str) -> Graph:
    """Return what the program registers for one of STACKS; the same graph each time."""
    return declare(stack)


def _declare(stack: str, config: Mapping[str, str], *, preview: bool) -> Graph:
    graph = Graph()
    with _loop_of_this_thread() as loop:
        pulumi.runtime.set_all_config(dict(config), ["cutover:key"])
        monitor = _Monitor(_Engine(), graph)
        mocks.set_mocks(_Engine(), project="cutover", stack=stack, preview=preview, monitor=monitor)
        pulumi.runtime.settings.set_root_resource(None)  # type: ignore[arg-type]
        loop.run_until_complete(run_in_stack(_run_program))
    return graph


@contextlib.contextmanager
def _loop_of_this_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Lend the calling thread an event loop: the SDK makes one where it finds none, and leaves it open."""
    loop = asyncio.new_event_loop()
    try:
        asyncio.set_event_loop(loop)
        yield loop
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _run_program() -> None:
    runpy.run_path(str(PROGRAM), run_name="__main__")


def _plain(value: Any) -> Any:
    value = rpc.unwrap_rpc_secret(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return [_plain(one) for one in value] if isinstance(value, list) else value


def _without_secrets(value: Any) -> Any:
    if isinstance(value, Mapping):
        if rpc.is_rpc_secret(value):
            return "[secret]"
        return {key: _without_secrets(one) for key, one in value.items()}
    return [_without_secrets(one) for one in value] if isinstance(value, list) else value
