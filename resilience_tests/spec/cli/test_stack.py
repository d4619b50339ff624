"""`cutover stack` and `--stack` over processes, containers and stacks of Pulumi's, without any of them."""

import gc
import json
import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cutover.cli.application import run
from cutover.cli.selection import resolve_stack
from cutover.errors import BadInput
from infra.blueprint.settings import StackSettings
from infra.containers.description import EVER_MADE, ContainerDescription
from infra.containers.pulumi_cli import CHECKOUT, read
from infra.containers.pulumi_folder import FIRST_RUN, at_rest, forget, is_lent, publish_here, take_folder
from infra.containers.removal import remove_all
from infra.embedded.errors import StackInUse
from infra.embedded.state import StateFolder, take_lock
from infra.topology import two_sites
from resilience_tests.spec.cli.pulumi import SECRET, Pulumi, outputs
from resilience_tests.spec.cli.shell import Shell

NO_ENGINE = "unix:///nonexistent/docker.sock"


@pytest.fixture
def _in_vain() -> Iterator[None]:
    """Collect the socket that the client of an engine leaves open where nobody listens."""
    yield
    gc.collect()


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StateFolder:
    """An empty state folder, on a machine without a Docker engine and without Pulumi."""
    for name in ("CUTOVER_STACK", "CUTOVER_PLAN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", NO_ENGINE)
    monkeypatch.setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    return StateFolder.open()


