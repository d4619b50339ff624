"""The disks of sites, where a stack can have its power cut: PostgreSQL and the object store share one a site.

    PATH/disks/SITE.img     the image
    REACH/SITE/             where it is mounted: the server's folder
    REACH/SITE/s3/          the object store's folder, which PATH/s3/SITE leads to

A site without an image has its files where they always are, and nothing here touches it.
"""

import asyncio
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from infra.disks import fullness
from infra.disks.errors import DiskError
from infra.disks.loop import LABEL_BYTES_MAX, LoopDisk, remove_leftovers, why_impossible
from infra.embedded.errors import NoPowerCut, StackError
from infra.embedded.postgres import release_memory
from infra.embedded.state import StackFolder, server_user


def require() -> None:
    """Raise NoPowerCut where no disk's power can be cut."""
    if why := why_impossible():
        raise NoPowerCut(f"this stack cannot have its power cut: {why}; or leave power cuts out.")


def disk_of(folder: StackFolder, site: str) -> LoopDisk | None:
    """Return the disk of a site, None when it has none of its own."""
    disk = LoopDisk(folder.path / "disks" / f"{site}.img", folder.server(site))
    return disk if disk.image.exists() else None


def server_settings(folder: StackFolder, site: str) -> dict[str, object]:
    """Return what a server on a disk of its own does otherwise: at a start it syncs that, not each file."""
    return {"recovery_init_sync_method": "syncfs"} if disk_of(folder, site) else {}


async def plug_in(folder: StackFolder, sites: Iterable[str]) -> None:
    """Give each site a disk, before it has any files. Raises StackError."""
    await asyncio.gather(*(asyncio.to_thread(_plug_in, folder, site) for site in sites))


def _plug_in(folder: StackFolder, site: str) -> None:
    with told():
        disk = LoopDisk.make(
            folder.path / "disks" / f"{site}.img", folder.server(site), label=site[:LABEL_BYTES_MAX]
        )
        user = server_user()
        os.chown(disk.mount, user.uid, user.gid)
        store = disk.mount / "s3"
        store.mkdir(mode=0o700)
        (folder.path / "s3" / site).symlink_to(store)


async def cut(folder: StackFolder, site: str) -> None:
    """Cut the power of a site's disk; its processes run on, and can write nothing. Raises StackError."""
    disk = disk_of(folder, site)
    if disk is None:
        raise StackError(f"{site} has no disk of its own: bring the stack up with --power-cut, as root")
    release_memory(folder.server(site) / "data", in_use=True)  # where its id stands cannot be read later
    await _each(folder, [site], LoopDisk.cut)


async def restore(folder: StackFolder, sites: Iterable[str]) -> None:
    """Give the disks that were cut their power back, and room to those that were filled.

    Nothing of a site whose disk was cut may run. Raises StackError.
    """
    await _each(folder, sites, _restore)


def _restore(disk: LoopDisk) -> None:
    if _has_no_power(disk):
        disk.restore()
    fullness.free(disk.mount)  # a harness that filled it may have been killed


def _has_no_power(disk: LoopDisk) -> bool:
    return not os.path.ismount(disk.mount) or disk.is_cut


async def is_off(folder: StackFolder, site: str) -> bool:
    """Say whether a site's disk waits for `restore`; one that has none of its own never does."""
    disk = disk_of(folder, site)
    with told():
        return disk is not None and await asyncio.to_thread(_has_no_power, disk)


async def fill(folder: StackFolder, site: str) -> None:
    """Fill the disk of a site to the last byte. Raises StackError when it has none of its own."""
    disk = disk_of(folder, site)
    if disk is None:
        raise StackError(f"{site} has no disk of its own to fill: bring the stack up with --power-cut")
    await asyncio.to_thread(fullness.fill, disk.mount)


async def free(folder: StackFolder, site: str) -> None:
    """Make room on a disk that was filled."""
    await asyncio.to_thread(fullness.free, folder.server(site))


async def settle(folder: StackFolder, sites: Iterable[str]) -> None:
    """Put all that was written onto the disks: what stood before a run is not what a power cut may take."""
    await _each(folder, sites, LoopDisk.sync)


async def _each(folder: StackFolder, sites: Iterable[str], do: Callable[[LoopDisk], None]) -> None:
    disks = [disk for site in sites if (disk := disk_of(folder, site))]
    with told():
        await asyncio.gather(*(asyncio.to_thread(do, disk) for disk in disks))


def unplug(folder: StackFolder) -> None:
    """Remove every disk of a stack whose processes are dead, cut or not. Raises StackError."""
    with told():
        remove_leftovers(folder.path)


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong with a disk goes wrong with the stack."""
    try:
        yield
    except DiskError as error:
        raise StackError(str(error)) from error
