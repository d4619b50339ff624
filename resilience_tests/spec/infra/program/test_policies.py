"""The policy pack: nothing to find in our stacks, and each rule against plans that break it."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from pulumi_policy import (
    PolicyCustomTimeouts,
    PolicyProviderResource,
    PolicyResource,
    PolicyResourceOptions,
    StackValidationArgs,
)
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, unknown_checking_proxy

from infra.policy.declared import CONTAINER, NOT_YET, SITE, Box, Declared, Plan
from infra.policy.pack import plan_of, policies
from infra.policy.rules import RULES, judge
from resilience_tests.spec.infra.program.graph import FRONTS, PROVIDER, STACKS, as_it_is, declare


def plan(stack: str) -> Plan:
    return as_it_is(stack).plan


def without(place: str, kind: str) -> Callable[[Plan], Plan]:
    """Leave out a container."""
    return lambda whole: [one for one in whole if not is_box(one, place, kind)]


def with_properties(place: str, kind: str, **changed: Any) -> Callable[[Plan], Plan]:
    """Give a container other properties; None takes one away."""

    def spoil(whole: Plan) -> Plan:
        return [
            replace(one, properties={**one.properties, **changed}) if is_box(one, place, kind) else one
            for one in whole
        ]

    return spoil


def with_text(place: str, kind: str, file: str, old: str, new: str) -> Callable[[Plan], Plan]:
    """Change what is written in a file of a container."""

    def spoil(whole: Plan) -> Plan:
        found = next(one for one in whole if is_box(one, place, kind))
        uploads = [
            {**one, "content": re.sub(old, new, one["content"])} if one["file"].endswith(file) else one
            for one in found.properties["uploads"]
        ]
        assert uploads != list(found.properties["uploads"]), f"nothing in {file} looks like {old}"
        return with_properties(place, kind, uploads=uploads)(whole)

    return spoil


def with_role(site: str, role: str) -> Callable[[Plan], Plan]:
    def spoil(whole: Plan) -> Plan:
        return [
            replace(one, properties={**one.properties, "role": role})
            if (one.type, one.name) == (SITE, site)
            else one
            for one in whole
        ]

    return spoil


def is_box(one: Declared, place: str, kind: str) -> bool:
    return one.type == CONTAINER and (Box(one).place, Box(one).kind) == (place, kind)


def at(address: str | None) -> list[Mapping[str, Any]]:
    return [{"internal": 8080, "external": 8080, "protocol": "tcp"} | ({"ip": address} if address else {})]


def on(*networks: str) -> list[Mapping[str, Any]]:
    return [{"name": f"dev-{name}"} for name in networks]


SHARED = [{"containerPath": "/data", "volumeName": "dev-east-s3"}]
BELOW = [{"containerPath": "/data", "hostPath": "/srv/cutover/s3"}]

SPOILT: tuple[tuple[str, str, Callable[[Plan], Plan]], ...] = (
    ("labelled", "dev", with_properties("east", "agent", labels=[])),
    ("witness", "dev", without("witness", "s3")),
    ("witness", "staging", without("witness", "s3")),
    ("witness", "dev", with_properties("witness", "s3", mustRun=False)),
    ("witness", "dev", with_text("west", "agent", "outputs.json", r"198\.18\.64\.217", "198.18.64.9")),
    ("durability", "dev", with_text("east", "postgres", "service.json", '"fsync": "on"', '"fsync": "off"')),
    (
        "durability",
        "dev",
        with_text("west", "postgres", "service.json", '"full_page_writes": "on"', '"full_page_writes": "no"'),
    ),
    (
        "durability",
        "staging",
        with_text(
            "east", "postgres", "service.json", '"synchronous_commit": "on"', '"synchronous_commit": "off"'
        ),
    ),
    ("durability", "dev", with_properties("east", "postgres", command=["postgres", "-c", "fsync=off"])),
    ("durability", "dev", with_properties("east", "postgres", envs=["POSTGRES_INITDB_ARGS=--no-sync"])),
    ("durability", "dev", with_properties("east", "postgres", uploads=[])),
    ("durability", "dev", with_properties("west", "s3", volumes=None)),
    ("durability", "dev", with_properties("witness", "s3", volumes=None)),
    ("durability", "dev", with_properties("west", "s3", tmpfs={"/data": "rw"})),
    ("delete-replication", "dev", with_properties("west", "s3", volumes=SHARED)),
    (
        "delete-replication",
        "dev",
        lambda whole: with_properties("east", "s3", volumes=BELOW)(
            with_properties("west", "s3", volumes=[{"containerPath": "/data", "hostPath": "/srv/cutover"}])(
                whole
            )
        ),
    ),
    (
        "delete-replication",
        "dev",
        with_properties("east", "s3", command=["mc", "replicate", "add", "--replicate", "delete,metadata"]),
    ),
    ("delete-replication", "dev", with_properties("east", "s3", command=["rclone", "sync", "a:", "b:"])),
    ("delete-replication", "dev", with_properties("east", "s3", command=["mc", "mirror", "--remove", "a"])),
    ("delete-replication", "dev", with_properties("east", "s3", envs=["S3_DELETE_REPLICATION=on"])),
    (
        "delete-replication",
        "dev",
        with_properties("east", "s3", envs=['RULE={"DeleteMarkerReplication":{"Status":"Enabled"}}']),
    ),
    (
        "delete-replication",
        "dev",
        with_text("west", "postgres", "service.json", '"fsync"', '"primary_conninfo": "host=east", "fsync"'),
    ),
    ("one-writer", "dev", with_role("west", "source")),
    ("one-writer", "staging", with_role("east", "target")),
    ("one-writer", "dev", with_text("west", "agent", "outputs.json", '"target"', '"source"')),
    (
        "one-writer",
        "dev",
        lambda whole: with_text("west", "worker", "outputs.json", '"moved"', '"source"')(
            with_text("west", "worker", "outputs.json", '"source"', '"target"')(
                with_text("west", "worker", "outputs.json", '"target"', '"moved"')(whole)
            )
        ),
    ),
    (
        "one-writer",
        "dev",
        with_text("west", "platform", "service.json", r'"host": "198[.\d]+"', '"host": "198.18.64.8"'),
    ),
    ("way-out", FRONTS, with_properties("east", "platform", networksAdvanced=on("east", "east-outside"))),
    ("way-out", FRONTS, with_properties("west", "s3", networksAdvanced=on("west", "link", "east-outside"))),
    ("link-only", "staging", with_properties("east", "platform", ports=at("0.0.0.0"))),
    ("link-only", "staging", with_properties("east", "platform", ports=at(None))),
    ("link-only", "staging", with_properties("east", "platform", ports=at("::"))),
    ("link-only", "staging", with_properties("east", "platform", ports=at("8.8.8.8"))),
    ("link-only", "staging", with_properties("east", "platform", ports=at("10.20.1.11"))),
    ("link-only", "staging", with_properties("west", "platform", ports=at("10.20.1.10"))),
    ("link-only", "dev", with_properties("east", "platform", ports=at("127.0.0.1"))),
    ("link-only", "dev", with_properties("east", "platform", networkMode="host")),
    ("link-only", "dev", with_properties("east", "platform", publishAllPorts=True)),
    ("link-only", "dev", with_properties("east", "platform", privileged=True)),
)


@pytest.mark.parametrize("stack", STACKS)
def test_nothing_is_wrong_with_our_stacks(stack: str) -> None:
    assert judge(plan(stack)) == {}


@pytest.mark.parametrize(
    ("rule", "stack", "spoil"), SPOILT, ids=[f"{rule}-{number}" for number, (rule, *_) in enumerate(SPOILT)]
)
def test_a_plan_that_breaks_a_rule_is_found(rule: str, stack: str, spoil: Callable[[Plan], Plan]) -> None:
    found = judge(spoil(plan(stack)))
    assert rule in found, f"only {found}"
    assert all(finding.message for finding in found[rule])


def test_each_rule_is_shown_a_plan_that_breaks_it() -> None:
    assert {rule for rule, *_ in SPOILT} == set(RULES)


def test_two_places_on_one_machine_die_together() -> None:
    """Where all links are one address, no loss of a site leaves the other standing."""
    links = dict.fromkeys(("east", "west", "witness"), "10.20.1.10")
    found = judge(declare("staging", links=links).plan)
    assert "one machine" in " ".join(finding.message for finding in found["link-only"])


def test_folders_of_the_same_name_on_two_machines_are_two_folders() -> None:
    disks = dict.fromkeys(("east", "west", "witness"), "/srv/cutover")
    assert judge(declare("staging", disks=disks).plan) == {}
    shared = [shown(one) for one in declare("dev", disks=disks).plan]
    assert set(judge(plan_of(shared))) == {"delete-replication"}


def test_settings_that_are_unsafe_are_found_through_the_program() -> None:
    found = judge(declare("dev", postgres={"fsync": "off"}).plan)
    assert set(found) == {"durability"}
    assert {"dev-east-postgres", "dev-west-postgres"} == {
        finding.message.split()[0] for finding in found["durability"]
    }


def test_settings_that_still_flush_are_no_finding() -> None:
    assert judge(declare("dev", postgres={"synchronous_commit": "remote_apply"}).plan) == {}


def shown(one: Declared) -> PolicyResource:
    """Return a resource as Pulumi shows it to a policy: asking for what is not known yet raises."""
    options = PolicyResourceOptions(
        protect=False,
        ignore_changes=[],
        delete_before_replace=True,
        aliases=[],
        custom_timeouts=PolicyCustomTimeouts(0, 0, 0),
        additional_secret_outputs=[],
    )
    known = json.loads(json.dumps(one.properties))
    return PolicyResource(
        resource_type=one.type,
        props=unknown_checking_proxy({**known, "id": UNKNOWN_STRING_VALUE}),
        urn=one.urn,
        name=one.name,
        opts=options,
        provider=PolicyProviderResource(
            PROVIDER, {"host": one.engine} if one.engine else {}, f"provider-of-{one.name}", one.name
        ),
        parent=None,
        dependencies=[],
        property_dependencies={},
    )


@pytest.mark.parametrize("stack", STACKS)
def test_pulumi_shows_the_policies_the_same_plan(stack: str) -> None:
    resources = [shown(one) for one in plan(stack)]
    told = [replace(one, properties={**one.properties, "id": NOT_YET}) for one in plan(stack)]
    assert plan_of(resources) == told


def test_each_policy_reports_what_its_rule_finds() -> None:
    resources = [shown(one) for one in without("witness", "s3")(plan("dev"))]
    reported: dict[str, list[str]] = {}
    for policy in policies():
        found = reported.setdefault(policy.name, [])

        def report(message: str, urn: str | None = None, found: list[str] = found) -> None:
            found.append(f"{urn}: {message}")

        policy.validate(StackValidationArgs(resources), report)
    assert {name for name, found in reported.items() if found} == {"witness"}
    assert any("0 object stores stand at the witness" in message for message in reported["witness"])


def test_what_is_not_known_yet_is_no_finding() -> None:
    """In a preview, names of volumes, addresses and files may be unknown: the update is judged again."""
    later = UNKNOWN_STRING_VALUE
    spoilt = plan("staging")
    for place, kind, changed in (
        ("east", "postgres", {"uploads": [{"file": "/etc/cutover/service.json", "content": later}]}),
        ("east", "s3", {"volumes": [{"containerPath": "/data", "volumeName": later}], "image": later}),
        ("west", "s3", {"volumes": [{"containerPath": "/data", "volumeName": later}], "command": later}),
        ("west", "platform", {"ports": [{"internal": 8080, "external": 8080, "ip": later}]}),
        ("west", "agent", {"uploads": later}),
    ):
        spoilt = with_properties(place, kind, **changed)(spoilt)
    assert judge(plan_of([shown(one) for one in spoilt])) == {}


def test_an_unnamed_volume_is_gone_with_its_container() -> None:
    unnamed = with_properties("east", "s3", volumes=[{"containerPath": "/data"}])
    assert set(judge(unnamed(plan("dev")))) == {"durability"}