@pytest.fixture
def pulumi(tmp_path: Path, state: StateFolder, monkeypatch: pytest.MonkeyPatch) -> Pulumi:
    """A machine with the stand-in for Pulumi."""
    assert state.stacks() == []
    made = Pulumi.make(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{made.folder}:{os.environ['PATH']}")
    return made


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


# -- up


def test_up_runs_pulumi_in_the_checkout_and_writes_what_the_stack_published(
    shell: Shell, pulumi: Pulumi, state: StateFolder
) -> None:
    status, answer = shell.call("stack", "up", "--stack", "pulumi:dev")
    assert (status, answer["details"]["outputs"]) == (0, str(state.stack("dev").path / "outputs.json"))
    assert pulumi.places == {str(CHECKOUT)}
    deploy, ask = pulumi.calls
    assert deploy == ["up", "--yes", "--stack", "dev"]
    assert ask[:2] == ["stack", "output"]
    assert ask[-2:] == ["--stack", "dev"]
    assert {"--json", "--show-secrets"} < set(ask)
    assert "pulumi preview --stack dev" in shell.progress
    told = json.loads((state.stack("dev").path / "outputs.json").read_text())
    assert (told["name"], told["kind"]) == ("dev", "pulumi")
    assert set(told["sites"]) == {site.name for site in two_sites().sites}
    for site in told["sites"].values():
        file = Path(site["credentials_file"])
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert json.loads(file.read_text())["postgres"]["platform"]


def test_no_secret_is_in_an_argument_or_in_what_is_said_and_all_lie_in_files_of_ours_alone(
    pulumi: Pulumi, state: StateFolder, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(["stack", "up", "--stack", "pulumi:dev"]) == 0
    folder = state.stack("dev")
    secrets = {SECRET} | {
        value
        for file in folder.credentials.glob("*.json")
        for value in [
            json.loads(file.read_text())["s3"]["secret_key"],
            *json.loads(file.read_text())["postgres"].values(),
        ]
    }
    assert len(secrets) > 10
    said = capfd.readouterr()
    heard = f"{pulumi.calls}{said.out}{said.err}"
    assert "Resources: 1 created" in said.err
    assert not [secret for secret in secrets if secret in heard]
    holders = [path for path in files_of(state.root) if any(secret in path.read_text() for secret in secrets)]
    assert {path.parent for path in holders} == {folder.credentials}
    assert {stat.S_IMODE(path.stat().st_mode) for path in holders} == {0o600}


def test_a_pulumi_that_fails_leaves_nothing_and_nothing_that_it_printed_is_told(
    shell: Shell, pulumi: Pulumi, state: StateFolder
) -> None:
    pulumi.tell(up={"status": 255})
    assert "`pulumi up --yes --stack dev` ended with 255" in shell.refused(
        "stack", "up", "--stack", "pulumi:dev"
    )
    for answer, reason in (
        ({"status": 1, "says": "error: no stack named 'dev' found\n", "prints": SECRET}, "no stack named"),
        ({"prints": f"{{ {SECRET}"}, "printed no JSON"),
        ({"prints": json.dumps({"key": SECRET})}, "no output 'settings'"),
        ({"prints": json.dumps({**outputs(), "key": "[secret]"})}, "is hidden"),
        ({"prints": json.dumps(outputs() | {"settings": {"name": "No Name"}})}, "not of this version"),
        ({"prints": json.dumps({**outputs(), "key": "too-short"})}, "has 9 bytes"),
    ):
        pulumi.tell(stack=answer)
        message = shell.refused("stack", "up", "--stack", "pulumi:dev")
        assert reason in message
        assert not any(secret in message for secret in (SECRET, "too-short"))
    assert [one for one in state.stacks() if (one.path / "outputs.json").exists()] == []


def test_without_pulumi_it_is_said_what_to_install_and_what_else_there_is(
    shell: Shell, state: StateFolder
) -> None:
    for words in (("up",), ("status",), ("down",)):
        message = shell.refused("stack", *words, "--stack", "pulumi:dev")
        assert all(part in message for part in ("Install the Pulumi CLI", "--stack docker", "outputs.json"))
    assert state.stacks() == []


@pytest.mark.usefixtures("_in_vain")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_without_an_engine_or_its_package_a_stack_of_containers_is_refused(
    shell: Shell, state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    message = shell.refused("stack", "up", "--stack", "docker")
    assert f"no Docker engine answers at {NO_ENGINE}" in message.replace(
        "DOCKER_HOST or its usual socket", NO_ENGINE
    )
    assert state.stacks() == []
    monkeypatch.setitem(sys.modules, "pulumi_docker", None)
    assert "extra `pulumi`; 'pulumi_docker' is not there" in shell.refused("stack", "up", "--stack", "docker")
    monkeypatch.setitem(sys.modules, "docker", None)
    assert "extras `docker` and `pulumi`; 'docker' is not there" in shell.refused(
        "stack", "up", "--stack", "docker"
    )


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("up", "--stack", "podman"), "say embedded, docker"),
        (("up", "--stack", "pulumi"), "pulumi:NAME"),
        (("up", "--image", "x"), "--image is for --stack docker"),
        (("up", "--stack", "docker", "--schema", "x.sql"), "--schema is for --stack embedded"),
        (("up", "--stack", "pulumi:dev", "--power-cut"), "pulumi config set"),
        (("down", "--stack", "outputs.json"), "say embedded, docker"),
    ],
)
def test_what_makes_no_sense_is_wrong_usage(shell: Shell, words: tuple[str, ...], reason: str) -> None:
    status, answer = shell.call("stack", *words)
    assert status == 64
    assert reason in answer["error"]


def test_a_name_that_would_be_an_option_of_pulumi_is_refused(shell: Shell, pulumi: Pulumi) -> None:
    assert "no name of a Pulumi stack" in shell.refused("stack", "up", "--stack", "pulumi:--help")
    assert pulumi.calls == []


# -- down


def test_down_runs_pulumi_destroy_and_removes_the_files(
    shell: Shell, pulumi: Pulumi, state: StateFolder
) -> None:
    shell.call("stack", "up", "--stack", "pulumi:dev")
    pulumi.tell(destroy={"status": 1})
    assert "ended with 1" in shell.refused("stack", "down", "--stack", "pulumi:dev")
    assert state.stack("dev").path.exists()
    pulumi.tell()
    status, answer = shell.call("stack", "down", "--stack", "pulumi:dev")
    assert (status, answer["details"]) == (0, {"down": ["dev"]})
    assert pulumi.calls[-1] == ["destroy", "--yes", "--stack", "dev"]
    assert not state.stack("dev").path.exists()


