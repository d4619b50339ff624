"""What a dead stack wrote down may be somebody else's now, after a reboot above all: that is left alone."""

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from infra.embedded import reaper
from infra.embedded.groups import Freezer
from infra.embedded.postgres import release_memory
from infra.embedded.processes import Identity, identify
from infra.embedded.reaper import kill_leftovers
from infra.embedded.state import StackFolder

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.shmat.restype = ctypes.c_void_p
LIBC.shmdt.argtypes = (ctypes.c_void_p,)
CREATE, REMOVE = 0o3600, 0  #: exclusively, for ourselves; and what shmctl calls IPC_RMID
BYTES = 56
KEYS = (0x7A000000 | os.getpid() % 0x10000, ~0x7A000000 | os.getpid() % 0x10000)
SLEEPS = "import signal; signal.pause()"


@pytest.fixture(params=KEYS, ids=["positive", "negative"])
def key(request: pytest.FixtureRequest) -> int:
    """A key as the C library takes it: a number of 32 bits with a sign."""
    return int(request.param)


@pytest.fixture
def segment(key: int) -> Iterator[int]:
    """A segment of this key."""
    made = LIBC.shmget(key, BYTES, CREATE)
    assert made >= 0, os.strerror(ctypes.get_errno())
    yield made
    LIBC.shmctl(made, REMOVE, None)


def is_there(segment: int) -> bool:
    rows = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return segment in [int(row.split()[1]) for row in rows]


def of_server(data: Path, key: int, segment: int) -> Path:
    """The data directory of a server that was killed; it writes its key without a sign."""
    data.mkdir(exist_ok=True)
    lines = ["1", str(data), "1700000000", "5432", "/tmp", "127.0.0.1", f"{key % (1 << 64):9} {segment:9}"]
    (data / "postmaster.pid").write_text("\n".join([*lines, "ready   ", ""]))
    return data


def test_the_memory_of_a_server_that_was_killed_is_removed(tmp_path: Path, key: int, segment: int) -> None:
    release_memory(of_server(tmp_path, key, segment))
    assert not is_there(segment)


def test_the_memory_of_somebody_else_who_has_the_id_now_stays(tmp_path: Path, key: int, segment: int) -> None:
    release_memory(of_server(tmp_path, key + 1, segment))
    assert is_there(segment)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_memory_of_another_user_stays(tmp_path: Path, key: int, segment: int) -> None:
    os.chown(of_server(tmp_path, key, segment) / "postmaster.pid", 65534, 65534)
    release_memory(tmp_path)
    assert is_there(segment)


def test_memory_that_somebody_uses_stays_unless_the_server_is_known_to_run(
    tmp_path: Path, key: int, segment: int
) -> None:
    data = of_server(tmp_path, key, segment)
    held = LIBC.shmat(segment, None, 0)
    try:
        release_memory(data)
        assert is_there(segment)
        release_memory(data, in_use=True)
    finally:
        LIBC.shmdt(held)
    assert not is_there(segment)


@pytest.fixture
def process() -> Iterator["subprocess.Popen[bytes]"]:
    with subprocess.Popen([sys.executable, "-c", SLEEPS]) as running:
        yield running
        running.kill()


@pytest.mark.parametrize(
    ("supervisor", "killed"),
    [
        pytest.param(lambda me: replace(me, start=me.start - 1), False, id="another has its pid"),
        pytest.param(lambda me: me, True, id="it is ending"),
        pytest.param(lambda me: replace(me, pid=1 << 22), True, id="it is dead"),
    ],
)
def test_control_groups_are_known_by_a_pid_that_nobody_else_has(
    tmp_path: Path,
    process: "subprocess.Popen[bytes]",
    monkeypatch: pytest.MonkeyPatch,
    supervisor: Callable[[Identity], Identity],
    *,
    killed: bool,
) -> None:
    me = identify(os.getpid())
    assert me is not None
    folder = StackFolder("old", tmp_path / "stack", tmp_path / "reach")
    group = tmp_path / "group"
    for made in (folder.path, group):
        made.mkdir()
    (group / "cgroup.procs").write_text(f"{process.pid}\n")
    monkeypatch.setattr(reaper, "find_freezers", lambda _: [Freezer(group, v2=False)])
    folder.processes.write_text(json.dumps({"supervisor": asdict(supervisor(me)), "processes": []}))
    kill_leftovers(folder)
    assert (group / "freezer.state").exists() is killed
    if killed:
        assert process.wait() == -9
    assert process.poll() == (-9 if killed else None)
