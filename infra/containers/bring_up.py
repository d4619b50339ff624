"""Bringing a stack of containers up without Pulumi, finding it again, and taking it down."""

import asyncio
import hashlib
import json
import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import docker
import docker.errors

from cutover.model.outputs import ObjectStore
from cutover.model.secret import Secret
from infra.blueprint.settings import OUTSIDE_SUBNET_BITS, SUBNET_BITS, StackSettings
from infra.components.exports import document_of, keys_of, with_account
from infra.containers import leftovers, versitygw
from infra.containers.claims import KEPT, NEVER, Claim, of_stack, of_the_dead, this_process
from infra.containers.description import CONTAINERS, EVER_MADE, ContainerDescription
from infra.containers.engine import Engine
from infra.containers.lent import StandingStack as StandingStack
from infra.containers.lent import reached
from infra.containers.publishing import FromHere
from infra.containers.pulumi_folder import at_rest
from infra.containers.pulumi_stack import look as look
from infra.containers.pulumi_stack import of_published as of_published
from infra.containers.pulumi_stack import of_pulumi as of_pulumi
from infra.containers.removal import remove_all
from infra.containers.routes import ways
from infra.containers.stack import ContainerStack
from infra.contract import bucket_of
from infra.disks.loop import LABEL_BYTES_MAX, LoopDisk
from infra.embedded import power
from infra.embedded.claim import free_name, take
from infra.embedded.control import Control
from infra.embedded.errors import NoPowerCut, ProcessFailed, StackError, StackInUse
from infra.embedded.launch import environment, start_supervisor
from infra.embedded.processes import MARKER
from infra.embedded.services import Services
from infra.embedded.state import StackFolder, StateFolder, is_locked, write_file
from infra.images.build import ensure_image
from infra.s3_engines.outside import Outside, account, must_be_beyond
from infra.s3_engines.resolve import OWN, find_engine
from infra.s3_engines.resolve import Engine as Store
from infra.s3_engines.tenancy import Tenancy
from infra.topology import OPERATOR, two_sites

POOL = IPv4Network(os.environ.get("CUTOVER_SUBNETS", "198.18.64.0/18"))
"""Where stacks take their networks from: a range kept for tests of networks (RFC 2544), routed nowhere."""

DRILL_SECONDS = 48 * 3600.0
"""A stack that is not kept is a leftover after this time, whoever holds it (seconds): far longer than the
suite `full` takes, since the owner's death is seen at once on its own machine."""

HEALTH_INTERVAL = "10s"
"""Between two health checks by the engine: whoever brings a stack up here looks for himself. At one a
second the checks of a stack took most of a core."""

CHECKOUT = Path(__file__).resolve().parents[2]

Progress = Callable[[str], None]


async def up(
    name: str | None = None,
    *,
    keep: bool = False,
    services: Services | None = None,
    extras: Mapping[str, Mapping[str, object]] | None = None,
    preload: Iterable[str] = (),
    image: str | None = None,
    base: str | None = None,
    power_cut: bool = False,
    s3_server: str = OWN,
    progress: Progress = lambda _: None,
) -> ContainerStack:
    """Apply the Pulumi program to the Docker engine here, and return the stack when all of it serves.

    `image`: one that holds our code ($CUTOVER_IMAGE), else that of this checkout, built where
    the engine lacks it, on `base` ($CUTOVER_BASE_IMAGE) or on one made of Debian's packages.
    `power_cut`: each site's data are on a disk of its own whose power can be cut. `s3_server`:
    which object store every place runs, a name of `infra.s3_engines`, or a URL. Otherwise as
    EmbeddedStack.up. Raises StackError and what its subclasses name.
    """
    if power_cut:
        power.require()
    state = StateFolder.open()
    engine = await asyncio.to_thread(Engine.at)
    if power_cut and not engine.local:
        raise NoPowerCut("the Docker engine is on another machine, and so would be the data: no disk of ours")
    for gone in await asyncio.to_thread(reap, state, engine, progress):
        progress(f"removed what was left of stack {gone}")
    store = await asyncio.to_thread(find_engine, s3_server, state.cache, progress)
    if store.outside:
        must_be_beyond(store.outside)
    images = await asyncio.to_thread(_images, engine, image, base, store, progress)
    claim = _claim(name or free_name(state), keep=keep)
    folder, description, lock = await asyncio.to_thread(
        _take, state, engine.client, claim, images, keep=keep, power_cut=power_cut
    )
    lease = await asyncio.to_thread(start_supervisor, folder, lock, keep=keep)
    control = await Control.over(lease)
    try:
        return await _made(folder, description, claim, control, preload, services, extras, progress)
    except BaseException:
        for left in await asyncio.shield(_undo(folder, control, engine)):
            progress(f"could not be removed: {left}")
        raise


