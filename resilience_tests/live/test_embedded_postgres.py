"""The database servers of a stack: their programs, their data directories, and who they run as."""

import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.embedded.binaries import Binaries, find_binaries
from infra.embedded.errors import NoServerBinaries, StackError, UnsafeFolder
from infra.embedded.postgres import crc32c, give_identity
from infra.embedded.stack import EmbeddedStack
from infra.embedded.state import SERVER_USER, StateFolder, own_folder, server_user
from resilience_tests.live.embedded_stand_ins import HERE, SERVICES

CHECKOUT = Path(__file__).parents[2]
SECONDS = 120  #: only a failure waits this long

needs_root = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can start as another user: not checked here"
)


@pytest.fixture
def ours() -> Binaries:
    return find_binaries(StateFolder.open().cache, server_user())


@pytest.fixture
def private_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StateFolder]:
    """A state folder that is deep and that no other user can walk to."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    monkeypatch.setenv("CUTOVER_STATE", str(home / ("deep" * 20)))
    state = StateFolder.open()
    try:
        yield state
    finally:
        shutil.rmtree(state.reach)


def test_a_version_that_is_nowhere_is_an_error_that_lists_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(NoServerBinaries, match="no PostgreSQL 9 was found; looked at: /"):
        find_binaries(tmp_path, server_user(), 9)
    monkeypatch.setenv("CUTOVER_POSTGRES", str(tmp_path))
    with pytest.raises(NoServerBinaries, match="looked at: nothing"):
        find_binaries(tmp_path, server_user())


def test_the_checksum_is_castagnoli() -> None:
    assert crc32c(b"123456789") == 0xE3069283


def test_a_control_file_that_is_not_one_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "pg_control"
    broken.write_bytes(bytes(range(256)) * 32)
    with pytest.raises(StackError, match="no valid checksum"):
        give_identity(broken)


@pytest.mark.parametrize("version", [16, 18])
async def test_each_version_of_the_wheel_serves(version: int) -> None:
    try:
        find_binaries(StateFolder.open().cache, server_user(), version)
    except NoServerBinaries as error:
        pytest.skip(str(error))
    stack = await EmbeddedStack.up(services=SERVICES, postgres_version=version)
    try:
        for site in stack.sites:
            async with await stack.server(site).connect() as connection:
                found = await (await connection.execute("SHOW server_version_num")).fetchone()
                assert found is not None
                assert int(found[0]) // 10000 == version
                for setting in ("fsync", "full_page_writes", "synchronous_commit"):
                    assert await (await connection.execute(f"SHOW {setting}".encode())).fetchone() == ("on",)
    finally:
        await stack.down()


@needs_root
async def test_an_environment_in_a_private_home_is_copied_to_where_the_server_can_run_it(
    ours: Binaries, private_state: StateFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "private"
    home.mkdir(mode=0o700)
    packages = ours.folder.parent.parent
    shutil.copytree(ours.folder, home / ours.folder.parent.name / ours.folder.name, symlinks=True)
    for libraries in packages.glob(f"{ours.folder.parent.name}.libs"):
        shutil.copytree(libraries, home / libraries.name)
    monkeypatch.setenv("CUTOVER_POSTGRES", str(home / ours.folder.parent.name / ours.folder.name))

    stack = await EmbeddedStack.up(services=SERVICES)
    try:
        assert stack.description.binaries.folder.is_relative_to(private_state.cache)
        async with await stack.server("east").connect() as connection:
            await connection.execute("SELECT 1")
        postmaster = next(
            one["pid"] for one in (await stack.status())["processes"] if one["name"] == "east/postgres"
        )
        assert Path(f"/proc/{postmaster}").stat().st_uid == pwd.getpwnam(SERVER_USER).pw_uid
    finally:
        await stack.down()
    again = find_binaries(private_state.cache, server_user())
    assert again.folder == stack.description.binaries.folder
    assert len(list(private_state.cache.glob("postgres-*"))) == 1


@needs_root
def test_an_ordinary_user_brings_a_stack_up_too(tmp_path: Path) -> None:
    """Start the same stack as a user without rights, by an interpreter that this user can run."""
    account = pwd.getpwnam(SERVER_USER)
    python, path = _interpreter_for_others()
    state = Path(f"/var/tmp/cutover-test-{os.getpid()}")
    state.mkdir()
    os.chown(state, account.pw_uid, account.pw_gid)
    try:
        done = subprocess.run(
            [python, "-m", HERE, "ordinary", "once"],
            cwd=CHECKOUT,
            env={"PATH": os.defpath, "PYTHONPATH": path, "CUTOVER_STATE": str(state), "HOME": str(state)},
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout == "up\nkilled by stop, restarted\n"
        assert list((state / "stacks").iterdir()) == []
    finally:
        shutil.rmtree(state)


def _interpreter_for_others() -> tuple[str, str]:
    """Return a Python of our version that any user can start, and the path to our packages."""
    path = os.pathsep.join([str(CHECKOUT), *(one for one in sys.path if one.endswith("site-packages"))])
    wanted = f"{sys.version_info.major}.{sys.version_info.minor}"
    account = pwd.getpwnam(SERVER_USER)
    for python in (sys.executable, f"/usr/bin/python{wanted}", f"/usr/local/bin/python{wanted}"):
        try:
            done = subprocess.run(
                [python, "-c", "import uvloop, psycopg, infra.embedded.stack"],
                cwd="/",
                env={"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
                user=account.pw_uid,
                group=account.pw_gid,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return python, path
    pytest.skip(f"NOT CHECKED: user {SERVER_USER} can start no Python {wanted} with our packages")


def test_a_folder_that_somebody_else_made_in_our_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours").symlink_to(tmp_path / "theirs")
    with pytest.raises(UnsafeFolder, match="is a link"):
        own_folder(tmp_path / "ours", 0o711)
