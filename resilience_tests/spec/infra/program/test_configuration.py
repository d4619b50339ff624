"""What the program is told, what it answers to nonsense, and what it publishes."""

import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pulumi_docker as docker
import pytest
from pulumi._types import input_type_py_to_pulumi_names

from cutover.model.outputs import Outputs
from cutover.model.secret import Secret
from infra.blueprint.containers import Blueprint
from infra.blueprint.files import Files
from infra.blueprint.settings import BadSettings, StackSettings
from infra.components.exports import KEY, OUTPUTS, SETTINGS, NotPublished, Published, document_of, settings_of
from infra.policy.declared import IMAGE
from resilience_tests.spec.infra.program import graph
from resilience_tests.spec.infra.program.checks import CHECKS
from resilience_tests.spec.infra.program.graph import FOREIGN, OWN_STORE, STACKS, as_it_is, declare
from resilience_tests.style.sources import ROOT

NONSENSE: tuple[tuple[Mapping[str, Any], str], ...] = (
    ({"image": None}, "cutover:image: none is set"),
    ({"key": None}, "cutover:key: none is set"),
    ({"subnett": "198.18.64.0/22"}, "cutover:subnett is no key"),
    ({"subnet": "198.18.64.0/28"}, "cutover:subnet '198.18.64.0/28' is too small"),
    ({"name": "Dev"}, "cutover:name 'Dev'"),
    ({"hosts": ["east"]}, "cutover:hosts: an object"),
    ({"hosts": {"south": "ssh://south"}}, "cutover:hosts: no place is called 'south'"),
    (
        {"hosts": {"east": "ssh://a", "west": "ssh://b", "witness": "ssh://c"}},
        "cutover:hosts: no bridge joins",
    ),
    ({"hosts": {"east": "ssh://a"}}, "cutover:hosts: no bridge joins"),
    ({"links": {"east": "10.20.1.10"}}, "cutover:links: west has no address"),
    (
        {"links": dict.fromkeys(("east", "west", "witness"), "8.8.8.8")},
        "cutover:links.east: 8.8.8.8 is no private",
    ),
    ({"healthInterval": "60s"}, "cutover:healthInterval '60s': write it as"),
    ({"s3Image": "store:1"}, "cutover:s3Image: say in s3_variables"),
    ({**FOREIGN, "s3Variables": ["ONE"]}, "cutover:s3Variables: two names"),
    ({"postgres": {"fsync": False}}, "cutover:postgres.fsync: a text is needed"),
    ({"expires": "tomorrow"}, "cutover:expires: 'tomorrow' is no moment"),
)


@pytest.mark.parametrize(("changed", "message"), NONSENSE, ids=[message for _, message in NONSENSE])
def test_a_wrong_configuration_is_refused_with_its_key(changed: Mapping[str, Any], message: str) -> None:
    with pytest.raises(BadSettings) as refused:
        declare("dev", **changed)
    assert message in str(refused.value)


def test_a_key_that_can_be_guessed_is_refused_and_not_shown() -> None:
    with pytest.raises(BadSettings, match=r"cutover:key: .* 24 at least") as refused:
        declare("dev", key="guess-me")
    assert "guess-me" not in str(refused.value)


def test_the_outputs_are_the_operators_contract() -> None:
    outputs = Outputs.from_json(json.dumps(as_it_is("dev").outputs[OUTPUTS]))
    assert (outputs.name, outputs.kind, outputs.source) == ("dev", "pulumi", "east")
    assert outputs.sites["west"].postgres.host == "198.18.64.80"


def test_where_sites_stand_on_machines_of_their_own_the_operator_goes_to_the_links() -> None:
    outputs = Outputs.from_json(json.dumps(as_it_is("staging").outputs[OUTPUTS]))
    hosts = [outputs.sites["east"].postgres.host, outputs.sites["west"].postgres.host]
    assert hosts == ["10.20.1.10", "10.20.2.10"]


@pytest.mark.parametrize("stack", STACKS)
def test_what_is_published_is_enough_to_know_every_file(stack: str) -> None:
    """Goal: a command that reads the outputs knows the stack as the program knew it.

    Method: rebuild the files of every container from the outputs alone, and
    compare them with those that the program uploads.
    """
    declared = as_it_is(stack)
    published = Published.read(json.loads(json.dumps(dict(declared.outputs))))
    files = Files.usual(published.blueprint, published.keys)
    for one in declared.containers():
        place, _, kind = one.name.partition("-")
        box = published.blueprint.containers[f"{place}/{kind}"]
        uploaded = {file["file"]: file["content"] for file in one.properties.get("uploads", ())}
        assert uploaded == {f"/etc/cutover/{path}": text for path, text in files.of(box).items()}