def _images(
    engine: Engine, named: str | None, base: str | None, store: Store, progress: Progress
) -> Mapping[str, Any]:
    """Return the settings that name images, ours and that of a store which is not; or where that stands."""
    chosen = named or os.environ.get("CUTOVER_IMAGE")
    base = base or os.environ.get("CUTOVER_BASE_IMAGE")
    ours = chosen or ensure_image(engine.client, base=base, progress=progress)
    if (there := store.outside) is not None:
        named_there = {"s3_url": there.url, "s3_region": there.region, "s3_mark": there.mark}
        return {"image": ours, **named_there, "s3_keys": there.keys}
    if store.program is None:
        return {"image": ours}
    theirs = versitygw.ensure_image(engine.client, ours, Path(store.program))
    return {"image": ours, "s3_image": theirs, **versitygw.SETTINGS}


def _claim(name: str, *, keep: bool) -> Claim:
    if keep:
        return Claim(stack=name, owner=KEPT, expires=NEVER)
    return Claim(stack=name, owner=this_process(), expires=time.time() + DRILL_SECONDS)


def _take(
    state: StateFolder,
    client: docker.DockerClient,
    claim: Claim,
    images: Mapping[str, Any],
    *,
    keep: bool,
    power_cut: bool,
) -> tuple[StackFolder, ContainerDescription, int]:
    (state.root / EVER_MADE).touch()
    folder = state.stack(claim.stack)
    disks = {site.name: str(folder.server(site.name)) for site in two_sites().sites} if power_cut else {}
    settings = StackSettings(
        name=claim.stack,
        disks=disks,
        labels=claim.labels(),
        health_interval=HEALTH_INTERVAL,
        **images,
    )
    described = ContainerDescription(settings=settings, keep=keep, made_by="applier")

    def save(folder: StackFolder) -> None:
        nonlocal described
        _must_be_free(client, claim.stack)
        bits = OUTSIDE_SUBNET_BITS if settings.s3_url else SUBNET_BITS
        subnet = _free_subnet(state, client, claim.stack, bits)
        described = replace(described, settings=replace(settings, subnet=subnet))
        described.save(folder)
        key = Secret(secrets.token_urlsafe(32))
        if settings.s3_url:
            Tenancy(folder).remember(pair := account())
            key = with_account(key, pair)
        write_file(_key_file(folder), key.reveal())  # who finds the supervisor finds the key

    lock = take(state, claim.stack, save)
    return folder, described, lock


def _must_be_free(client: docker.DockerClient, name: str) -> None:
    """Raise StackInUse when the engine has a stack of this name: of another user, or state folder."""
    there = leftovers.find(client, of_stack(name))
    if there.networks and not (there.containers or there.volumes):
        raise StackInUse(
            f"the engine keeps {there.networks[0]} of an earlier stack {name!r}, an empty network that it "
            f"takes for used: restart the engine, or say --stack docker:NAME with another name"
        )
    if made := (*there.containers, *there.networks, *there.volumes):
        raise StackInUse(
            f"the engine has a stack {name!r} already ({made[0]} and others), not kept in this state folder: "
            f"take it down where it was brought up, or say --stack docker:NAME with another name"
        )


