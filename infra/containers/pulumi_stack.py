"""Drilling on a stack that Pulumi made: it was there before, and is there afterwards as it was.

Drills have runs of their own beside the one that Pulumi's program declares, whose
database and buckets they leave alone. What they share with it are the servers and
the services, which serve the first run again when the drills are over.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import psycopg

from infra.components.exports import Published
from infra.containers.description import ContainerDescription
from infra.containers.engine import Engine
from infra.containers.lent import LentStack
from infra.containers.pulumi_cli import read
from infra.containers.pulumi_folder import FIRST_RUN, take_folder
from infra.containers.removal import leave
from infra.containers.stack import ContainerStack, seen
from infra.embedded.control import Control
from infra.embedded.errors import ProcessFailed, StackError
from infra.embedded.launch import start_supervisor
from infra.embedded.loan import must_keep_databases
from infra.embedded.services import Services
from infra.embedded.state import StackFolder, StateFolder
from infra.topology import OPERATOR, Service

LOG_IN_SECONDS_MAX = 5

Progress = Callable[[str], None]


class PulumiStack(LentStack):
    """A stack that Pulumi made, for as long as a harness has it."""

    def __init__(
        self,
        folder: StackFolder,
        description: ContainerDescription,
        published: Published,
        control: Control,
        progress: Progress,
    ) -> None:
        before = replace(description, run=FIRST_RUN, entries={}, extras={})
        super().__init__(folder, description, published.keys, control, before, progress)

    @property
    def named(self) -> str:
        """Return the stack as `--stack` names it."""
        return f"pulumi:{self.name}"

    def let_go(self) -> None:
        """Remove what only a harness needs; Pulumi alone takes its stacks down."""
        _let_go(self.folder)


async def of_pulumi(
    name: str,
    *,
    preload: Iterable[str] = (),
    services: Services | None = None,
    extras: Mapping[str, Mapping[str, object]] | None = None,
    progress: Progress = lambda _: None,
) -> ContainerStack:
    """Take a stack that `pulumi up` made for drills, and begin a fresh run on it.

    As `of_published`; raises PulumiMissing and PulumiFailed too.
    """
    published = await asyncio.to_thread(read, name)
    return await of_published(published, preload=preload, services=services, extras=extras, progress=progress)


async def of_published(
    published: Published,
    *,
    preload: Iterable[str] = (),
    services: Services | None = None,
    extras: Mapping[str, Mapping[str, object]] | None = None,
    progress: Progress = lambda _: None,
) -> ContainerStack:
    """Take the stack that published this for drills, and begin a fresh run on it.

    `preload`, `services` and `extras` as EmbeddedStack.up. It is given back by `close`.
    Raises StackInUse when another harness has it, EngineUnreachable and ProcessFailed.
    """
    must_keep_databases(extras)
    await _must_be_it(published)
    folder, description, lock = await asyncio.to_thread(take_folder, StateFolder.open(), published)
    try:
        lease = await asyncio.to_thread(start_supervisor, folder, lock, keep=False)
        control = await Control.over(lease)
        stack = await _taken(folder, description, published, control, progress)
    except BaseException:
        await asyncio.to_thread(_let_go, folder)
        raise
    try:
        loading = asyncio.ensure_future(control.ask("preload", modules=list(preload)))
        await stack.fresh(services=services, extras=extras)
        await loading
    except BaseException:
        await asyncio.shield(stack.close())
        raise
    progress(f"stack pulumi:{stack.name} is ours: {len(description.blueprint.containers)} containers")
    return stack


async def _must_be_it(published: Published) -> None:
    """Raise StackError where a database does not take the password that was published.

    Names and addresses of two stacks may be the same, on two machines or at two times; keys are not.
    A site that does not answer says nothing: drills begin with mending it.
    """
    addresses = published.blueprint.addresses
    for site in addresses.topology.sites:
        host, port = addresses.address(OPERATOR, site.name, Service.POSTGRES)
        try:
            connection = await psycopg.AsyncConnection.connect(
                host=host,
                port=port,
                dbname="postgres",
                user="checker",
                password=published.keys.passwords(site.name)["checker"].reveal(),
                connect_timeout=LOG_IN_SECONDS_MAX,
            )
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StackError(
                    f"the database of {site.name} at {host}:{port} does not take the password of stack "
                    f"{published.settings.name!r} that was named: what runs there is another one of that name"
                ) from None
        else:
            await connection.close()


async def _taken(
    folder: StackFolder,
    description: ContainerDescription,
    published: Published,
    control: Control,
    progress: Progress,
) -> PulumiStack:
    try:
        stack = PulumiStack(folder, description, published, control, progress)
        description.save(folder)
        stack.publish()
    except BaseException:
        await control.close()
        raise
    return stack


def _let_go(folder: StackFolder) -> None:
    with StateFolder.open().allocating():
        leave(folder)


async def look(name: str) -> list[Mapping[str, Any]]:
    """Return every container of a stack that is known here, as `ContainerStack.status` gives them."""
    told = ContainerDescription.load(StateFolder.open().stack(name))
    return [
        await _look_at(process, one.name, told.settings.hosts.get(one.place))
        for process, one in told.blueprint.containers.items()
        if not one.once
    ]


async def _look_at(process: str, container: str, host: str | None) -> Mapping[str, Any]:
    engine = await asyncio.to_thread(Engine.at, host)
    try:
        return seen(process, (await engine.container(container)).attrs["State"])
    except ProcessFailed:
        return {"name": process, "pid": None, "alive": False, "paused": False, "exit_status": None}
    finally:
        engine.client.close()
