"""A command is about the migration that was named, or about the only one; never about a guess."""

import json
from pathlib import Path

import pytest

from cutover.cli.plan_file import read_plan
from cutover.cli.selection import (
    find_outputs,
    forget,
    read_credentials,
    read_outputs,
    remember,
    resolve_stack,
    select,
)
from cutover.cli.state_files import state_folder
from cutover.errors import BadInput
from infra.embedded.state import StateFolder
from resilience_tests.spec.cli.world import outputs_of

PLAN = """\
schema: 1
name: {name}
source: east
target: west
tables: [{{name: posts, key: [id], merge: record}}]
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN.format(name="move"))
    return path


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    path = tmp_path / "outputs.json"
    path.write_text(outputs_of("east", "west").to_json())
    return path


def test_the_state_folder_is_the_one_of_the_embedded_stack(state: Path) -> None:
    assert StateFolder.open().root == state_folder() == state


@pytest.mark.usefixtures("state")
def test_the_only_migration_that_was_begun_is_found_without_being_named(plan: Path, outputs: Path) -> None:
    begun = select(plan, str(outputs))
    remember(begun)
    found = select(None, None)
    assert (found.plan, found.path, found.outputs_path) == (begun.plan, plan, outputs)
    assert begun.command("status") == f"cutover status --plan {plan}"
    assert found.command("status") == "cutover status"


def test_of_several_migrations_none_is_chosen_and_all_are_listed(
    state: Path, tmp_path: Path, outputs: Path
) -> None:
    for name in ("first", "second"):
        path = tmp_path / f"{name}.yaml"
        path.write_text(PLAN.format(name=name))
        remember(select(path, str(outputs)))
    with pytest.raises(BadInput, match="2 migrations are known here") as refused:
        select(None, None)
    assert f"first: {tmp_path / 'first.yaml'}" in str(refused.value)
    assert f"second: {tmp_path / 'second.yaml'}" in str(refused.value)
    forget(read_plan(tmp_path / "first.yaml").plan)
    assert select(None, None).plan.name == "second"
    (state / "plans" / "second.json").write_text("[]")
    with pytest.raises(BadInput, match="does not say which plan"):
        select(None, None)


@pytest.mark.usefixtures("state")
def test_with_no_migration_at_all_it_is_said_how_to_name_one() -> None:
    with pytest.raises(BadInput, match="--plan PLAN or CUTOVER_PLAN"):
        select(None, None)


def test_a_stack_is_a_file_or_the_embedded_one(state: Path, tmp_path: Path, plan: Path) -> None:
    assert resolve_stack("o.json", tmp_path) == tmp_path / "o.json"
    assert resolve_stack("embedded:a", tmp_path) == state / "stacks/a/outputs.json"
    assert resolve_stack("docker:a", tmp_path) == state / "stacks/a/outputs.json"
    with pytest.raises(BadInput, match="cutover stack up"):
        resolve_stack("embedded", tmp_path)
    for name in ("a", "b"):
        (state / "stacks" / name).mkdir(parents=True)
        (state / "stacks" / name / "outputs.json").touch()
        if name == "a":
            assert find_outputs(None, read_plan(plan)) == state / "stacks/a/outputs.json"
    with pytest.raises(BadInput, match="embedded:a, embedded:b"):
        resolve_stack("embedded", tmp_path)


def test_a_kind_without_a_name_is_its_stack_called_main_also_beside_others(state: Path, plan: Path) -> None:
    made = {}
    for name in ("drill-7-0", "main", "other"):
        made[name] = state / "stacks" / name / "outputs.json"
        made[name].parent.mkdir(parents=True)
        made[name].write_text("{}")
    assert resolve_stack("embedded", plan.parent) == made["main"]
    with pytest.raises(BadInput, match="3 stacks are up here: embedded:drill-7-0, "):
        find_outputs(None, read_plan(plan))


def test_the_plans_own_stack_is_seen_from_the_plan_and_the_callers_from_here(
    tmp_path: Path, plan: Path
) -> None:
    plan.write_text(plan.read_text() + "stack: of-plan.json\n")
    assert find_outputs(None, read_plan(plan)) == tmp_path / "of-plan.json"
    assert find_outputs("of-caller.json", read_plan(plan)) == Path("of-caller.json")


@pytest.mark.usefixtures("state")
def test_a_site_that_the_stack_does_not_have_is_named(plan: Path, outputs: Path) -> None:
    outputs.write_text(outputs_of("east", "north").to_json())
    with pytest.raises(BadInput, match="target 'west' is not a site of stack 'main', which has east, north"):
        select(plan, str(outputs))


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}'])
def test_outputs_that_are_wrong_are_refused_by_name(text: str, outputs: Path) -> None:
    outputs.write_text(text)
    with pytest.raises(BadInput, match=r"outputs\.json"):
        read_outputs(outputs)


def test_credentials_are_read_only_when_nobody_else_can(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    document = {"s3": {"access_key": "a", "secret_key": "hunter2"}, "postgres": {"cutover_admin": "hunter2"}}
    path.write_text(json.dumps(document))
    path.chmod(0o640)
    with pytest.raises(BadInput, match=r"mode 0640.*chmod 600"):
        read_credentials(path)
    path.chmod(0o600)
    assert set(read_credentials(path).postgres) == {"cutover_admin"}
    path.write_text(json.dumps(document | {"extra": "hunter2"}))
    with pytest.raises(BadInput, match="unknown key 'extra'") as refused:
        read_credentials(path)
    assert "hunter2" not in str(refused.value)