def _free_subnet(state: StateFolder, client: docker.DockerClient, name: str, bits: int) -> str:
    """Return addresses that no network of the engine or of this machine has, and no other stack.

    This machine may have bridges of other engines, and of some that are gone: whichever way
    is older takes all packets. One that is wider than the pool yields to ours. Raises StackError.
    """
    taken = [
        IPv4Network(pool["Subnet"])
        for network in client.networks.list()
        for pool in (network.attrs["IPAM"].get("Config") or ())
        if pool.get("Subnet") and ":" not in pool["Subnet"]
    ]
    taken += [IPv4Network(one.settings.subnet) for one in _described(state)]
    taken += [way.network for way in ways() if not POOL.subnet_of(way.network)]
    for subnet in _from_own_place(name, bits):
        if not any(subnet.overlaps(other) for other in taken):
            return str(subnet)
    raise StackError(
        f"no /{bits} of {POOL} is free: {len(taken)} networks are in the way. Take stacks down with "
        f"`cutover stack down --all`, or name another range in CUTOVER_SUBNETS."
    )


def _from_own_place(name: str, bits: int) -> list[IPv4Network]:
    """Return all blocks, beginning at the name's own: stacks that start at the same time rarely try one."""
    blocks = list(POOL.subnets(new_prefix=bits))
    first = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % len(blocks)
    return blocks[first:] + blocks[:first]


def _described(state: StateFolder) -> list[ContainerDescription]:
    folders = [one for one in state.stacks() if one.kind == CONTAINERS]
    return [ContainerDescription.load(one) for one in folders]


async def _made(
    folder: StackFolder,
    description: ContainerDescription,
    claim: Claim,
    control: Control,
    preload: Iterable[str],
    services: Services | None,
    extras: Mapping[str, Mapping[str, object]] | None,
    progress: Progress,
) -> ContainerStack:
    key = Secret(_key_file(folder).read_text())
    await asyncio.to_thread(_plug_in, folder, description.settings.disks)
    await asyncio.to_thread(_in_buckets_outside, folder, description, Tenancy.make, direct=True)
    loading = asyncio.ensure_future(control.ask("preload", modules=list(preload)))
    await _apply(folder, description.settings, key, progress)
    await loading
    await asyncio.to_thread(_in_buckets_outside, folder, description, Tenancy.prove, direct=False)
    _must_be_used(description.settings.disks)
    stack = ContainerStack(folder, description, keys_of(description.settings, key), control, claim)
    stack.publish()
    if services is not None or extras:
        await stack.fresh(services=services, extras=extras)
    await stack.settle()
    progress(f"stack {stack.name} is up: {len(description.blueprint.containers)} containers")
    return stack


def _in_buckets_outside(
    folder: StackFolder,
    description: ContainerDescription,
    do: Callable[[Tenancy, Outside, ObjectStore], None],
    *,
    direct: bool,
) -> None:
    """Do it to each place's bucket at a server outside, directly or over its front. Raises NoS3Server."""
    reach = FromHere(description.settings, folder)
    if (there := reach.outside) is None:
        return
    for place in reach.topology.places:
        store = bucket_of(reach, description.present_run, OPERATOR, place)
        do(Tenancy(folder), there, replace(store, endpoint=there.url) if direct else store)


def _key_file(folder: StackFolder) -> Path:
    return folder.credentials / "key"


def _plug_in(folder: StackFolder, mounts: Mapping[str, str]) -> None:
    """Give each site its disk, with a folder on it for each of its stores. Raises StackError."""
    for site, mount in mounts.items():
        image = folder.path / "disks" / f"{site}.img"
        with power.told():
            LoopDisk.make(image, Path(mount), label=site[:LABEL_BYTES_MAX])
        for kind in ("postgres", "s3"):
            Path(mount, kind).mkdir(mode=0o755)


def _must_be_used(mounts: Mapping[str, str]) -> None:
    """Raise StackError where a power cut would take nothing, since the data went elsewhere."""
    for site, mount in mounts.items():
        if not any(Path(mount, "postgres").iterdir()):
            raise StackError(
                f"the database of {site} does not write to its disk at {mount}: does the engine see "
                f"other mounts than we do? Run both on one machine, outside of containers"
            )


