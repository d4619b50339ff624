"""The policy pack as Pulumi runs it: a process of its own that is shown a stack, and says what is wrong."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from google.protobuf import empty_pb2  # type: ignore[import-untyped]
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc

from infra.policy.declared import CONTAINER
from infra.policy.rules import RULES
from resilience_tests.spec.infra.program.graph import PROVIDER, Graph, Registered, as_it_is, declare
from resilience_tests.style.sources import ROOT

PACK = ROOT / "infra" / "policy"
ANSWER_SECONDS = 60


@pytest.fixture(scope="module")
def analyzer() -> Iterator[Any]:
    """The pack, started as the engine starts it: it prints its port and listens there."""
    words = [sys.executable, "-m", "pulumi.policy", "127.0.0.1:1", str(PACK)]
    with subprocess.Popen(words, cwd=PACK, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield analyzer_pb2_grpc.AnalyzerStub(channel)
        process.kill()


def shown(graph: Graph, one: Registered) -> Any:
    """A resource as the engine sends it: properties with their marks of secrets, and its provider."""
    resource = analyzer_pb2.AnalyzerResource(
        type=one.type, name=one.name, urn=one.urn, properties=one.request.object, parent=one.parent
    )
    if one.provider:
        provider = graph.one(PROVIDER, one.provider)
        resource.provider.type = provider.type
        resource.provider.name = provider.name
        resource.provider.urn = provider.urn
        resource.provider.properties.CopyFrom(provider.request.object)
    return resource


def judged(analyzer: Any, graph: Graph, *, without: str = "") -> dict[str, list[str]]:
    """Messages by policy that the pack has for a stack, but for one container that is left out."""
    resources = [
        shown(graph, one) for one in graph.registered.values() if (one.type, one.name) != (CONTAINER, without)
    ]
    request = analyzer_pb2.AnalyzeStackRequest(resources=resources)
    found: dict[str, list[str]] = {}
    for diagnostic in analyzer.AnalyzeStack(request, timeout=ANSWER_SECONDS).diagnostics:
        assert diagnostic.enforcementLevel == analyzer_pb2.MANDATORY
        found.setdefault(diagnostic.policyName, []).append(diagnostic.message)
    return found


def test_it_has_a_policy_for_each_rule(analyzer: Any) -> None:
    info = analyzer.GetAnalyzerInfo(empty_pb2.Empty(), timeout=ANSWER_SECONDS)
    assert info.name == "cutover"
    assert {policy.name for policy in info.policies} == set(RULES)
    assert all(policy.description for policy in info.policies)


@pytest.mark.parametrize("stack", ["dev", "staging"])
def test_it_lets_our_stacks_pass(analyzer: Any, stack: str) -> None:
    assert judged(analyzer, as_it_is(stack)) == {}


def test_it_reads_files_that_are_secrets(analyzer: Any) -> None:
    found = judged(analyzer, declare("dev", postgres={"fsync": "off"}))
    assert set(found) == {"durability"}
    assert any("dev-west-postgres sets fsync to off" in message for message in found["durability"])


def test_it_stops_a_stack_without_a_witness(analyzer: Any) -> None:
    found = judged(analyzer, as_it_is("staging"), without="witness-s3")
    assert "0 object stores stand at the witness" in " ".join(found["witness"])


def test_it_knows_engines_by_their_hosts(analyzer: Any) -> None:
    """Two places that keep data in one folder: of one machine, or of two that happen to be called alike."""
    disks = dict.fromkeys(("east", "west", "witness"), "/srv/cutover")
    one = dict.fromkeys(("east", "west", "witness"), "ssh://cutover@10.20.1.10")
    assert judged(analyzer, declare("staging", disks=disks)) == {}
    assert set(judged(analyzer, declare("staging", disks=disks, hosts=one))) == {"delete-replication"}
