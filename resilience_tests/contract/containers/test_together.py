"""All containers of a site die, stop and go on together, by what the kernel says of their processes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import APIError
from docker.models.containers import Container
from tenacity import stop_after_attempt

from infra.containers import together
from infra.containers.together import BY_ENGINE, kill_together, pause_together, resume_together
from infra.embedded.errors import StackError
from resilience_tests.contract.containers.field import Field

FAMILY = """
import os, signal
for _ in range(3):
    if os.fork() == 0:
        break
signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.pause()
"""
"""A program of four processes that do not end when they are asked to."""

PROCESSES = 4


@pytest.fixture
def site(ground: Field) -> Iterator[list[Container]]:
    """Three containers with four processes each, and an init."""
    containers = ground.start(FAMILY, FAMILY, FAMILY)
    for one in containers:
        _wait_for_all(one)
    yield containers
    for one in containers:
        one.remove(force=True)


def test_when_a_site_is_killed_all_its_processes_are_dead_on_return(site: list[Container]) -> None:
    pids = [pid for one in site for pid in _pids(one)]
    death = kill_together(site)
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists() and _lives(pid)] == []
    assert death.processes == len(pids) == 3 * (PROCESSES + 1)
    assert death.way.startswith("freezer-")


def test_a_paused_site_can_be_killed_and_started_again(site: list[Container]) -> None:
    pause_together(site)
    kill_together(site)
    for one in site:
        one.wait()
        one.start()
        one.reload()
        assert one.status == "running"


def test_killing_a_site_twice_finds_nothing_the_second_time(site: list[Container]) -> None:
    kill_together(site)
    for one in site:
        one.wait()
    assert kill_together(site).processes == 0


def test_a_paused_site_is_known_to_the_engine_as_paused_and_goes_on_when_resumed(
    site: list[Container],
) -> None:
    assert pause_together(site).containers == len(site)
    assert {_status(one) for one in site} == {"paused"}
    assert pause_together(site).containers == 0, "they are paused already"
    assert resume_together(site).containers == len(site)
    assert {_status(one) for one in site} == {"running"}


@pytest.mark.parametrize("times", [2, 1000])
def test_an_engine_that_is_too_busy_to_freeze_is_asked_again_but_not_for_ever(
    site: list[Container], monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """As runc says it on a loaded machine: once in some hundred pauses, and not on demand."""
    monkeypatch.setattr(together, "FREEZING", stop_after_attempt(3))
    refusals = iter([APIError("OCI runtime pause failed: unable to freeze: unknown")] * times)
    really = site[0].pause

    def pause() -> None:
        for refusal in refusals:
            raise refusal
        really()

    monkeypatch.setattr(site[0], "pause", pause)
    if times == 2:
        assert pause_together(site).containers == len(site)
        assert {_status(one) for one in site} == {"paused"}
    else:
        with pytest.raises(StackError, match="unable to freeze"):
            pause_together(site)


def test_where_no_control_group_is_at_hand_the_engine_is_asked(
    site: list[Container], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "freezer_of", lambda _: None)
    death = kill_together(site)
    assert death.way == BY_ENGINE
    assert {_status(one) for one in site} == {"exited"}


def _status(container: Container) -> str:
    container.reload()
    return container.status


def _pids(container: Container) -> list[int]:
    return [int(row[0]) for row in container.top(ps_args="-o pid")["Processes"]]


def _wait_for_all(container: Container) -> None:
    while len(_pids(container)) <= PROCESSES:
        container.reload()
        assert container.status == "running"


def _lives(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
