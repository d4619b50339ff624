"""A disk whose power is cut keeps what was synced and nothing else, and leaves nothing behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.disks import kernel
from infra.disks.errors import DiskFailed, DiskHeld, NoPowerCut, NotOurDisk
from infra.disks.loop import LoopDisk, leftovers, remove_leftovers, why_impossible

SIZE = 64 << 20
WHY_NOT = why_impossible()
needs_disks = pytest.mark.skipif(WHY_NOT is not None, reason=f"NOT TRIED, no power can be cut: {WHY_NOT}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LoopDisk]:
    made = LoopDisk.make(tmp_path / "disk.img", tmp_path / "mount", size=SIZE, label="test")
    try:
        yield made
    finally:
        made.remove()


def write(path: Path, data: bytes, *, sync: bool) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


@needs_disks
def test_a_power_cut_loses_what_was_not_synced_and_nothing_else(disk: LoopDisk) -> None:
    write(disk.mount / "kept", b"kept" * 5000, sync=True)
    sync_folder(disk.mount)
    write(disk.mount / "lost", b"lost" * 5000, sync=False)
    assert (disk.mount / "lost").read_bytes() == b"lost" * 5000
    disk.cut()
    disk.restore()
    assert (disk.mount / "kept").read_bytes() == b"kept" * 5000
    assert not (disk.mount / "lost").exists()


@needs_disks
def test_what_was_written_before_a_sync_of_the_whole_disk_is_kept(disk: LoopDisk) -> None:
    write(disk.mount / "one", b"1", sync=False)
    disk.sync()
    disk.cut()
    disk.restore()
    assert (disk.mount / "one").read_bytes() == b"1"


@needs_disks
def test_every_call_fails_between_the_cut_and_the_restore(disk: LoopDisk) -> None:
    write(disk.mount / "one", b"1", sync=True)
    assert not disk.is_cut
    disk.cut()
    assert disk.is_cut
    with pytest.raises(OSError, match="Input/output error"):
        write(disk.mount / "two", b"2", sync=True)
    with pytest.raises(OSError, match="Input/output error"):
        (disk.mount / "one").open()
    disk.restore()
    assert not disk.is_cut
    assert (disk.mount / "one").read_bytes() == b"1"


@needs_disks
def test_a_disk_can_lose_its_power_again_and_again(disk: LoopDisk) -> None:
    for number in range(3):
        write(disk.mount / f"{number}", b"x", sync=True)
        sync_folder(disk.mount)
        disk.cut()
        disk.restore()
    assert {path.name for path in disk.mount.iterdir()} >= {"0", "1", "2"}


@needs_disks
def test_a_disk_that_somebody_holds_is_not_restored_behind_his_back(
    disk: LoopDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel, "HELD_SECONDS_MAX", 0.0)
    with (disk.mount / "open").open("wb"):
        disk.cut()
        with pytest.raises(DiskHeld, match="in use"):
            disk.restore()
        assert disk.is_cut
    disk.restore()
    assert not disk.is_cut


@needs_disks
def test_another_process_finds_the_disk_by_its_image_and_mount(disk: LoopDisk) -> None:
    assert LoopDisk.attach(disk.image, disk.mount) == disk
    with pytest.raises(NotOurDisk):
        LoopDisk.attach(disk.image.with_name("other.img"), disk.mount)


@needs_disks
def test_a_disk_that_is_removed_leaves_nothing(disk: LoopDisk) -> None:
    disk.cut()
    disk.remove()
    assert not disk.image.exists()
    assert leftovers(disk.image.parent) == []
    assert not os.path.ismount(disk.mount)
    disk.remove()


@needs_disks
def test_what_a_killed_harness_left_is_found_and_removed(disk: LoopDisk) -> None:
    disk.cut()
    (found,) = leftovers(disk.image.parent)
    assert (found.loop.backing, found.mounts) == (disk.image, (disk.mount,))
    assert remove_leftovers(disk.image.parent) == [found]
    assert leftovers(disk.image.parent) == []
    assert not disk.image.exists()


@needs_disks
def test_what_was_left_is_found_also_when_its_image_was_deleted(disk: LoopDisk) -> None:
    disk.image.unlink()
    assert len(remove_leftovers(disk.image.parent)) == 1
    assert leftovers(disk.image.parent) == []


@needs_disks
def test_the_disks_of_others_are_left_alone(disk: LoopDisk, tmp_path: Path) -> None:
    beside = tmp_path / "disk.img.d"
    beside.mkdir()
    assert remove_leftovers(beside) == []
    assert not disk.is_cut


@needs_disks
def test_a_disk_is_not_made_over_another_and_a_failure_leaves_nothing(disk: LoopDisk, tmp_path: Path) -> None:
    with pytest.raises(DiskFailed, match="is there already"):
        LoopDisk.make(disk.image, tmp_path / "second", size=SIZE, label="test")
    assert not disk.is_cut
    with pytest.raises(DiskFailed, match=r"mkfs\.ext4 .* ended with"):
        LoopDisk.make(tmp_path / "small.img", tmp_path / "third", size=4096, label="small")
    assert not (tmp_path / "small.img").exists()
    assert len(leftovers(tmp_path)) == 1


def test_where_it_is_impossible_the_reason_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert "only root" in str(why_impossible())
    with pytest.raises(NoPowerCut, match="only root can mount a disk"):
        LoopDisk.make(tmp_path / "disk.img", tmp_path / "mount", size=SIZE, label="test")
    assert not (tmp_path / "disk.img").exists()


def test_programs_that_are_not_installed_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "missing_programs", lambda: ["mkfs.ext4"])
    if WHY_NOT is None:
        assert why_impossible() == "there is no mkfs.ext4 here. Install mount and e2fsprogs"
