"""Which stack of this machine a name or an outputs.json means, and what is refused before anything runs."""

import json
from pathlib import Path

import pytest

from drill.cli.application import run
from drill.live.stacks import NoSuchKind, Where
from drill.live.standing import DOCKER, EMBEDDED, PULUMI, NotStanding, Standing, standing
from infra.blueprint.settings import StackSettings
from infra.components.exports import KEY, Published
from infra.containers.description import ContainerDescription
from infra.containers.publishing import publish
from infra.containers.pulumi_folder import publish_here
from infra.embedded import contract
from infra.embedded.description import Description
from infra.embedded.ports import names
from infra.embedded.services import Services
from infra.embedded.state import StackFolder, StateFolder
from infra.s3_engines.resolve import OWN, VERSITYGW
from infra.topology import two_sites
from resilience_tests.spec.cli.pulumi import SECRET, outputs

OF_PULUMI = Published.read(outputs())


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    return StateFolder.open()


def of_processes(state: StateFolder, name: str = "main", first_port: int = 20032) -> Path:
    """The outputs.json of a stack of processes, with all files that `cutover stack up` writes about it."""
    folder = state.stack(name)
    folder.make()
    told = Description(
        name=name,
        keep=True,
        ports={port: first_port + n for n, port in enumerate(names(two_sites()))},
        services=Services(),
        postgres_folder="/usr",
        postgres_version=18,
        schema=None,
        s3_server=VERSITYGW,
    )
    told.save(folder)
    contract.publish(told, folder)
    return folder.path / "outputs.json"


def of_containers(state: StateFolder, s3_image: str | None = None, s3_url: str | None = None) -> Path:
    folder: StackFolder = state.stack("boxes")
    folder.make()
    settings = StackSettings(
        name="boxes",
        image="cutover-site:1",
        s3_image=s3_image,
        s3_url=s3_url,
        s3_variables=("ID", "KEY"),
        s3_health=("CMD", "true"),
    )
    told = ContainerDescription(settings=settings, keep=True, made_by="applier")
    told.save(folder)
    publish(folder, told, OF_PULUMI.keys)
    return folder.path / "outputs.json"


def test_what_the_own_state_folder_knows_is_found_by_its_name_and_by_its_outputs(
    state: StateFolder, tmp_path: Path
) -> None:
    processes, containers = of_processes(state), of_containers(state)
    assert standing(str(processes)) == standing("embedded:main") == Standing(EMBEDDED, "main", VERSITYGW)
    assert standing(str(containers)) == standing("docker:boxes") == Standing(DOCKER, "boxes", OWN)
    elsewhere = tmp_path / "copied.json"
    elsewhere.write_text(processes.read_text())
    assert standing(str(elsewhere)).name == "main"


@pytest.mark.parametrize(("image", "server"), [("cutover-versitygw:1", VERSITYGW), ("minio:1", OWN)])
def test_the_store_of_the_stack_is_known_where_its_losses_have_a_name(
    state: StateFolder, image: str, server: str
) -> None:
    assert Where(stack=str(of_containers(state, image))).stores == server


def test_a_store_outside_of_a_stack_that_stands_is_not_taken_for_judged(state: StateFolder) -> None:
    assert Where(stack=str(of_containers(state, s3_url="http://s3:9000"))).stores == "http://s3:9000"


def test_a_stack_of_pulumis_is_found_by_its_files_here_and_by_what_it_printed(tmp_path: Path) -> None:
    found = standing(str(publish_here(OF_PULUMI)))
    assert (found.kind, found.name) == (PULUMI, "dev")
    assert found.published is not None
    assert found.published.key.reveal() == SECRET
    printed = tmp_path / "printed.json"
    printed.write_text(json.dumps(outputs()))
    there = standing(str(printed))
    assert (there.kind, there.published) == (PULUMI, found.published)
    assert Where(stack=str(printed)).kind == PULUMI


def test_what_hides_the_key_is_refused(tmp_path: Path) -> None:
    printed = tmp_path / "printed.json"
    printed.write_text(json.dumps({**outputs(), KEY: "[secret]"}))
    with pytest.raises(NotStanding, match="--show-secrets"):
        standing(str(printed))


def test_the_outputs_of_a_stack_of_others_are_not_enough_to_end_its_sites(
    state: StateFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    foreign = tmp_path / "foreign.json"
    foreign.write_text(of_processes(state, "theirs").read_text().replace('"theirs"', '"elsewhere"'))
    for command in (["gate"], ["run", "--fault", "kill", "--victim", "source", "--at", "drain"]):
        assert run([*command, "--stack", str(foreign)]) == 64
        told = " ".join(capsys.readouterr().err.split())
        assert "'elsewhere', which this user did not bring up here" in told
        assert "decisions/0014" in told


def test_another_stack_of_the_same_name_is_not_struck_in_its_place(
    state: StateFolder, tmp_path: Path
) -> None:
    copied = tmp_path / "copied.json"
    copied.write_text(of_processes(state, first_port=20032).read_text())
    of_processes(state, first_port=20096)
    with pytest.raises(NotStanding, match="another stack 'main'"):
        standing(str(copied))


@pytest.mark.parametrize("name", ["../../main", "/etc", "Main", ""])
def test_a_name_out_of_a_file_leads_nowhere_else(state: StateFolder, tmp_path: Path, name: str) -> None:
    hostile = tmp_path / "hostile.json"
    hostile.write_text(of_processes(state).read_text().replace('"name": "main"', f'"name": "{name}"'))
    with pytest.raises(NotStanding, match=r"did not bring up here|describes no stack"):
        standing(str(hostile))


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("main", "is no stack to drill on"),
        ("podman", "is no stack to drill on"),
        ("pulumi", "is no stack to drill on"),
        ("docker:", "is no stack to drill on"),
        ("", "is no stack to drill on"),
        ("embedded:other", "`cutover stack up --stack embedded:other` brings it up"),
        ("docker:main", "is embedded:main"),
        ("nowhere/outputs.json", "cannot be read: No such file"),
    ],
)
def test_what_is_named_wrongly_is_said_with_what_to_do(state: StateFolder, named: str, says: str) -> None:
    of_processes(state)
    with pytest.raises((NoSuchKind, NotStanding), match=says):
        Where(stack=named)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": 1}', '"x"', '{"settings": 1, "key": "x"}'])
def test_a_file_that_describes_no_stack_is_said_to_be_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "outputs.json"
    file.write_text(text)
    with pytest.raises(NotStanding, match=r"is no JSON|describes no stack"):
        standing(str(file))


def test_a_stack_that_stands_has_its_stores_already(state: StateFolder) -> None:
    with pytest.raises(NoSuchKind, match="--s3-server versitygw"):
        Where(stack=str(of_processes(state)), s3_server=VERSITYGW)


def test_a_drill_is_repeated_on_the_stack_that_it_was_run_on(tmp_path: Path) -> None:
    printed = tmp_path / "what it printed.json"
    printed.write_text(json.dumps(outputs()))
    repeat = Where(stack=str(printed)).added_to("cutover-drill run --seed 1   # at commit c")
    assert repeat == f"cutover-drill run --seed 1 --stack '{printed}'   # at commit c"