async def _apply(folder: StackFolder, settings: StackSettings, key: Secret, progress: Progress) -> None:
    """Run the program in a process of its own: its SDK keeps state for the whole of one."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infra.containers.applier",
        cwd=CHECKOUT,
        env={**environment(), MARKER: str(folder.path)},  # a leftover of a killed harness makes nothing more
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    told = {"settings": document_of(settings), "key": key.reveal()}
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(json.dumps(told).encode())
    process.stdin.close()
    said = []
    try:
        async for line in process.stderr:
            said.append(line.decode(errors="replace").rstrip())
            progress(said[-1])
    except BaseException:  # it would go on making what is about to be removed
        process.kill()
        raise
    finally:
        await process.wait()
    if process.returncode:
        raise ProcessFailed("the program could not be applied: " + " ".join(said[-5:]))


async def attach(name: str) -> ContainerStack:
    """Use a stack that is up already; it outlives this object. Raises NoSuchStack."""
    folder = StateFolder.open().stack(name)
    control = await reached(folder)
    description = ContainerDescription.load(folder)
    keys = keys_of(description.settings, Secret(_key_file(folder).read_text()))
    return ContainerStack(folder, description, keys, control, _claim(name, keep=description.keep))


async def _undo(folder: StackFolder, control: Control, engine: Engine) -> tuple[str, ...]:
    """Take down a stack, however far its `up` came; return what could not be removed, and why."""
    try:
        if control.open:
            await control.ask("shutdown")
    finally:
        await control.close()
    return await asyncio.to_thread(remove_all, folder, [engine.client])


def reap(state: StateFolder, engine: Engine, tell: Progress = lambda _: None) -> list[str]:
    """Remove what killed runs left of stacks of containers; return their names.

    Of stacks that Pulumi made only the harness's own goes: rules, processes, files. What
    could not be removed is told, with the reason.
    """
    with state.allocating():
        removed = leftovers.remove(engine.client, of_the_dead(time.time()))
        ours = [one for one in state.stacks() if one.kind == CONTAINERS and not at_rest(one)]
        dead = [one for one in ours if not is_locked(one.lock)]
        remaining = [*removed.remaining]
        for folder in dead:
            remaining += _removed(folder, engine)
    for left in remaining:
        tell(f"could not be removed: {left}")
    return sorted({*removed.stacks, *(folder.name for folder in dead)})


def _removed(folder: StackFolder, engine: Engine) -> tuple[str, ...]:
    """Remove what is left of one stack; one that cannot be is in no other one's way."""
    try:
        return remove_all(folder, [engine.client])
    except StackError as error:
        return (f"{folder.name}: {error}",)


def list_stacks() -> list[str]:
    """Return the names of the stacks of containers that are up."""
    state = StateFolder.open()
    with state.allocating():
        return [one.name for one in state.stacks() if one.kind == CONTAINERS and is_locked(one.lock)]


async def down_all() -> list[str]:
    """Take down every stack of containers of this user, kept or not, and what is left of dead ones.

    Those that Pulumi made stay up; a harness on one ends. A stack that another user, or
    another state folder, keeps on the same engine is not ours to judge. One that cannot be
    taken down keeps no other one up: StackError names each at the end.
    """
    state = StateFolder.open()
    engine = await asyncio.to_thread(Engine.at)
    gone, failed = [], []
    for name in list_stacks():
        try:
            failed += [f"{name}: {left}" for left in await _end(state.stack(name), engine)]
            gone.append(name)
        except (StackError, docker.errors.DockerException, OSError) as error:
            failed.append(f"{name}: {error}")
    gone += await asyncio.to_thread(reap, state, engine, failed.append)
    if failed:
        raise StackError("; ".join([*failed, f"down are {', '.join(sorted({*gone})) or 'none'}"]))
    return sorted({*gone})


async def _end(folder: StackFolder, engine: Engine) -> tuple[str, ...]:
    return await _undo(folder, await reached(folder), engine)
