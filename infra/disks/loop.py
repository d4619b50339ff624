"""An ext4 disk in a file, whose power can be cut: what was not synced is lost.

A process that is killed loses nothing that it wrote, synced or not: the kernel
has it. A disk without power does. Here the disk is an image file behind a loop
device, and the cut is the shutdown call of ext4 without a flush of its journal:
from then on every call fails with EIO, and the next mount finds what the device
was given before. The image itself stays in the memory of the machine, so this
stands for a power cut of one site, not of the machine that it runs on.
"""

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.disks import kernel, table
from infra.disks.errors import DiskFailed, DiskHeld, NoPowerCut, NotOurDisk

SIZE = 2 << 30
"""Size of a disk (bytes); its image is sparse and takes what was written."""

LABEL_BYTES_MAX = 16  #: as ext4 has it

_CONTROL = Path("/dev/loop-control")
_CAP_SYS_ADMIN = 21
_ALL_USERS = 2**32 - 1  #: how many the user namespace of the machine itself maps


def why_impossible() -> str | None:
    """Return why no disk's power can be cut here, as a sentence; None when it can."""
    if os.geteuid() != 0:
        return "only root can mount a disk and cut its power. Run as root"
    if not _may_mount():
        return "this root may not mount a disk. Run on a host, or in a privileged container"
    if not _CONTROL.exists():
        return f"there is no {_CONTROL}, so no file can be a disk. Load the kernel's module `loop`"
    missing = kernel.missing_programs()
    if missing:
        return f"there is no {' and no '.join(missing)} here. Install mount and e2fsprogs"
    return None


def _may_mount() -> bool:
    """Whether we have CAP_SYS_ADMIN, and not in a user namespace only."""
    if int(Path("/proc/self/uid_map").read_text().split()[2]) != _ALL_USERS:
        return False
    status = Path("/proc/self/status").read_text()
    effective = next((line for line in status.splitlines() if line.startswith("CapEff:")), "CapEff: 0")
    return bool(int(effective.split()[1], 16) >> _CAP_SYS_ADMIN & 1)