def test_settings_come_back_as_they_were() -> None:
    settings = StackSettings(name="dev", image="site:1", s3_health=("CMD", "true"), s3_variables=("A", "B"))
    assert settings_of(json.loads(json.dumps(document_of(settings)))) == settings


def test_outputs_that_hide_the_key_are_refused() -> None:
    document = document_of(StackSettings(name="dev", image="site:1"))
    for outputs in (
        {SETTINGS: document},
        {SETTINGS: document, KEY: "[secret]"},
        {KEY: "k", SETTINGS: {"a": 1}},
    ):
        with pytest.raises(NotPublished):
            Published.read(outputs)


def test_a_store_of_somebody_else_gets_its_keys_as_variables_and_no_files() -> None:
    declared = as_it_is(OWN_STORE)
    for one in declared.containers(kind="s3"):
        assert "uploads" not in one.properties
        assert "envs" in one.secrets
        assert one.properties["volumes"][0]["containerPath"] == "/var/store"
        names = [variable.partition("=")[0] for variable in one.properties["envs"]]
        assert names == ["ROOT_PASSWORD", "ROOT_USER"]
    assert {one.properties["name"] for one in declared.of(IMAGE)} == {graph.IMAGE, "store:1"}


def test_everywhere_the_same_pair_of_keys_opens_such_a_store() -> None:
    declared = as_it_is(OWN_STORE)
    (secret,) = (
        variable.partition("=")[2]
        for variable in declared.one("docker:index/container:Container", "west-s3").properties["envs"]
        if variable.startswith("ROOT_PASSWORD")
    )
    published = Published.read(declared.outputs)
    pairs = {published.keys.pair(viewer, "west").secret_key for viewer in ("operator", "east", "west")}
    assert pairs == {Secret(secret)}


def marks(**changed: Any) -> Mapping[str, str]:
    """The labels of a network of a stack."""
    return labels_of("docker:index/network:Network", "east", **changed)


def labels_of(type_: str, name: str, **changed: Any) -> Mapping[str, str]:
    """The labels of one thing of a stack."""
    made = declare("dev", **changed).one(type_, name)
    return {one["label"]: one["value"] for one in made.properties["labels"]}


def test_the_expiry_is_written_as_seconds() -> None:
    assert marks(expires="2027-01-31T18:00:00Z")["cutover.expires"] == "1801418400"


def test_data_that_pulumi_made_never_expire_and_those_of_others_with_their_stack() -> None:
    volume = ("docker:index/volume:Volume", "east-postgres")
    assert labels_of(*volume, expires="2027-01-31T18:00:00Z")["cutover.expires"] == "never"
    assert labels_of(*volume, labels={"cutover.expires": "5"})["cutover.expires"] == "5"


def test_what_pulumi_made_is_pulumis_and_stays() -> None:
    found = marks()
    assert (found["cutover.owner"], found["cutover.expires"]) == ("pulumi", "never")


def test_who_deploys_in_pulumis_place_says_whose_it_is_and_not_where() -> None:
    given = {"cutover.owner": "1:2@here", "cutover.expires": "5", "cutover.place": "moon", "team": "red"}
    found = marks(labels=given)
    assert found == {**given, "cutover.place": "east", "cutover.kind": "network", "cutover.stack": "dev"}


def test_one_engine_for_all_places_may_be_named() -> None:
    hosts = dict.fromkeys(("east", "west", "witness"), "tcp://10.0.0.5:2376")
    declared = declare("dev", hosts=hosts)
    assert {one.name for one in declared.of(graph.PROVIDER)} == {"east", "west", "witness", "link"}
    for check in CHECKS:
        assert not list(check(declared)), check.__name__


