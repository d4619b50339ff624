"""The command says of each variant whether it was caught, and its exit status tells of survivors."""

import json

import pytest

import drill.cli.planted as command
from drill.cli.application import run
from drill.planted import PLANTS
from drill.planted.plant import Plant

HARMLESS = Plant(
    name="harmless",
    rule="S2",
    checker="attached",
    about="nothing is wrong",
    seeds=2,
    processes=frozenset({"worker"}),
)


def test_what_is_caught_is_told_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PLANTS", {"one": PLANTS["bytes-never-copied"]})
    assert run(["planted", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["schema"] == 1
    (entry,) = told["planted"]
    assert entry.keys() == {"name", "rule", "checker", "caught", "seeds"}
    assert entry["caught"] is True
    assert entry["seeds"] >= 1


def test_a_variant_that_nothing_catches_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "PLANTS", {"harmless": HARMLESS})
    assert run(["planted"]) == 10
    assert "SURVIVED attached, 2 of at most 2" in capsys.readouterr().out
