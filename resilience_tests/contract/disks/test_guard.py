"""Whose power is never cut: the shutdown call is replaced here, so that a guard that fails breaks nothing."""

import os
from pathlib import Path

import pytest

from infra.disks import kernel, table
from infra.disks.errors import NotOurDisk
from infra.disks.loop import LoopDisk, remove_leftovers


@pytest.fixture(autouse=True)
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The descriptors whose file system would have been shut down."""
    seen: list[int] = []
    monkeypatch.setattr(kernel, "shut_down", seen.append)
    return seen


@pytest.fixture
def image(tmp_path: Path) -> Path:
    made = tmp_path / "a.img"
    made.write_bytes(b"")
    return made


def pretend(monkeypatch: pytest.MonkeyPatch, image: Path, mount: Path, *, kind: str = "ext4") -> None:
    """Let the kernel's tables say that `mount` is this image's disk, although it is not."""
    device = mount.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    loop = table.Loop(number, Path("/dev/loop0"), image.resolve())
    monkeypatch.setattr(table, "loops", lambda: [loop])
    monkeypatch.setattr(table, "mounts", lambda: [table.Mount(number, mount.resolve(), kind)])


def test_the_root_file_system_is_refused(cuts: list[int], image: Path) -> None:
    with pytest.raises(NotOurDisk, match=r"^/ lies on the file system of /:"):
        LoopDisk(image, Path("/")).cut()
    assert cuts == []


def test_the_root_file_system_is_refused_whatever_the_tables_say(
    cuts: list[int], image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, image, Path("/"))
    with pytest.raises(NotOurDisk, match=r"^/ lies on the file system of /:"):
        LoopDisk(image, Path("/")).cut()
    assert cuts == []


def test_the_file_system_that_holds_the_image_is_refused_whatever_the_tables_say(
    cuts: list[int], image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = tmp_path / "mount"
    mount.mkdir()
    pretend(monkeypatch, image, mount)
    with pytest.raises(NotOurDisk, match="lies on the file system of"):
        LoopDisk(image, mount).cut()
    assert cuts == []


def test_another_file_system_of_the_machine_is_refused(cuts: list[int], image: Path) -> None:
    with pytest.raises(NotOurDisk, match="/proc is no mount point of an ext4 disk"):
        LoopDisk(image, Path("/proc")).cut()
    assert cuts == []


def test_a_mounted_device_over_another_file_is_refused(
    cuts: list[int], image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc = Path("/proc")
    pretend(monkeypatch, image, proc)
    LoopDisk(image, proc).cut()
    assert len(cuts) == 1, "the tables say that it is this image: nothing else is in the way"
    with pytest.raises(NotOurDisk, match="not from the image"):
        LoopDisk(image.with_name("other.img"), proc).cut()
    assert len(cuts) == 1


def test_a_file_system_that_is_not_ext4_is_refused(
    cuts: list[int], image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, image, Path("/proc"), kind="proc")
    with pytest.raises(NotOurDisk, match="no mount point of an ext4 disk"):
        LoopDisk(image, Path("/proc")).cut()
    assert cuts == []


def test_a_link_to_a_disk_is_refused(cuts: list[int], image: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/proc")
    with pytest.raises(NotOurDisk, match="cannot be opened"):
        LoopDisk(image, link).cut()
    assert cuts == []


def test_nobody_can_ask_for_every_disk_of_the_machine_to_be_removed() -> None:
    with pytest.raises(NotOurDisk, match="every disk of this machine"):
        remove_leftovers(Path("/"))
