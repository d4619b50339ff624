"""Whose a stack is, where /proc shows nobody the processes of other users."""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import IO

import pytest

from infra.containers.claims import is_dead, this_process
from infra.embedded import processes

SAYS_WHO = "from infra.containers.claims import this_process as who; print(who())"


def not_allowed(pid: int, signal: int) -> None:
    raise PermissionError(f"{pid}: signal {signal} is not allowed")


@pytest.fixture
def hide(monkeypatch: pytest.MonkeyPatch) -> Callable[[OSError], None]:
    """Hide every process, as a /proc mounted with hidepid=1 or 2 does."""

    def now(error: OSError) -> None:
        def hidden(path: str, mode: str) -> IO[bytes]:
            raise error

        monkeypatch.setattr(processes, "open", hidden, raising=False)

    return now


@pytest.mark.parametrize("error", [FileNotFoundError(), PermissionError()], ids=["hidepid=2", "hidepid=1"])
def test_an_owner_whose_process_is_hidden_is_not_taken_for_dead(
    hide: Callable[[OSError], None], monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    owner = this_process()
    hide(error)
    assert not is_dead(owner)
    monkeypatch.setattr(os, "kill", not_allowed)
    assert not is_dead(owner), "another user's"


def test_an_owner_that_has_ended_is_dead_also_where_processes_are_hidden(
    hide: Callable[[OSError], None],
) -> None:
    ended = subprocess.run([sys.executable, "-c", SAYS_WHO], capture_output=True, text=True, check=True)
    owner = ended.stdout.strip()
    assert is_dead(owner)
    hide(FileNotFoundError())
    assert is_dead(owner)
