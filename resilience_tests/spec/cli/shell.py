"""Calls commands as they are typed, and reads what they print."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from cutover.adapters.s3.codec import grant_to_json
from cutover.cli.application import run
from cutover.model.register import Grant
from resilience_tests.spec.cli.world import World

SECONDS_MAX = 60
"""Longest that a command may take: many of them wait for something, and a mistake makes that for ever."""


@contextmanager
def in_time() -> Iterator[None]:
    """Fail whatever runs in this thread for too long."""

    def late(*_: object) -> None:
        raise TimeoutError(f"not within {SECONDS_MAX} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS_MAX)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Shell:
    """A terminal."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.progress = ""

    def call(self, *words: str) -> tuple[int, Mapping[str, Any]]:
        """Exit status and JSON answer of a command."""
        with in_time():
            status = run([*words, "--json"])
        shown = self._capsys.readouterr()
        self.progress = shown.err
        return status, json.loads(shown.out)

    def text(self, *words: str) -> str:
        """What a command that succeeds prints for people."""
        with in_time():
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