@dataclass(frozen=True, slots=True)
class LoopDisk:
    """One disk: an image file, and where it is mounted."""

    image: Path
    mount: Path

    @classmethod
    def make(cls, image: Path, mount: Path, *, size: int = SIZE, label: str) -> "LoopDisk":
        """Make a disk of `size` bytes and mount it; nothing of it stays when that fails.

        Raises NoPowerCut where it is impossible, and DiskFailed when the image is
        there already, the label is too long, or a program refused.
        """
        if why := why_impossible():
            raise NoPowerCut(f"no disk can be made at {mount}: {why}")
        if len(label.encode()) > LABEL_BYTES_MAX:
            raise DiskFailed(f"label {label!r} is longer than {LABEL_BYTES_MAX} bytes")
        _make_image(image, size)
        disk = cls(image, mount)
        try:
            mount.mkdir(parents=True, exist_ok=True)
            kernel.make_file_system(image, label)
            kernel.mount(kernel.attach_loop(image), mount)
        except BaseException:
            disk.remove()
            raise
        return disk

    @classmethod
    def attach(cls, image: Path, mount: Path) -> "LoopDisk":
        """Use a disk that stands already, cut or not. Raises NotOurDisk when it is not mounted there."""
        disk = cls(image, mount)
        with disk._opened():
            return disk

    @property
    def is_cut(self) -> bool:
        """Whether its power was cut and not restored. Raises NotOurDisk when it is not mounted."""
        with self._opened() as descriptor:
            try:
                os.close(os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o600, dir_fd=descriptor))
            except OSError as error:
                if error.errno not in (errno.EIO, errno.EROFS, errno.ENOSPC):
                    raise
                return error.errno != errno.ENOSPC
        return False

    def cut(self) -> None:
        """Lose everything that was not synced; every later call on the disk fails until `restore`.

        Raises NotOurDisk, with nothing touched, unless the path is where a loop
        device over this very image is mounted, and on no file system of the host.
        """
        with self._opened() as descriptor:
            kernel.shut_down(descriptor)

    def sync(self) -> None:
        """Put everything that was written so far onto the disk."""
        with self._opened() as descriptor:
            kernel.sync(descriptor)

    def restore(self) -> None:
        """Mount the disk anew, as a machine does that has its power back: the journal is replayed.

        Raises DiskHeld when somebody holds it for longer than
        `kernel.HELD_SECONDS_MAX`, NotOurDisk when its loop device is gone.
        """
        found, deadline = self._loop(), time.monotonic() + kernel.HELD_SECONDS_MAX
        while True:
            _unmount_all(found, deadline)
            kernel.mount(found.path, self.mount)
            if not self.is_cut:
                return
            if time.monotonic() > deadline:
                raise DiskHeld(
                    f"{self.mount} was mounted anew and has no power yet: a mount namespace that we do not "
                    f"see holds it. End the container or the service that does"
                )
            time.sleep(kernel.LOOK_SECONDS)

    def unmount(self) -> None:
        """Unmount the disk, wherever it is; `restore` mounts it again. Raises DiskHeld."""
        _unmount_all(self._loop(), time.monotonic() + kernel.HELD_SECONDS_MAX)

    def _loop(self) -> table.Loop:
        found = table.loop_of(self.image)
        if found is None:
            raise NotOurDisk(f"{self.image} is behind no loop device; make the disk anew")
        return found

    def remove(self) -> None:
        """Unmount the disk, let its loop device go, delete the image; what is gone already is no error."""
        image = self.image.resolve()
        _remove_loops(lambda backing: backing == image)
        self.image.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int]:
        """Open the root of the disk, and judge that descriptor: what it stands for cannot change."""
        try:
            descriptor = os.open(self.mount, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            raise NotOurDisk(f"{self.mount} cannot be opened: {error.strerror}") from None
        try:
            self._guard(os.fstat(descriptor).st_dev)
            yield descriptor
        finally:
            os.close(descriptor)

    def _guard(self, device: int) -> None:
        """Raise NotOurDisk unless `device` is this image, mounted here, and nothing that the host needs."""
        for path in (Path("/"), self.image.parent):
            if path.exists() and device == path.stat().st_dev:
                raise NotOurDisk(f"{self.mount} lies on the file system of {path}: its power is not ours")
        number = f"{os.major(device)}:{os.minor(device)}"
        mounted, found = table.mount_at(self.mount), table.loop_of(self.image)
        if mounted is None or mounted.device != number or mounted.kind != "ext4":
            raise NotOurDisk(f"{self.mount} is no mount point of an ext4 disk")
        if found is None or found.device != number:
            raise NotOurDisk(f"{self.mount} is mounted from device {number}, not from the image {self.image}")


def _make_image(image: Path, size: int) -> None:
    image.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
    try:
        descriptor = os.open(image, flags, 0o600)
    except FileExistsError:
        raise DiskFailed(f"{image} is there already: attach to that disk, or remove it first") from None
    try:
        os.truncate(descriptor, size)
    finally:
        os.close(descriptor)


@dataclass(frozen=True, slots=True)
class Leftover:
    """A loop device over a file of ours, and where it is mounted."""

    loop: table.Loop
    mounts: tuple[Path, ...]  #: the newest first


def leftovers(folder: Path) -> list[Leftover]:
    """Return the loop devices whose backing file lies, or lay, under `folder`, with their mounts."""
    whole = folder.resolve()
    return _leftovers(lambda backing: backing.is_relative_to(whole))


def _leftovers(is_ours: Callable[[Path], bool]) -> list[Leftover]:
    return [Leftover(loop, _mounts_of(loop)) for loop in table.loops() if is_ours(loop.backing)]


def _mounts_of(loop: table.Loop) -> tuple[Path, ...]:
    return tuple(one.point for one in reversed(table.mounts()) if one.device == loop.device)


def remove_leftovers(folder: Path) -> list[Leftover]:
    """Unmount and detach what `leftovers` finds and delete its images; return what there was.

    End the processes first that hold them. Raises DiskHeld, and NotOurDisk for a
    folder that holds other people's disks, too.
    """
    whole = folder.resolve()
    if whole == Path(whole.anchor):
        raise NotOurDisk(f"every disk of this machine lies under {whole}; name the folder of ours")
    return _remove_loops(lambda backing: backing.is_relative_to(whole))


def _remove_loops(is_ours: Callable[[Path], bool]) -> list[Leftover]:
    found = _leftovers(is_ours)
    deadline = time.monotonic() + kernel.HELD_SECONDS_MAX
    for one in found:
        _unmount_all(one.loop, deadline)
        kernel.let_go(one.loop, deadline)
        if not one.loop.removed:
            one.loop.backing.unlink(missing_ok=True)
    return found


def _unmount_all(loop: table.Loop, deadline: float) -> None:
    for point in _mounts_of(loop):
        kernel.unmount(point, deadline)
