"""A migration, driven from the command line over two sites in memory."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cutover.cli.application import run
from cutover.cli.run import GOALS
from cutover.model.observation import FenceState
from cutover.model.stage import Stage
from resilience_tests.spec.cli.shell import Shell
from resilience_tests.spec.cli.world import PLAN, World, in_memory


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = in_memory(tmp_path, monkeypatch)
    world.add_post("east", "first")
    return world


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def to(stage: str, world: World, shell: Shell) -> None:
    status, answer = shell.call("run", str(world.path), "--until", stage)
    assert (status, answer["stage"]) == (0, stage.replace("-", "_")), answer


def test_a_dry_run_says_what_would_be_done_and_changes_nothing(world: World, shell: Shell) -> None:
    status, answer = shell.call("run", str(world.path), "--dry-run")
    assert (status, answer["stage"]) == (0, "preflight")
    moves = answer["details"]["moves"]
    stages = list(dict.fromkeys(move["stage"] for move in moves))
    assert stages == ["backfill", "catch_up", "verify", "drain", "cut_over", "soak"]
    (drain,) = (move["actions"] for move in moves if move["stage"] == "drain")
    assert {"action": "close-site", "site": "east"} in drain
    assert (world.witness.register, world.witness.entries) == (None, {})
    assert not (world.folder / "state").exists()


def test_a_dry_run_of_what_preflight_refuses_is_refused_as_the_run_is(world: World, shell: Shell) -> None:
    world.problems = ["table public.posts has no unique index over (id)"]
    assert world.problems[0] in shell.refused("run", str(world.path), "--dry-run")
    assert (world.witness.register, world.witness.entries) == (None, {})


def test_run_ends_at_soak_and_says_what_comes_next(world: World, shell: Shell) -> None:
    status, answer = shell.call("run", str(world.path))
    assert (status, answer["outcome"], answer["stage"]) == (0, "done", "soak")
    assert answer["waiting_for"] == "an operator runs `cutover complete` or `cutover roll-back`"
    assert f"cutover complete --plan {world.path}" in answer["next_steps"]
    assert "drain: close-site" in shell.progress
    assert world.posts("west") == ["first"]
    assert "west serves under epoch 2" in shell.text("status")
    assert shell.call("run", str(world.path))[1]["stage"] == "soak"


def test_complete_needs_agreement_and_ends_the_migration(world: World, shell: Shell) -> None:
    to("soak", world, shell)
    status, answer = shell.call("uninstall", "--yes")
    assert (status, "`cutover complete` or `cutover roll-back`" in answer["error"]) == (12, True)
    status, answer = shell.call("complete")
    assert (status, "say --yes" in answer["error"]) == (12, True)
    status, answer = shell.call("complete", "--yes")
    assert (status, answer["stage"], answer["next_steps"]) == (0, "complete", ["cutover uninstall"])
    assert "unfollow" in shell.progress
    assert "cannot be undone" in shell.progress
    status, answer = shell.call("roll-back")
    assert (status, "is complete" in answer["error"]) == (12, True)
    assert shell.call("complete", "--yes")[0] == 0
    status, answer = shell.call("uninstall", "--yes")
    assert status == 0
    assert {server.fence().state for server in world.servers.values()} == {FenceState.ABSENT}
    status, answer = shell.call("status")
    assert (status, "no migration is known here" in answer["error"]) == (12, True)


def test_rolling_back_from_soak_brings_the_targets_writes_home(world: World, shell: Shell) -> None:
    to("soak", world, shell)
    world.add_post("west", "second")
    status, answer = shell.call("roll-back")
    assert (status, answer["stage"]) == (0, "rolled_back"), answer
    assert shell.progress.startswith("Roll back:\ndrain (because an operator rolls back")
    assert world.posts("east") == ["first", "second"]
    assert "east serves under epoch 3" in shell.text("status")


def test_rolling_back_early_leaves_the_source_as_it_was(world: World, shell: Shell) -> None:
    to("catch-up", world, shell)
    status, answer = shell.call("complete", "--yes")
    assert (status, "only one at soak" in answer["error"]) == (12, True)
    assert shell.call("roll-back")[1]["stage"] == "rolled_back"
    assert world.servers["east"].fence().state is FenceState.ABSENT
    assert shell.call("roll-back")[0] == 0


def test_what_operators_ask_for_waits_in_the_journal(world: World, shell: Shell) -> None:
    to("catch-up", world, shell)
    assert shell.call("pause")[0] == 0
    _, answer = shell.call("status")
    assert answer["waiting_for"] == "an operator runs `cutover resume`"
    assert answer["next_steps"] == ["cutover resume"]
    assert answer["details"]["paused"] is True
    for command in (["resume"], ["approve"], ["roll-back", "--detach"]):
        assert shell.call(*command)[0] == 0
    entries = [json.loads(body) for body in world.witness.entries.values()]
    operators = [entry for entry in entries if entry["kind"] in ("intent", "approval")]
    asked = [entry["facts"].get("intent", entry["kind"]) for entry in operators]
    assert [name for name in asked if name != "take_over"] == ["pause", "resume", "approval", "roll_back"]


def test_a_brake_is_released_for_the_reason_that_the_operator_saw(world: World, shell: Shell) -> None:
    """One that comes on later has not been looked at: so nothing is asked for while none is on."""
    to("catch-up", world, shell)
    status, answer = shell.call("brake", "release")
    assert (status, "no brake is on" in answer["error"]) == (12, True)
    west = world.servers["west"]
    assert west.told is not None
    west.told = replace(west.told, braked="a table was emptied")
    assert shell.call("brake", "release")[0] == 0
    entries = [json.loads(body) for body in world.witness.entries.values()]
    reasons = [
        entry["facts"]["reason"] for entry in entries if entry["facts"].get("intent") == "release_brake"
    ]
    assert reasons == ["a table was emptied"]


def test_nothing_can_be_asked_of_a_migration_that_has_not_begun(world: World, shell: Shell) -> None:
    for command in (["pause"], ["resume"], ["approve"], ["roll-back"], ["complete"], ["verify"]):
        status, answer = shell.call(*command, "--plan", str(world.path))
        assert (status, "has not begun" in answer["error"]) == (12, True), command
    status, answer = shell.call("status", "--plan", str(world.path))
    assert (status, answer["stage"]) == (0, "preflight")
    assert f"cutover run {world.path}" in answer["next_steps"]
    assert world.witness.entries == {}


def test_verify_finds_a_difference_and_ends_with_status_10(
    world: World, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cutover.engine.compare.ROUNDS_BEFORE_BLAME", 0)
    to("soak", world, shell)
    status, answer = shell.call("verify")
    assert (status, answer["details"]["rows"]) == (0, 1)
    stray = world.servers["east"]
    stray._show_row("public.posts", ("stray",), {"id": "stray"}, 10**6)
    status, answer = shell.call("verify")
    assert (status, answer["outcome"]) == (10, "violated")
    assert "stray" in answer["error"]


def test_what_preflight_finds_is_listed_and_refused(world: World, shell: Shell) -> None:
    world.problems += ["table public.posts has no key", "wal_level at 'east' is replica"]
    for command in (["plan", "check", str(world.path)], ["run", str(world.path)]):
        status, answer = shell.call(*command)
        assert status == 12
        assert all(problem in answer["error"] for problem in world.problems)
    assert {server.fence().state for server in world.servers.values()} == {FenceState.ABSENT}
    world.problems.clear()
    assert shell.call("plan", "check", str(world.path))[0] == 0


def test_a_site_or_a_witness_that_does_not_answer_is_status_13(world: World, shell: Shell) -> None:
    to("catch-up", world, shell)
    world.down.add("west")
    status, answer = shell.call("status")
    assert (status, answer["outcome"], answer["stage"]) == (13, "unreachable", "catch_up")
    assert answer["details"]["sites"]["west"] is None
    assert answer["waiting_for"] == "'west' answers again"
    world.down.add("witness")
    for command in ("status", "pause", "verify"):
        assert shell.call(command)[0] == 13


def test_a_move_that_was_interrupted_does_not_make_a_site_silent(world: World, shell: Shell) -> None:
    to("catch-up", world, shell)
    first = min(n for n, body in world.witness.entries.items() if json.loads(body)["kind"] == "move")
    world.witness.entries = {n: body for n, body in world.witness.entries.items() if n <= first}
    status, answer = shell.call("status")
    assert (status, answer["error"]) == (0, None)
    assert None not in answer["details"]["sites"].values()
    assert "left to do: " in shell.text("status")
    world.down.add("west")
    status, answer = shell.call("status")
    assert (status, answer["error"]) == (13, "west did not answer")


def test_a_plan_that_was_edited_half_way_is_refused(world: World, shell: Shell) -> None:
    to("catch-up", world, shell)
    world.write_plan(PLAN.replace("seconds: 0.6", "seconds: 0.7"))
    before = dict(world.witness.entries)
    again = ["run", str(world.path)]
    for command in (again, [*again, "--dry-run"], ["status"], ["roll-back"]):
        status, answer = shell.call(*command)
        assert (status, "was edited" in answer["error"]) == (12, True), command
    assert world.witness.entries == before
    world.write_plan(PLAN + "# a remark is no edit\n")
    assert shell.call("status")[0] == 0


def test_a_journal_that_was_cut_or_is_not_ours_is_refused(world: World, shell: Shell) -> None:
    to("catch-up", world, shell)
    whole = dict(world.witness.entries)
    first = json.loads(whole[0])
    spoilt: dict[str, dict[int, bytes]] = {
        "entry 2 is missing": {n: body for n, body in whole.items() if n != 2},
        "is not JSON": whole | {3: whole[3][:20]},
        "schema": whole | {0: json.dumps(first | {"schema": 99}).encode()},
        "not a plan": whole | {0: json.dumps(first | {"kind": "approval"}).encode()},
        "was edited": whole | {0: json.dumps(first | {"facts": {"plan": {}}}).encode()},
    }
    for said, entries in spoilt.items():
        world.witness.entries = dict(entries)
        for command in (["run", str(world.path)], ["status"]):
            status, answer = shell.call(*command)
            assert (status, said in answer["error"].replace("journal ", "")) == (12, True), answer["error"]
        assert world.witness.entries == entries


def test_a_witness_that_forgot_its_register_is_refused(world: World, shell: Shell) -> None:
    to("catch-up", world, shell)
    world.witness.register = None
    status, answer = shell.call("run", str(world.path))
    assert (status, "lost its memory" in answer["error"]) == (12, True)


def test_another_migration_at_the_same_witness_is_refused(world: World, shell: Shell) -> None:
    to("catch-up", world, shell)
    world.witness.entries.clear()
    world.write_plan(PLAN.replace("name: move", "name: other"))
    status, answer = shell.call("run", str(world.path))
    assert (status, "another migration" in answer["error"]) == (12, True)


@pytest.mark.parametrize("stage", GOALS)
def test_run_can_stop_at_each_stage_and_go_on_from_there(stage: Stage, world: World, shell: Shell) -> None:
    to(stage.value.replace("_", "-"), world, shell)
    assert shell.call("run", str(world.path))[1]["stage"] == "soak"
    assert world.posts("west") == ["first"]


def test_watching_ends_when_the_migration_has_ended(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", str(world.path), "--until", "preflight"]) == 0
    assert run(["roll-back"]) == 0
    capsys.readouterr()
    assert run(["status", "--watch", "--json"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["stage"] == "rolled_back"


def test_a_plan_that_has_begun_is_not_checked_as_if_it_had_not(world: World, shell: Shell) -> None:
    to("catch-up", world, shell)
    world.problems.append("table public.posts has rows already")
    status, answer = shell.call("plan", "check", str(world.path))
    assert (status, answer["stage"]) == (0, "catch_up")
