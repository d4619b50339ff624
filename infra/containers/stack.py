"""A stack of containers as the harness drives it: break, heal, start over, take down.

It answers to the same calls as `infra.embedded.stack.EmbeddedStack`. Sites and
witness are containers; what runs at the operator's place (a drill's coordinator)
is a process of this machine, under the same supervisor as an embedded stack's.
"""

import asyncio
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker.errors
import psycopg

from cutover.model.outputs import ObjectStore, Outputs
from infra.blueprint.addresses import Addresses
from infra.blueprint.files import ENTRIES, Files
from infra.blueprint.keys import Keys
from infra.containers.claims import Claim
from infra.containers.description import ContainerDescription
from infra.containers.engine import Engine
from infra.containers.links import Links, ends
from infra.containers.packets import Mode
from infra.containers.publishing import FromHere, outputs_here, publish
from infra.containers.removal import remove_all
from infra.containers.silence import why_silent
from infra.containers.together import kill_together, pause_together, resume_together
from infra.contract import bucket_of
from infra.embedded import power
from infra.embedded.buckets import make_bucket
from infra.embedded.control import Control
from infra.embedded.errors import ProcessFailed, StackError
from infra.embedded.groups import Death
from infra.embedded.services import Services
from infra.embedded.state import StackFolder
from infra.s3_engines.tenancy import Tenancy
from infra.topology import OPERATOR, Service

READY_SECONDS_MAX = 60.0
"""Longest wait until a container serves (seconds): PostgreSQL may have to recover first."""

LOOK_SECONDS = 0.05
SERVICES = ("platform", "worker", "agent")
"""What is started anew with each run; stores stay up."""


