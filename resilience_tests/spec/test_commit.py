"""Which code a drill was run with is named where that is known, and no drill needs it."""

from pathlib import Path

import pytest

from drill.commit import commit_here


def test_a_machine_without_git_names_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commit_here() is None
