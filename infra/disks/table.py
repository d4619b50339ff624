"""What the kernel says of loop devices and mounts: read, never asked to change."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
BLOCKS = Path("/sys/block")
GONE = " (deleted)"  #: what the kernel adds to the name of a backing file that was removed

_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclass(frozen=True, slots=True)
class Mount:
    """One line of the table of mounts."""

    device: str  #: "MAJOR:MINOR"
    point: Path
    kind: str  #: of file system


@dataclass(frozen=True, slots=True)
class Loop:
    """One loop device that has a backing file."""

    device: str  #: "MAJOR:MINOR"
    path: Path  #: such as /dev/loop0
    backing: Path  #: also when it was removed meanwhile
    removed: bool = False  #: whether it was


def mounts_in(table: str) -> list[Mount]:
    """Return the mounts that a text in the form of /proc/self/mountinfo tells of, oldest first."""
    return [_mount(line) for line in table.splitlines() if " - " in line]


def _mount(line: str) -> Mount:
    first, _, second = line.partition(" - ")
    fields = first.split(" ")
    return Mount(fields[2], Path(_unescaped(fields[4])), second.split(" ")[0])


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda found: chr(int(found[1], 8)), text)


def mounts() -> list[Mount]:
    """Return every mount that we see, oldest first."""
    return mounts_in(MOUNTS.read_text())


def mount_at(point: Path) -> Mount | None:
    """Return the mount that is on top at `point`, None when nothing is mounted there."""
    found = [one for one in mounts() if one.point == point.resolve()]
    return found[-1] if found else None


def loops(blocks: Path = BLOCKS) -> list[Loop]:
    """Return every loop device that has a backing file."""
    return list(_loops(blocks))


def _loops(blocks: Path) -> Iterator[Loop]:
    for block in sorted(blocks.glob("loop*")):
        try:
            backing = (block / "loop" / "backing_file").read_text().rstrip("\n")
            device = (block / "dev").read_text().strip()
        except OSError:
            continue  # it has none, or let go of it just now
        removed = backing.endswith(GONE)
        yield Loop(device, Path("/dev") / block.name, Path(backing.removesuffix(GONE)), removed)


def loop_of(image: Path) -> Loop | None:
    """Return the loop device whose backing file is `image`, None when there is none."""
    wanted = image.resolve()
    return next((one for one in loops() if one.backing == wanted and not one.removed), None)