class ContainerStack:
    """One stack that is up. Belongs to the event loop in which it was made.

    Places and processes have the same names as on the embedded stack: east/postgres
    is a container, operator/coordinator a process of this machine.
    """

    def __init__(
        self,
        folder: StackFolder,
        description: ContainerDescription,
        keys: Keys,
        control: Control,
        claim: Claim,
    ) -> None:
        self.folder = folder
        self.description = description
        self._keys = keys
        self.control = control
        settings = description.settings
        self._engines = {place: Engine.at(settings.hosts.get(place)) for place in self.places}
        self._links = Links(claim, *ends(description.blueprint.addresses))
        self._given = (dict(description.entries), dict(description.extras))
        self.spared: frozenset[int] = frozenset()  #: runs whose buckets stay, besides the present one's

    # -- what it is

    @property
    def name(self) -> str:
        return self.description.settings.name

    @property
    def run(self) -> str:
        """Return the id of the present run; `fresh` begins another."""
        return self.description.present_run.name

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(site.name for site in self._addresses.topology.sites)

    @property
    def places(self) -> tuple[str, ...]:
        return self._addresses.topology.places

    @property
    def _addresses(self) -> Addresses:
        return self.description.blueprint.addresses

    def outputs(self, viewer: str = OPERATOR) -> Outputs:
        """Return the stack as the operator or a client reaches it."""
        return outputs_here(self.folder, self.description, viewer)

    def outputs_file(self, viewer: str = OPERATOR) -> Path:
        """Return the file with the outputs of `viewer`."""
        return self.folder.outputs(viewer)

    def publish(self) -> None:
        """Write what the operator and the clients need to know, and what they may use."""
        publish(self.folder, self.description, self._keys)

    async def status(self) -> Mapping[str, Any]:
        """Return every process (name, pid, alive, ready, paused, exit status), and broken links."""
        seen = [await self._seen(process) for process in self._processes]
        answer = dict(await self.control.ask("status"))
        broken = [{"link": one.link, "mode": one.mode} for one in await self._links.broken()]
        answer["processes"] = [*seen, *answer["processes"]]
        return {"name": self.name, "run": self.run, **answer, "routes": broken}

    async def _seen(self, process: str) -> Mapping[str, object]:
        return seen(process, (await self._container(process)).attrs["State"])

    @property
    def _processes(self) -> tuple[str, ...]:
        """Everything that runs for as long as its site lives, as PLACE/KIND."""
        return tuple(name for name, one in self.description.blueprint.containers.items() if not one.once)

    def _at(self, place: str, kinds: Iterable[str] | None = None) -> tuple[str, ...]:
        chosen = None if kinds is None else frozenset(kinds)
        return tuple(
            process
            for process in self._processes
            if process.startswith(f"{place}/") and (chosen is None or process.partition("/")[2] in chosen)
        )

    def _engine(self, process: str) -> Engine:
        return self._engines[process.partition("/")[0]]

    def _named(self, process: str) -> str:
        containers = self.description.blueprint.containers
        if process not in containers:
            raise StackError(f"no process is called {process!r}; there are {', '.join(self._processes)}")
        return containers[process].name

    async def _container(self, process: str) -> Any:
        return await self._engine(process).container(self._named(process))

    async def _containers(self, processes: Iterable[str]) -> list[Any]:
        return list(await asyncio.gather(*(self._container(process) for process in processes)))

    # -- single processes

    async def start(
        self, process: str, *, entry: str | None = None, settings: Mapping[str, object] | None = None
    ) -> None:
        """Start a process and return when it is ready; see EmbeddedStack.start."""
        self._remember(process, entry, settings)
        if process.startswith(f"{OPERATOR}/"):
            await self._start_here(process)
            return
        await self._give(process)
        await self._engine(process).start(self._named(process))
        await self._ready(process)

    def _remember(self, process: str, entry: str | None, settings: Mapping[str, object] | None) -> None:
        now = self.description
        if entry:
            now = replace(now, entries={**now.entries, process: entry})
        if settings:
            now = replace(now, extras={**now.extras, process: {**now.extras.get(process, {}), **settings}})
        if now is not self.description:
            self.description = now
            now.save(self.folder)

    async def _start_here(self, process: str) -> None:
        told = self.description
        settings = {
            "site": OPERATOR,
            "run": self.run,
            "outputs": str(self.folder.outputs(OPERATOR)),
            **told.extras.get(process, {}),
        }
        entry = told.entries.get(process, Services().entry("coordinator"))
        log = str(self.folder.log(process))
        await self.control.ask(
            "spawn", name=process, group=OPERATOR, entry=entry, settings=settings, log=log, fast=False
        )

    async def _give(self, process: str) -> None:
        """Put the files of the present run into a container."""
        container = self.description.blueprint.containers[process]
        if files := self._files.of(container):
            await self._engine(process).put(container.name, files)

    @property
    def _files(self) -> Files:
        told = self.description
        return Files(told.blueprint, self._keys, told.present_run, told.made_by, told.entries, told.extras)

    async def _ready(self, process: str) -> None:
        """Wait until a container serves; raise ProcessFailed with its last words when it ends instead."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + READY_SECONDS_MAX
        name = self._named(process)
        while not await self._serves(process):
            if name not in await self._engine(process).running([name]):
                words = await self._engine(process).last_words(name)
                raise ProcessFailed(f"{process} ended before it was ready; its log ends: {words}")
            if loop.time() > deadline:
                why = await why_silent(self._engine(process), name)
                raise ProcessFailed(f"{process} does not serve after {READY_SECONDS_MAX:.0f} s. {why}")
            await asyncio.sleep(LOOK_SECONDS)

    async def _serves(self, process: str) -> bool:
        place, _, kind = process.partition("/")
        if kind == "worker":  # listens nowhere, and waits by itself for what it needs
            return True
        host, port = self._addresses.address(OPERATOR, place, Service(kind))
        if kind == "postgres":
            return await self._takes_queries(place, host, port)
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(1.0):
                _, writer = await asyncio.open_connection(host, port)
            writer.close()
            return True
        return False

    async def _takes_queries(self, site: str, host: str, port: int) -> bool:
        password = self._keys.passwords(site)["checker"].reveal()
        with suppress(psycopg.OperationalError):
            connection = await psycopg.AsyncConnection.connect(
                host=host,
                port=port,
                dbname="postgres",
                user="checker",
                password=password,
                connect_timeout=2,
            )
            await connection.close()
            return True
        return False

    async def wait_end(self, process: str) -> int:
        """Return when a process has ended, with its exit status."""
        if process.startswith(f"{OPERATOR}/"):
            return int((await self.control.ask("watch", name=process))["status"])
        return await self._engine(process).end_of(self._named(process))

    async def stop(self, process: str, *, seconds: float = 5.0) -> None:
        """Ask a process to end, and kill it if it has not within `seconds`."""
        if process.startswith(f"{OPERATOR}/"):
            await self.control.ask("stop", name=process, seconds=seconds)
            return
        found = await self._container(process)
        await self._engine(process).do(found.stop, timeout=round(seconds))

    async def kill(self, process: str) -> Death:
        """SIGKILL one process with all that it made."""
        if process.startswith(f"{OPERATOR}/"):
            answer = await self.control.ask("kill", name=process)
            return Death(answer["processes"], answer["skew_seconds"], answer["way"])
        return await self._killed([await self._container(process)])

    async def pause(self, process: str) -> None:
        """Freeze one process, with all that it made, in the middle of whatever it does."""
        if process.startswith(f"{OPERATOR}/"):
            await self.control.ask("pause", name=process)
        else:
            await self._paused(process, [await self._container(process)])

    async def resume(self, process: str) -> None:
        """Let a paused process run on."""
        if process.startswith(f"{OPERATOR}/"):
            await self.control.ask("resume", name=process)
        else:
            await asyncio.to_thread(resume_together, [await self._container(process)])

    # -- whole places

    async def kill_site(self, site: str) -> Death:
        """SIGKILL everything at a place at one instant."""
        return await self._killed(await self._containers(self._at(site)))

    async def power_cut_site(self, site: str) -> Death:
        """Take from a site's disk what was not synced, and everything that runs there with it."""
        containers = await self._containers(self._at(site))
        await power.cut(self.folder, site)
        return await self._killed(containers)

    async def _killed(self, containers: list[Any]) -> Death:
        try:
            return await asyncio.to_thread(kill_together, containers)
        except docker.errors.APIError as error:
            raise StackError(f"the engine did not kill the site: {error.explanation or error}") from None

    async def restart_site(self, site: str) -> None:
        """Start, on the same data, everything at a place that is not running; a cut disk has power again.

        All at once, as machines come back: services wait by themselves for their stores.
        """
        await self._power(site)
        running = await self._running()
        await asyncio.gather(*(self.start(process) for process in self._at(site) if process not in running))

    async def _power(self, site: str) -> None:
        """Give a cut disk its power back; what outlived a cut that was broken off dies first."""
        if await power.is_off(self.folder, site):
            await self._killed(await self._containers(self._at(site)))
            await asyncio.gather(*(self._noticed(process) for process in self._at(site)))
            await power.restore(self.folder, (site,))

    async def _noticed(self, process: str) -> None:
        """Wait until the engine knows that a container is dead, and has let go of its disk.

        Raises ProcessFailed.
        """
        await self._engine(process).noticed(await self._container(process))

    async def pause_site(self, site: str) -> None:
        """Freeze everything at a place."""
        await self._paused(site, await self._containers(self._at(site)))

    async def _paused(self, what: str, containers: list[Any]) -> None:
        if (await asyncio.to_thread(pause_together, containers)).containers == 0:
            raise ProcessFailed(f"{what} is not running, so nothing of it was paused")

    async def resume_site(self, site: str) -> None:
        """Let everything at a paused place run on."""
        await asyncio.to_thread(resume_together, await self._containers(self._at(site)))

    async def _running(self) -> set[str]:
        alive: set[str] = set()
        for place in self.places:
            names = {self._named(process): process for process in self._at(place)}
            alive |= {names[name] for name in await self._engines[place].running(list(names))}
        return alive

    async def fill_disk(self, site: str) -> None:
        """Fill the disk of a site, which must be one of its own. Raises StackError."""
        await power.fill(self.folder, site)

    async def free_disk(self, site: str) -> None:
        """Make room again on a disk that was filled; what ended meanwhile is `restart_site`'s to start."""
        await power.free(self.folder, site)

    # -- links and stores

    async def cut(
        self,
        link: str,
        mode: Mode | str = Mode.CUT,
        *,
        seconds: float = 0.0,
        services: Iterable[str] | None = None,
    ) -> None:
        """Put a link (or some services over it) into a mode of `infra.containers.packets`."""
        far = [place for place, engine in self._engines.items() if not engine.local]
        if far or self.description.settings.spread:
            raise StackError(
                f"{link} was not cut: {', '.join(far or self.places)} may stand on another machine, and only "
                f"there can packets be stopped. Kill or pause a site instead"
            )
        await self._links.cut(link, mode, seconds=seconds, services=services)

    async def heal(self, link: str | None = None) -> None:
        """Open a link again, or all of them."""
        await self._links.heal(link)

    async def s3_fault(self, place: str, do: str, **_: object) -> Mapping[str, Any]:
        """Refuse: the store of a container listens to nobody but its clients."""
        raise StackError(
            f"the store at {place} cannot be asked for the fault {do!r} on containers: kill, pause or cut it"
        )

    # -- runs

    async def fresh(
        self,
        *,
        services: Services | None = None,
        extras: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Outputs:
        """Begin a new run: empty database, new buckets, new witness prefix; see EmbeddedStack.fresh."""
        await self._end_run()
        before = self._database_settings()
        entries = self._given[0] if services is None else _entries_of(services)
        self._given = (entries, self._given[1] if extras is None else dict(extras))
        self.description = replace(self.description, entries=entries, extras=self._given[1])
        changed = [site for site, told in self._database_settings().items() if told != before[site]]
        await asyncio.gather(*(self._restart_database(site) for site in changed))
        self.description = replace(self.description, run=self.description.run + 1)
        self.description.save(self.folder)
        await self._begin_run()
        return self.outputs()

    def _database_settings(self) -> Mapping[str, Mapping[str, object]]:
        return {site: self._files.database_settings(site) for site in self.sites}

    async def _restart_database(self, site: str) -> None:
        """Start a server with its present settings; it may make the database of the run that is over anew."""
        await self.stop(f"{site}/postgres")
        await self.start(f"{site}/postgres")
        await self._database(site, "drop")

    async def _end_run(self) -> None:
        """Kill what served the last run, mend what it broke, and drop its databases."""
        await self._end_here()
        await self._links.heal()
        for place in self.places:
            await self.resume_site(place)
            await self._power(place)
            await power.free(self.folder, place)
        await asyncio.gather(*(self._end_services(site) for site in self.sites))
        running = await self._running()
        stores = [process for process in self._processes if process.endswith(("/postgres", "/s3"))]
        await asyncio.gather(*(self.start(process) for process in stores if process not in running))
        await asyncio.gather(*(self._database(site, "drop") for site in self.sites))

    async def _end_services(self, site: str) -> None:
        """Of one site at a time: an engine may be here, and the other's on another machine."""
        await self._killed(await self._containers(self._at(site, SERVICES)))

    async def _end_here(self) -> None:
        status = await self.control.ask("status")
        alive = [one["name"] for one in status["processes"] if one["alive"]]
        await asyncio.gather(*(self.kill(name) for name in alive))

    async def _begin_run(self) -> None:
        self.publish()
        await asyncio.gather(
            *(self._database(site, "create") for site in self.sites),
            *(asyncio.to_thread(self._make_bucket, place) for place in self.places),
        )
        services = [process for site in self.sites for process in self._at(site, SERVICES)]
        await asyncio.gather(*(self.start(process) for process in services))
        await self.settle()

    async def _database(self, site: str, do: str) -> None:
        process = f"{site}/postgres"
        database = self.description.present_run.database
        await self._engine(process).run_inside(
            self._named(process), "python3", "-m", "infra.images.databases", do, database
        )

    def _make_bucket(self, place: str) -> None:
        store, there = self._bucket(place), self.description.blueprint.addresses.outside
        if there:
            spared = [there.bucket(self.name, place, run) for run in self.spared]
            Tenancy(self.folder).renew(there, store, there.bucket(self.name, place, None), spared)
        else:
            make_bucket(store, self._keys.pair(OPERATOR, place))

    def _bucket(self, place: str) -> ObjectStore:
        reach = FromHere(self.description.settings, self.folder)
        return bucket_of(reach, self.description.present_run, OPERATOR, place)

    async def settle(self) -> None:
        """Put all that was written onto the disks: what stood before is not what a power cut may take."""
        await power.settle(self.folder, self.sites)

    # -- the end

    async def close(self) -> None:
        """Let go of the stack: what we started here ends, the containers stay."""
        for engine in self._engines.values():
            engine.client.close()
        await self.control.close()

    async def down(self) -> None:
        """Remove everything that the stack consists of, with its data."""
        if self.control.open:
            await self.control.ask("shutdown")
        engines = list(self._engines.values())
        left = await asyncio.to_thread(remove_all, self.folder, [engine.client for engine in engines])
        await self.close()
        if left:
            raise StackError(f"not everything of stack {self.name} could be removed: {'; '.join(left)}")


def seen(process: str, state: Mapping[str, Any]) -> Mapping[str, object]:
    """Return what the engine says of a container in the words of an embedded stack's status."""
    healthy = state.get("Health", {}).get("Status", "healthy") == "healthy"
    return {
        "name": process,
        "pid": state["Pid"],
        "alive": state["Running"],
        "ready": state["Running"] and healthy,
        "paused": state["Paused"],
        "exit_status": None if state["Running"] else state["ExitCode"],
    }


def _entries_of(services: Services) -> dict[str, str]:
    """Return the programs that are not the usual ones, by kind."""
    named = {kind: getattr(services, kind) for kind in ("s3", *SERVICES)}
    return {kind: entry for kind, entry in named.items() if entry and entry != ENTRIES[kind]}
