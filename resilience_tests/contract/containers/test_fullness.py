"""A site's disk can be filled to the last block and emptied again; the machine's own cannot."""

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.disks import fullness
from infra.disks.fullness import NotFilled, fill, free

BYTES = 4 << 20


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={BYTES}", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip(f"NOT TRIED, nothing may be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_on_a_full_disk_nothing_more_can_be_written_until_it_is_freed(disk: Path) -> None:
    assert fill(disk) == BYTES
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        (disk / "row").write_bytes(b"x")
    assert free(disk)
    (disk / "row").write_bytes(b"x")
    assert not free(disk)


def test_a_disk_can_be_filled_up_to_a_margin(disk: Path) -> None:
    fill(disk, leave=100_000)
    (disk / "row").write_bytes(b"x" * 90_000)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        (disk / "row").write_bytes(b"x" * 200_000)


def test_the_machines_own_file_system_is_never_filled() -> None:
    with pytest.raises(NotFilled, match="this machine"):
        fill(Path("/"))
    assert not Path("/", fullness.FILE).exists()


def test_a_disk_that_is_too_large_for_a_sites_is_not_filled(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fullness, "FREE_BYTES_MAX", BYTES - 1)
    with pytest.raises(NotFilled, match="too much"):
        fill(disk)
    assert list(disk.iterdir()) == []


def test_a_folder_at_which_no_disk_is_mounted_is_not_filled(disk: Path) -> None:
    (disk / "folder").mkdir()
    with pytest.raises(NotFilled, match="no disk is mounted"):
        fill(disk / "folder")
    assert list((disk / "folder").iterdir()) == []
