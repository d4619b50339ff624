"""Calls commands as they are typed, and reads what they print."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cutover.adapters.s3.codec import grant_to_json
from cutover.cli.application import run
from cutover.model.register import Grant
from resilience_tests.spec.cli.world import World


class Shell:
    """A terminal."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.progress = ""

    def call(self, *words: str) -> tuple[int, Mapping[str, Any]]:
        """Exit status and JSON answer of a command."""
        status = run([*words, "--json"])
        shown = self._capsys.readouterr()
        self.progress = shown.err
        return status, json.loads(shown.out)

    def text(self, *words: str) -> str:
        """What a command that succeeds prints for people."""
        assert run(list(words)) == 0
        return self._capsys.readouterr().out

    def refused(self, *words: str) -> str:
        """The message of a command that must be refused."""
        status, answer = self.call(*words)
        assert (status, answer["outcome"]) == (12, "refused"), (words, answer)
        return str(answer["error"])


def intents(world: World) -> list[dict[str, Any]]:
    """What operators asked for, as the journal keeps it."""
    entries = [json.loads(body) for _, body in sorted(world.witness.entries.items())]
    facts = [entry["facts"] for entry in entries if entry["kind"] == "intent"]
    return [one for one in facts if one["intent"] != "take_over"]


def change_grant(world: World, **changes: Any) -> Grant:
    """Write into the register what no command would."""
    grant = world.witness.grant()
    assert grant is not None
    new = replace(grant, revision=grant.revision + 1, **changes)
    world.witness.register = grant_to_json(new)
    world.witness.version += 1
    return new
