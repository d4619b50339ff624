"""Killing containers whose control groups vanish in the middle of it: each may die by itself."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from docker.models.containers import Container

from infra.containers import leftovers, together
from infra.containers.together import StillAlive, kill_together
from infra.embedded.groups import Freezer

SLEEPS = "import signal; signal.pause()"


class Vanishing(Freezer):
    """The group of a container that dies once it has been asked to freeze."""

    def freeze(self) -> bool:
        shutil.rmtree(self.folder)
        return super().freeze()


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", SLEEPS]) as running:
        yield running
        running.kill()


def group(folder: Path, kind: type[Freezer], pid: int) -> Freezer:
    """A folder that looks like a control group: to freeze what is in it takes writing a word."""
    folder.mkdir()
    (folder / "cgroup.procs").write_text(f"{pid}\n")
    return kind(folder, v2=False)


def container(name: str, freezer: Freezer | None = None, **more: Any) -> Container:
    attrs = {"State": {"Pid": 1}}
    made = SimpleNamespace(name=name, attrs=attrs, reload=lambda: None, freezer=freezer, **more)
    return cast("Container", made)


@pytest.fixture(autouse=True)
def _freezers(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (together, leftovers):
        monkeypatch.setattr(module, "freezer_of", lambda one: one.freezer)


def test_a_group_that_vanishes_leaves_no_other_one_frozen_and_nobody_alive(
    tmp_path: Path, process: "subprocess.Popen[bytes]"
) -> None:
    gone = Freezer(tmp_path / "gone", v2=False)
    vanishing = group(tmp_path / "vanishing", Vanishing, process.pid)
    stays = group(tmp_path / "stays", Freezer, process.pid)
    death = kill_together([container("a", gone), container("b", vanishing), container("c", stays)])
    assert (stays.folder / "freezer.state").read_text() == "THAWED"
    assert process.wait() == -9
    assert death.processes == 1


def test_a_container_that_dies_while_it_is_removed_breaks_no_clean_up_off(tmp_path: Path) -> None:
    asked: list[dict[str, bool]] = []
    found = container("a", Freezer(tmp_path / "gone", v2=False), remove=lambda **how: asked.append(how))
    assert leftovers._all([found], leftovers._remove_container) == []
    assert asked == [{"force": True, "v": True}]


def test_a_death_that_the_engine_does_not_tell_of_is_not_waited_for_for_ever() -> None:
    def wait(*, timeout: float | None = None) -> None:
        assert timeout, "the client waits without a limit"
        raise TimeoutError("no answer")

    with pytest.raises(StillAlive, match="a is dead: no answer"):
        kill_together([container("a", kill=lambda: None, wait=wait)])
