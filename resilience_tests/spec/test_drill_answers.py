"""What `cutover-drill` says of a command line that is wrong, or that is interrupted."""

from pathlib import Path

import pytest

from drill.cli import application
from drill.cli.application import run


@pytest.mark.parametrize(
    ("words", "said", "leads_on"),
    [
        (["run", "--fautl", "kill"], "--fautl", "cutover-drill run --help"),
        (["run", "--fault", "kill"], "strikes source, target, worker, coordinator, and --victim says which",
         "cutover-drill run --help"),
        (["gate", "--drills", "smok"], "'smok'; there are brief, smoke", "cutover-drill gate --help"),
        (["nosuch"], "'nosuch'", "cutover-drill --help"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_leads_to_the_help_of_that_command(
    words: list[str], said: str, leads_on: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(words) == 64
    told = capsys.readouterr().err
    assert said in told
    assert told.endswith(f"\nNext: {leads_on}\n")


def test_a_schedule_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--schedule", str(tmp_path / "tail.json")]) == 64
    told = capsys.readouterr().err
    assert "tail.json' cannot be read: No such file or directory. Give the path" in told
    assert "Errno" not in told


def test_an_interrupted_command_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted() -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(application.COMMANDS, "matrix", interrupted)
    assert run(["matrix"]) == 130
    assert "interrupted; nothing is judged" in capsys.readouterr().err
