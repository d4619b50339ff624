"""The embedded stack as the harness drives it: bring up, break, heal, start over, take down."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from cutover.model.outputs import Outputs
from cutover.model.secret import Secret
from infra.embedded import contract, databases, power
from infra.embedded.binaries import find_binaries
from infra.embedded.claim import claim, free_name
from infra.embedded.control import Control
from infra.embedded.description import Description, kind_of
from infra.embedded.errors import NoSuchStack, ProcessFailed, StackError
from infra.embedded.groups import Death
from infra.embedded.launch import start_supervisor
from infra.embedded.postgres import Server, prepared
from infra.embedded.reaper import reap as reap_dead
from infra.embedded.reaper import take_down, telling
from infra.embedded.relay import Mode
from infra.embedded.services import Services
from infra.embedded.state import StateFolder, is_locked, server_user
from infra.embedded.stores import Stores
from infra.embedded.waiting import ready_or_ended
from infra.s3_engines.resolve import OWN, find_engine
from infra.topology import OPERATOR, WITNESS, two_sites

RELAYS = "links/relays"
LINKS_SECONDS = 10.0  #: longest that the relays may take to answer at the beginning of a run

Progress = Callable[[str], None]


class EmbeddedStack:
    """One stack that is up. Belongs to the event loop in which it was made.

    Places are the sites' names and `witness`. Processes are called PLACE/KIND:
    east/postgres, east/s3, east/platform, east/worker, east/agent, witness/s3,
    links/relays, operator/coordinator; a second one of a kind is east/worker.2.
    """

    def __init__(self, state: StateFolder, description: Description, control: Control) -> None:
        self._state = state
        self.description = description
        self.folder = state.stack(description.name)
        self._control = control
        self._stores = Stores(self.folder, control)
        self._links: Control | None = None
        self._given = (description.services, description.extras)  #: what every run starts with

    # -- up and down

    @classmethod
    async def up(
        cls,
        name: str | None = None,
        *,
        keep: bool = False,
        services: Services | None = None,
        schema: Path | None = None,
        postgres_version: int | None = None,
        extras: Mapping[str, Mapping[str, object]] | None = None,
        preload: Iterable[str] = (),
        s3_server: str = OWN,
        power_cut: bool = False,
        progress: Progress = lambda _: None,
    ) -> "EmbeddedStack":
        """Bring a stack up, with a first run in it, and return when every service is ready.

        `keep`: it stays when this process ends; else it ends with us, even if we
        are killed. `schema`: SQL file that the role platform runs in every new
        database. `extras`: settings by kind of process, added to what the stack
        gives. `preload`: further modules to import once, before the first fork.
        `s3_server`: which object store every place runs, a name of `infra.s3_engines`, or a URL.
        `power_cut`: each site's data are on a disk of its own whose power can be cut.
        Raises StackInUse, NoServerBinaries, NoS3Server, NoPowerCut, NoFreePorts, ProcessFailed.
        """
        if power_cut:
            power.require()
        state = StateFolder.open()
        await asyncio.to_thread(reap_dead, state, progress)
        binaries = await asyncio.to_thread(find_binaries, state.cache, server_user(), postgres_version)
        engine = await asyncio.to_thread(find_engine, s3_server, state.cache, progress)
        partial = Description(
            name=name or free_name(state),
            keep=keep,
            ports={},
            services=services or Services(),
            postgres_folder=str(binaries.folder),
            postgres_version=binaries.version,
            schema=str(schema.resolve()) if schema else None,
            extras=extras or {},
            **engine.described,
        )
        description, lock = await asyncio.to_thread(claim, state, partial)
        progress(f"stack {description.name}: PostgreSQL {binaries.version} from {binaries.folder}")
        folder = state.stack(description.name)
        lease = await asyncio.to_thread(start_supervisor, folder, lock, keep=keep)
        stack = cls(state, description, await Control.over(lease))
        try:
            await power.plug_in(folder, stack.sites if power_cut else ())
            await stack._bring_up([*description.services.modules, *preload], progress)
        except BaseException:
            with telling(progress):
                await asyncio.shield(stack.down())
            raise
        return stack

    @classmethod
    async def attach(cls, name: str) -> Self:
        """Use a stack that is up already; it outlives this object. Raises NoSuchStack."""
        state = StateFolder.open()
        folder = state.stack(name)
        try:
            return cls(state, Description.load(folder), await Control.to(folder.socket("control")))
        except OSError:
            there = ", ".join(list_stacks()) or "none"
            raise NoSuchStack(f"no stack {name!r} is up; up are: {there}") from None

    async def down(self) -> None:
        """End every process of the stack and remove its files."""
        try:
            if self._control.open:
                await self._control.ask("shutdown")
        finally:
            await self.close()
            await asyncio.to_thread(take_down, self.folder)

    async def close(self) -> None:
        """Let go of the stack: one that is not kept ends now, if it is this object that brought it up."""
        if self._links:
            await self._links.close()
        await self._control.close()

    async def _bring_up(self, modules: list[str], progress: Progress) -> None:
        passwords = contract.make_credentials(self.description, self.folder)
        await asyncio.to_thread(prepared, self.description.binaries, self._state.cache, server_user())
        await asyncio.gather(*(asyncio.to_thread(one.prepare, self._state.cache) for one in self._servers()))
        progress("data directories are prepared")
        await asyncio.gather(*(self._spawn_server(site) for site in self.sites))
        loaded, *_ = await asyncio.gather(
            self._control.ask("preload", modules=["infra.embedded.relay", *modules]),
            *(self._make_template(site, passwords[site]) for site in self.sites),
        )
        progress(f"databases are ready, {len(modules)} modules are loaded")
        for module, error in loaded["failed"].items():
            progress(f"module {module} cannot be loaded: {error}")
        await asyncio.gather(
            self._start_relays(), *(self._stores.start(self.description, place) for place in self.places)
        )
        progress("object stores and links are ready")
        await self._begin_run()
        progress("services are ready")

    async def _make_template(self, site: str, passwords: Mapping[str, Secret]) -> None:
        await self._wait_server(site)
        schema = Path(self.description.schema) if self.description.schema else None
        await databases.make_template(self.server(site), passwords, schema)

    # -- what it is

    @property
    def name(self) -> str:
        return self.description.name

    @property
    def run(self) -> str:
        """Return the id of the present run; `fresh` begins another."""
        return self.description.run_id

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(site.name for site in two_sites().sites)

    @property
    def places(self) -> tuple[str, ...]:
        return two_sites().places

    def outputs(self, viewer: str = OPERATOR) -> Outputs:
        """Return the stack as `viewer` reaches it: over links of its own."""
        return contract.outputs_for(self.description, self.folder, viewer)

    def outputs_file(self, viewer: str = OPERATOR) -> Path:
        """Return the file with the outputs of `viewer`."""
        return self.folder.outputs(viewer)

    def server(self, site: str) -> Server:
        """Return the PostgreSQL server of a site; its `connect` is the stack's own superuser."""
        port = self.description.ports[f"{site}/postgres"]
        told = {
            **power.server_settings(self.folder, site),
            **self.description.extra(f"{site}/postgres"),
        }
        return Server(self.folder.server(site), port, self.description.binaries, server_user(), told)

    async def status(self) -> Mapping[str, Any]:
        """Return every process (name, pid, alive, ready, paused, exit status) and every route's mode."""
        answer = dict(await self._control.ask("status"))
        relays = await (await self._relay_control()).ask("status")
        return {"name": self.name, "run": self.run, **answer, "routes": relays["routes"]}

    # -- single processes

    async def start(
        self, process: str, *, entry: str | None = None, settings: Mapping[str, object] | None = None
    ) -> None:
        """Start a process and return when it is ready.

        `entry` replaces the kind's own, `settings` are added to the stack's; both
        hold for this process until `fresh`, also when its site is restarted.
        Raises ProcessFailed when it is running already, or ends before it is ready.
        """
        self._remember(process, entry, settings)
        place = process.partition("/")[0]
        match kind_of(process):
            case "postgres":
                await self._start_server(place)
            case "s3":
                await self._stores.start(self.description, place)
            case "relays":
                await self._start_relays()
            case kind:
                told = contract.settings_for(self.description, self.folder, process)
                await self._spawn(process, self.description.entry(process), told, fast=kind == "platform")

    def _remember(self, process: str, entry: str | None, settings: Mapping[str, object] | None) -> None:
        """Keep what a process was started with, so that it comes back the same when its site does."""
        now = self.description
        if entry:
            now = replace(now, entries={**now.entries, process: entry})
        if settings:
            now = replace(now, extras={**now.extras, process: {**now.extras.get(process, {}), **settings}})
        if now is not self.description:
            self.description = now
            now.save(self.folder)

    async def wait_end(self, process: str) -> int:
        """Return when a process has ended, with its exit status (negative: the signal)."""
        return int((await self._control.ask("watch", name=process))["status"])

    async def stop(self, process: str, *, seconds: float = 5.0) -> None:
        """Ask a process to end, and kill it if it has not within `seconds`."""
        await self._control.ask("stop", name=process, seconds=seconds)

    async def kill(self, process: str) -> Death:
        """SIGKILL one process with all that it made."""
        return _death(await self._control.ask("kill", name=process))

    async def pause(self, process: str) -> None:
        """Freeze one process, with all that it made, in the middle of whatever it does."""
        await self._control.ask("pause", name=process)

    async def resume(self, process: str) -> None:
        """Let a paused process run on."""
        await self._control.ask("resume", name=process)

    # -- whole places

    async def kill_site(self, site: str) -> Death:
        """SIGKILL everything at a place as one; its ports refuse from then on."""
        return _death(await self._control.ask("kill", group=site))

    async def power_cut_site(self, site: str) -> Death:
        """Take from a site's disk what was not synced, and everything that runs there with it.

        The stack must have been brought up with `power_cut`. Raises StackError.
        """
        await power.cut(self.folder, site)
        return await self.kill_site(site)

    async def restart_site(self, site: str) -> None:
        """Start, on the same data, everything at a place that is not running; a cut disk has power again."""
        await power.restore(self.folder, (site,))
        stores = [f"{site}/s3"] if site == WITNESS else [f"{site}/postgres", f"{site}/s3"]
        for kinds in (stores, [f"{site}/{kind}" for kind in self._kinds(site)]):
            missing = [process for process in kinds if process not in await self._running()]
            await asyncio.gather(*(self.start(process) for process in missing))

    async def pause_site(self, site: str) -> None:
        """Freeze everything at a place."""
        if (await self._control.ask("pause", group=site))["processes"] == 0:
            raise ProcessFailed(f"{site} is not running, so nothing of it was paused")

    async def resume_site(self, site: str) -> None:
        """Let everything at a paused place run on."""
        await self._control.ask("resume", group=site)

    async def fill_disk(self, site: str) -> None:
        """Fill a site's disk; the stack must have been brought up with `power_cut`. Raises StackError."""
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
        """Put a link (or some services over it) into a mode of `infra.embedded.relay`."""
        two_sites().link(link)
        await self._set_links(link, Mode(mode), seconds, services)

    async def heal(self, link: str | None = None) -> None:
        """Open a link again, or all of them."""
        await self._set_links(link, Mode.OPEN, 0.0, None)

    async def _set_links(
        self, link: str | None, mode: Mode, seconds: float, services: Iterable[str] | None
    ) -> None:
        control = await self._relay_control()
        chosen = None if services is None else list(services)
        await control.ask("set", link=link, mode=mode.value, seconds=seconds, services=chosen)

    async def s3_fault(self, place: str, do: str, **limits: object) -> Mapping[str, Any]:
        """Ask the object store at a place for a fault (`slow`, `hang`, ..., `heal`); return its answer.

        Raises StackError where the store is not our own: it has no faults to ask for.
        """
        return await self._stores.fault(self.description, place, do, **limits)

    async def _relay_control(self) -> Control:
        if self._links is None or not self._links.open:
            self._links = await Control.to(self.folder.socket("relays"))
        return self._links

    # -- runs

    async def fresh(
        self,
        *,
        services: Services | None = None,
        extras: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Outputs:
        """Begin a new run: empty database, new buckets, new witness prefix, services started anew.

        Whatever the last run left broken is healed first. The servers stay up, unless their settings change.
        `services` and `extras` replace what `up` was given, and are what every later
        run starts with; entries and settings given to `start` are forgotten.
        Returns the operator's outputs.
        """
        await self._end_run()
        before = self._servers()
        self._given = (services or self._given[0], self._given[1] if extras is None else extras)
        self.description = replace(
            self.description, services=self._given[0], extras=self._given[1], entries={}
        )
        changed = [site for site, was in zip(self.sites, before, strict=True) if self.server(site) != was]
        await asyncio.gather(*(self._restart_server(site) for site in changed))
        await self._begin_run()
        return self.outputs()

    async def _end_run(self) -> None:
        """Kill what served the last run, mend what it broke, and drop its databases."""
        status = await self._control.ask("status")
        alive = [one["name"] for one in status["processes"] if one["alive"]]
        await asyncio.gather(*(self.kill(name) for name in alive if not _stays(name)))
        paused = [one["name"] for one in status["processes"] if one["paused"] and _stays(one["name"])]
        await asyncio.gather(*(self.resume(name) for name in paused))
        await self._open_all_links()
        await power.restore(self.folder, self.sites)
        stores = [f"{place}/{kind}" for place in self.places for kind in _stores(place)]
        await asyncio.gather(*(self.start(process) for process in stores if process not in alive))
        database = self.description.database
        await asyncio.gather(*(databases.drop_run(server, database) for server in self._servers()))

    async def _open_all_links(self) -> None:
        """Relays that were killed a moment ago may still be listed, or not listen again yet."""
        async with asyncio.timeout(LINKS_SECONDS):
            while True:
                if RELAYS not in await self._running():
                    await self._start_relays()
                with suppress(OSError):
                    return await self.heal()
                await asyncio.sleep(0.02)

    async def _begin_run(self) -> None:
        self.description = replace(self.description, run=self.description.run + 1)
        self.description.save(self.folder)
        database = self.description.database
        await asyncio.gather(
            *(databases.create_run(server, database) for server in self._servers()),
            *(asyncio.to_thread(self._stores.make_bucket, self.description, place) for place in self.places),
        )
        await power.settle(self.folder, self.sites)
        contract.publish(self.description, self.folder)
        for kind in self.description.services.of_a_site:
            await asyncio.gather(*(self.start(f"{site}/{kind}") for site in self.sites))

    # -- starting

    async def _spawn(
        self, process: str, entry: str, settings: Mapping[str, object], *, fast: bool = False
    ) -> None:
        await self._control.ask(
            "spawn",
            name=process,
            group=process.partition("/")[0],
            entry=entry,
            settings=settings,
            log=str(self.folder.log(process)),
            fast=fast,
        )

    async def _spawn_server(self, site: str) -> None:
        server = self.server(site)
        user = {"user": {"uid": server.user.uid, "gid": server.user.gid}} if server.user.is_other else {}
        await self._control.ask(
            "spawn",
            name=f"{site}/postgres",
            group=site,
            argv=server.argv,
            env=server.environment,
            log=str(self.folder.log(f"{site}/postgres")),
            **user,
        )

    async def _start_server(self, site: str) -> None:
        await self._spawn_server(site)
        await self._wait_server(site)

    async def _restart_server(self, site: str) -> None:
        await self.stop(f"{site}/postgres")
        await self._start_server(site)

    async def _wait_server(self, site: str) -> None:
        """Wait until the server takes queries; raise ProcessFailed at once when it ends instead."""
        log = self.folder.log(f"{site}/postgres")
        await ready_or_ended(
            self.server(site).wait_ready(),
            self.wait_end(f"{site}/postgres"),
            lambda status: (
                f"PostgreSQL at {site} ended with {status}; its log ends: "
                f"{log.read_text(errors='replace')[-1000:]}"
            ),
        )

    async def _start_relays(self) -> None:
        routes, socket = self.description.addresses.routes(), str(self.folder.socket("relays"))
        settings = {"routes": routes, "control_socket": socket}
        await self._spawn(RELAYS, "infra.embedded.relay:serve", settings, fast=True)

    def _servers(self) -> list[Server]:
        return [self.server(site) for site in self.sites]

    def _kinds(self, place: str) -> tuple[str, ...]:
        return () if place == WITNESS else self.description.services.of_a_site

    async def _running(self) -> set[str]:
        status = await self._control.ask("status")
        return {one["name"] for one in status["processes"] if one["alive"]}


def _stores(place: str) -> tuple[str, ...]:
    return ("s3",) if place == WITNESS else ("postgres", "s3")


def _stays(process: str) -> bool:
    return process.endswith(("/postgres", "/s3")) or process == RELAYS


def _death(answer: Mapping[str, Any]) -> Death:
    return Death(answer["processes"], answer["skew_seconds"], answer["way"])


def list_stacks() -> list[str]:
    """Return the names of the stacks of processes that are up."""
    state = StateFolder.open()
    with state.allocating():
        ours = [folder for folder in state.stacks() if folder.kind == "processes"]
        return [folder.name for folder in ours if is_locked(folder.lock)]


def reap() -> list[str]:
    """Remove what killed runs left behind; return the names of their stacks."""
    return reap_dead(StateFolder.open())


async def down_all() -> list[str]:
    """Take down every stack of this user, kept or not, and what is left of dead ones; then StackError."""
    gone, failed = [], []
    for name in list_stacks():
        try:
            await (await EmbeddedStack.attach(name)).down()
            gone.append(name)
        except (StackError, OSError) as error:
            failed.append(f"{name}: {error}")
    gone += reap_dead(StateFolder.open(), failed.append)
    if failed:
        raise StackError("; ".join([*failed, f"down are {', '.join(sorted(gone)) or 'none'}"]))
    return gone
