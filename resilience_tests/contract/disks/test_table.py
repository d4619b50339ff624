"""What the kernel's tables say, read from text."""

from pathlib import Path

from infra.disks.table import Loop, Mount, loops, mounts_in

TABLE = """\
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 master:2 - ext4 /dev/vda rw,discard
90 27 7:3 / /var/tmp/a\\040place rw,nosuid,nodev,noatime - ext4 /dev/loop3 rw
"""


def a_block(blocks: Path, name: str, device: str, backing: str | None) -> None:
    (blocks / name / "loop").mkdir(parents=True)
    (blocks / name / "dev").write_text(f"{device}\n")
    if backing is not None:
        (blocks / name / "loop" / "backing_file").write_text(f"{backing}\n")


def test_a_mount_is_read_with_its_device_and_with_spaces_in_its_name() -> None:
    assert mounts_in(TABLE) == [
        Mount("0:21", Path("/proc"), "proc"),
        Mount("254:0", Path("/"), "ext4"),
        Mount("7:3", Path("/var/tmp/a place"), "ext4"),
    ]


def test_only_loop_devices_over_a_file_are_listed(tmp_path: Path) -> None:
    a_block(tmp_path, "loop0", "7:0", "/var/tmp/one.img")
    a_block(tmp_path, "loop1", "7:1", None)
    assert loops(tmp_path) == [Loop("7:0", Path("/dev/loop0"), Path("/var/tmp/one.img"))]


def test_a_device_over_a_deleted_file_is_known_by_the_name_that_the_file_had(tmp_path: Path) -> None:
    a_block(tmp_path, "loop0", "7:0", "/var/tmp/one.img (deleted)")
    assert loops(tmp_path) == [Loop("7:0", Path("/dev/loop0"), Path("/var/tmp/one.img"), removed=True)]