def test_where_there_never_were_containers_no_engine_and_no_package_is_needed(
    shell: Shell, pulumi: Pulumi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    assert shell.call("stack", "down", "--all")[1]["details"] == {"down": []}
    shell.call("stack", "up", "--stack", "pulumi:dev")
    status, answer = shell.call("stack", "down", "--all")
    assert (status, answer["details"]) == (0, {"down": [], "kept": ["pulumi:dev"]})
    assert "pulumi:dev stays up" in shell.text("stack", "down", "--all")
    assert "destroy" not in [words[0] for words in pulumi.calls]


@pytest.mark.usefixtures("_in_vain")
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_where_there_were_containers_an_engine_that_does_not_answer_is_told(
    shell: Shell, state: StateFolder
) -> None:
    (state.root / EVER_MADE).touch()
    assert "containers may be left: no Docker engine answers" in shell.refused("stack", "down", "--all")


# -- the same name for every command


def test_every_command_finds_a_stack_of_pulumi_by_its_name_and_sees_what_it_publishes_now(
    pulumi: Pulumi, state: StateFolder, tmp_path: Path
) -> None:
    assert resolve_stack("pulumi:dev", tmp_path) == state.stack("dev").path / "outputs.json"
    before = resolve_stack("pulumi:dev", tmp_path).read_text()
    moved = StackSettings(name="dev", image="cutover-site:test", subnet="10.9.0.0/22")
    pulumi.tell(stack={"prints": json.dumps(outputs(moved))})
    assert "10.9." in resolve_stack("pulumi:dev", tmp_path).read_text()
    assert "10.9." not in before
    (pulumi.folder / "pulumi").unlink()
    assert "10.9." in resolve_stack("pulumi:dev", tmp_path).read_text()
    with pytest.raises(BadInput, match="Install the Pulumi CLI"):
        resolve_stack("pulumi:other", tmp_path)


@pytest.mark.usefixtures("pulumi")
def test_a_stack_is_taken_for_what_it_is(shell: Shell, state: StateFolder, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cutover stack up --stack docker"):
        resolve_stack("docker", tmp_path)
    shell.call("stack", "up", "--stack", "pulumi:dev")
    folder = state.stack("main")
    folder.make()
    told = ContainerDescription(settings=read("dev").settings, keep=True, made_by="applier")
    told.save(folder)
    (folder.path / "outputs.json").write_text("{}")
    assert resolve_stack("docker", tmp_path) == folder.path / "outputs.json"
    with pytest.raises(BadInput, match="cutover stack up"):
        resolve_stack("embedded", tmp_path)
    assert "docker:main: say so with --stack" in shell.refused("stack", "status", "--stack", "embedded")
    assert "no stack of containers 'main' is up" in shell.refused("stack", "status")


# -- what is refused, and what leads on


def test_a_schema_that_is_not_there_is_refused_before_anything_is_brought_up(
    shell: Shell, state: StateFolder, tmp_path: Path
) -> None:
    message = shell.refused("stack", "up", "--schema", str(tmp_path / "shop.sql"))
    assert "shop.sql' cannot be read: No such file or directory. Nothing was brought up." in message
    assert (shell.progress, state.stacks()) == ("", [])


@pytest.mark.usefixtures("state")
def test_a_refusal_never_advises_what_was_refused(shell: Shell) -> None:
    for words, leads_on in (
        (("status",), ["cutover stack up"]),
        (("down", "--stack", "embedded:own"), ["cutover stack up --stack embedded:own"]),
    ):
        status, answer = shell.call("stack", *words)
        assert (status, answer["next_steps"]) == (12, leads_on)
    folder = StateFolder.open().stack("main")
    folder.make()
    lock = take_lock(folder.lock)  # as its supervisor has it: else it is taken for what a killed one left
    try:
        status, answer = shell.call("stack", "up")
    finally:
        os.close(lock)
    assert (status, answer["next_steps"]) == (12, ["cutover stack status", "cutover stack down"])


# -- a harness on a stack of Pulumi's


@pytest.mark.usefixtures("pulumi")
def test_while_a_harness_has_the_stack_nobody_else_takes_it_or_writes_its_files(
    shell: Shell, state: StateFolder, tmp_path: Path
) -> None:
    folder, description, lock = take_folder(state, read("dev"))
    try:
        with pytest.raises(StackInUse, match="another harness drills on pulumi:dev"):
            take_folder(state, read("dev"))
        assert resolve_stack("pulumi:dev", tmp_path) == folder.path / "outputs.json"
        assert ContainerDescription.load(folder) == replace(description, run=FIRST_RUN)
        assert "a harness drills on" in shell.refused("stack", "down", "--stack", "pulumi:dev")
        with pytest.raises(StackInUse):
            forget("dev")
    finally:
        os.close(lock)


@pytest.mark.usefixtures("pulumi")
def test_what_a_dead_harness_left_is_not_in_the_way_and_its_last_run_is_known(state: StateFolder) -> None:
    folder, first, lock = take_folder(state, read("dev"))
    first.save(folder)
    os.close(lock)
    folder.processes.write_text("{}")
    again, second, lock = take_folder(state, read("dev"))
    os.close(lock)
    assert again == folder
    assert not folder.processes.exists()
    assert FIRST_RUN != first.run == second.run


@pytest.mark.usefixtures("pulumi")
def test_which_run_a_stack_serves_is_known_until_it_is_given_back(state: StateFolder) -> None:
    """Nothing was published before: all that the harness wrote went with it, and the run was forgotten."""
    folder, description, lock = take_folder(state, read("dev"))
    description.save(folder)
    folder.processes.write_text("{}")
    os.close(lock)
    remove_all(folder, [])
    assert is_lent("dev")
    assert at_rest(folder), "there is nothing left to remove"
    outputs_file = publish_here(read("dev"))
    assert f"platform_r{description.run}" in outputs_file.read_text(), "where the platform writes"
    assert is_lent("dev")


@pytest.mark.usefixtures("pulumi")
def test_a_harness_that_did_nothing_yet_or_gave_the_stack_back_leaves_no_file(state: StateFolder) -> None:
    folder, _, lock = take_folder(state, read("dev"))
    os.close(lock)
    assert not is_lent("dev")
    remove_all(folder, [])
    assert not folder.path.exists()
    assert not folder.reach.exists()


@pytest.mark.usefixtures("pulumi")
def test_files_that_were_published_outlive_a_harness_and_say_whose_run_is_served(state: StateFolder) -> None:
    path = publish_here(read("dev"))
    assert not is_lent("dev")
    folder, description, lock = take_folder(state, read("dev"))
    description.save(folder)
    folder.processes.write_text("{}")
    os.close(lock)
    remove_all(folder, [])
    assert path.exists()
    assert is_lent("dev")
    assert not folder.processes.exists()
    assert publish_here(read("dev")) == path
    assert is_lent("dev")
    forget("dev")
    assert not folder.path.exists()


@pytest.mark.usefixtures("pulumi")
def test_a_name_that_another_kind_of_stack_has_is_not_taken(state: StateFolder, tmp_path: Path) -> None:
    state.stack("dev").make()
    for act in (lambda: publish_here(read("dev")), lambda: take_folder(state, read("dev"))):
        with pytest.raises(StackInUse, match="called 'dev' already"):
            act()
    with pytest.raises(BadInput, match="called 'dev' already"):
        resolve_stack("pulumi:dev", tmp_path)