@pytest.mark.parametrize(
    ("configured", "environment", "host"),
    [
        ({}, None, None),
        ({}, "unix:///of/the/environment", "unix:///of/the/environment"),
        ({"docker:host": "tcp://10.0.0.5:2376"}, "unix:///of/the/environment", "tcp://10.0.0.5:2376"),
        ({"docker:host": "tcp://10.0.0.5:2376"}, None, "tcp://10.0.0.5:2376"),
    ],
)
def test_places_without_hosts_have_providers_of_one_engine(
    configured: Mapping[str, Any], environment: str | None, host: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is said of the engine where nothing is known of it: the provider finds its usual socket."""
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    if environment:
        monkeypatch.setenv("DOCKER_HOST", environment)
    told = {one.name: dict(one.properties) for one in declare("dev", **configured).of(graph.PROVIDER)}
    assert told == dict.fromkeys(("east", "west", "witness", "link"), {"host": host} if host else {})


def test_a_host_of_a_place_is_stronger_than_the_one_for_all() -> None:
    for_all: Mapping[str, Any] = {"docker:host": "tcp://10.0.0.5:2376"}
    declared = declare("staging", **for_all)
    told = {one.properties["host"] for one in declared.of(graph.PROVIDER)}
    assert told == set(declared.outputs[SETTINGS]["hosts"].values())


def test_what_else_pulumi_is_told_of_an_engine_reaches_the_providers() -> None:
    """Goal: none of the `docker:` keys is lost, which reach a default provider by themselves.

    Method: compare what our providers are told with the keys as Pulumi hands them over: objects as JSON.
    """
    told: Mapping[str, Any] = {
        "host": "tcp://10.0.0.5:2376",
        "context": "far",
        "certPath": "/srv/certs",
        "caMaterial": "CA",
        "certMaterial": "CERT",
        "keyMaterial": "KEY",
        "sshOpts": '["-i", "id"]',
        "registryAuth": '[{"address": "registry.example", "username": "u", "password": "p"}]',
        "disableDockerDaemonCheck": "true",
    }
    configured: Mapping[str, Any] = {f"docker:{key}": value for key, value in told.items()}
    for one in declare("dev", **configured).of(graph.PROVIDER):
        assert dict(one.properties) == told
        assert {"keyMaterial", "registryAuth"} <= one.secrets
    assert told.keys() == set(input_type_py_to_pulumi_names(docker.ProviderArgs).values())


def test_disks_of_the_machine_take_the_place_of_volumes() -> None:
    declared = declare("dev", disks={"east": "/srv/east"})
    kept = {
        one.name: (
            one.properties["volumes"][0].get("hostPath"),
            one.properties["volumes"][0].get("volumeName"),
        )
        for one in declared.containers(kind="postgres")
    }
    assert kept == {
        "east-postgres": ("/srv/east/postgres", None),
        "west-postgres": (None, "dev-west-postgres"),
    }


def test_two_stacks_on_one_engine_share_no_name_and_no_address() -> None:
    names = [
        {
            str(one.properties["name"])
            for one in as_it_is(stack).registered.values()
            if "name" in one.properties
        }
        for stack in ("dev", "staging")
    ]
    assert names[0] & names[1] == {graph.IMAGE}
    subnets = [
        Blueprint(settings_of(as_it_is(stack).outputs[SETTINGS])).settings.subnet
        for stack in ("dev", "staging")
    ]
    assert len(set(subnets)) == 2


def test_the_names_of_outputs_are_known_without_pulumi() -> None:
    seen = "import sys; import infra.components.exports; print('pulumi' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", seen], check=True, capture_output=True, cwd=ROOT)
    assert told.stdout.strip() == b"False"


def test_nothing_beside_the_program_hides_a_module_of_others() -> None:
    """The program runs in its own folder, which comes first on the path; the policies in theirs."""
    beside = [path for folder in ("infra", "infra/policy") for path in (ROOT / folder).iterdir()]
    others = {*sys.stdlib_module_names, *packages_distributions()}
    assert not [path for path in beside if module_name(path) in others]


def module_name(path: Path) -> str:
    return path.name.removesuffix(".py") if path.suffix == ".py" or path.is_dir() else ""


AS_THE_HOST_RUNS_IT = """
import asyncio, json, runpy, sys
import pulumi
from pulumi.runtime import mocks
from pulumi.runtime.stack import run_in_stack

class Engine(mocks.Mocks):
    def call(self, args): raise AssertionError(args.token)
    def new_resource(self, args): return args.name, {**args.inputs, "imageId": "sha256:x"}

config = json.loads(sys.argv[1])
asyncio.set_event_loop(asyncio.new_event_loop())
pulumi.runtime.set_all_config(config, ["cutover:key"])
mocks.set_mocks(Engine(), project="cutover", stack="dev", preview=False)
pulumi.runtime.settings.set_root_resource(None)
program = lambda: runpy.run_path(".", run_name="__main__") and None
asyncio.get_event_loop().run_until_complete(run_in_stack(program))
print("declared")
"""
"""In the folder of the program, which is named by a dot and comes first on the path."""


def test_the_program_runs_in_its_own_folder() -> None:
    words = [sys.executable, "-c", AS_THE_HOST_RUNS_IT, json.dumps(graph.configured("dev"))]
    told = subprocess.run(words, check=True, capture_output=True, text=True, cwd=ROOT / "infra")
    assert told.stdout == "declared\n"
