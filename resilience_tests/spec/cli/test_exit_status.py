"""Every way in which a command can end has its status, and none is 1 or 2."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cutover import errors
from cutover.cli import application
from cutover.cli.answer import Answer, Outcome, answer_to

KEYS = {"schema", "outcome", "stage", "waiting_for", "next_steps", "error"}


@pytest.fixture(autouse=True)
def _own_state_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUTOVER_STATE", str(tmp_path / "state"))
    for name in ("CUTOVER_PLAN", "CUTOVER_STACK"):
        monkeypatch.delenv(name, raising=False)


def command_that(monkeypatch: pytest.MonkeyPatch, does: Callable[[], Answer]) -> None:
    """Put a command in the place of `pause`."""

    def pause() -> Answer:
        return does()

    monkeypatch.setitem(application.COMMANDS, "pause", pause)


def raising(error: BaseException) -> Callable[[], Answer]:
    def raise_it() -> Answer:
        raise error

    return raise_it


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.Refused("no"), 12),
        (errors.BadInput("no"), 12),
        (errors.NotReady(["no"]), 12),
        (errors.StaleTerm(site="east", carried=(1, 2), seen=(2, 3)), 12),
        (errors.Mismatch(["no"]), 12),
        (errors.Inconclusive("who knows"), 11),
        (errors.SiteUnreachable("east", "refused"), 13),
        (errors.Missing(site="east", key="k"), 10),
        (KeyboardInterrupt(), 130),
        (BrokenPipeError(), 130),
        (ZeroDivisionError("mistake"), 70),
        (SystemError("mistake"), 70),
    ],
)
def test_whatever_a_command_raises_has_its_exit_status(
    error: BaseException, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(monkeypatch, raising(error))
    assert application.run(["pause", "--json"]) == status
    answer = json.loads(capsys.readouterr().out)
    assert set(answer) == KEYS
    assert answer["schema"] == 1
    assert Outcome[answer["outcome"].upper()].exit_status == status


def test_every_error_of_ours_has_a_status_of_ours() -> None:
    def all_below(kind: type[errors.CutoverError]) -> set[type[errors.CutoverError]]:
        return {kind}.union(*(all_below(below) for below in kind.__subclasses__()))

    for kind in all_below(errors.CutoverError):
        assert answer_to(kind.__new__(kind)).outcome.exit_status in (10, 11, 12, 13)


def test_an_error_is_told_without_a_traceback_and_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command_that(monkeypatch, raising(errors.SiteUnreachable("east", "refused")))
    assert application.run(["pause"]) == 13
    shown = capsys.readouterr()
    assert "'east' cannot be reached: refused" in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == "Next: cutover status\n"


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--nonsense"],
        ["nonsense"],
        ["plan"],
        ["plan", "nonsense"],
        ["run"],
        ["run", "plan.yaml", "--until", "rolled-back"],
        ["run", "plan.yaml", "another.yaml"],
        ["status", "--watch=maybe"],
        ["stack", "up", "--stack", "podman:dev"],
        ["agent", "--site", "east", "--outputs", "o.json", "--port", "none"],
    ],
)
def test_wrong_usage_is_64_and_says_where_help_is(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert application.run([*arguments, "--json"]) == 64
    answer = json.loads(capsys.readouterr().out)
    assert (answer["outcome"], answer["stage"]) == ("wrong_usage", None)
    assert answer["error"]
    (step,) = answer["next_steps"]
    assert application.run(step.split()[1:]) == 0


def test_a_plan_that_is_wrong_is_refused_with_status_12(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.yaml"
    plan.write_text("schema: 1\nnmae: move\n")
    for command in (["plan", "check", str(plan)], ["run", str(plan)], ["status", "--plan", str(plan)]):
        assert application.run([*command, "--json"]) == 12
        answer = json.loads(capsys.readouterr().out)
        assert "line 2: unknown key 'nmae'; did you mean 'name'?" in answer["error"]


def test_the_command_itself_never_ends_with_1_when_its_reader_goes_away() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as closed:
        ended = subprocess.run(
            [sys.executable, "-c", "from cutover.cli import main; main()", "no-such-command", "--json"],
            stdout=closed,
            stderr=subprocess.PIPE,
            check=False,
            timeout=60,
        )
    assert (ended.returncode, ended.stderr) == (130, b"")


def test_help_imports_nothing_that_it_does_not_need() -> None:
    heavy = ["pydantic", "yaml", "psycopg", "psycopg2", "aiohttp", "boto3", "obstore", "rich", "infra"]
    code = (
        "import sys; from cutover.cli.application import run; status = run(['--help']);"
        f"sys.exit(', '.join(set({heavy}) & set(sys.modules)) or status)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (ended.returncode, ended.stderr) == (0, "")
