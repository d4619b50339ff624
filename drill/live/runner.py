"""Runs one drill on a stack, from a fresh run to its verdict."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from time import monotonic

from cutover.engine.journalling import ask, begin, state_of
from cutover.errors import CutoverError
from cutover.model.journal import Intent
from cutover.model.observation import Fence
from cutover.model.plan import Plan
from cutover.model.register import Parting
from cutover.model.stage import Stage
from cutover.protocol.replay import State
from drill.checkers import Announced, ContentFile, Evidence, Scheduled, judge
from drill.drills import Drill
from drill.history import HistoryWriter, history_of, read_history
from drill.live.access import Access, access, store_reader
from drill.live.field import COORDINATOR, LiveField
from drill.live.harness import Entry, Line
from drill.live.stacks import Stack
from drill.live.watch import Watch
from drill.measures import measure
from drill.nemesis import FAULTS, Fault
from drill.points import RANDOM
from drill.report.contract import DrillResult
from drill.stores import SiteStores, with_quarantine_of
from drill.stores_live import StoresUnreadable
from drill.verdict import Finding, Verdict, Witness
from drill.workload.clients import Amount, Workload
from infra.embedded.errors import StackError

COORDINATOR_ENTRY = "drill.live.coordinator:serve"
GOAL_SECONDS = 60.0
"""Longest that a migration may take to its goal, faults included, before the drill is inconclusive."""
SETTLE_SECONDS = 30.0
"""Longest that the other site may take to have everything once all is healed and the clients are done."""
PACE_SECONDS = 0.025
"""Mean pause of a client between two operations while the migration runs: 12 clients, some 250 a second."""
RANDOM_SECONDS = 3.5
"""A random fault strikes within this time after the coordinator was started: as long as a calm one takes."""
HEAL_SECONDS = 180.0
"""Longest that a healing may take once the clients are done: a site is up again within 60, and may be
waited for twice. What is broken for longer is left broken, and the drill is inconclusive."""
STRIKE_SECONDS = 2.0
"""How long a migration that is at its goal waits for a fault that has not come: then its point was missed."""
LOOK_SECONDS = 0.05
INTENTS = {"roll-back": Intent.ROLL_BACK, "complete": Intent.COMPLETE}

Tell = Callable[[str], None]


@dataclass(slots=True)
class LiveDrill:
    """One drill; `folder` takes its history."""

    stack: Stack
    plan: Plan
    drill: Drill
    history_file: Path
    tell: Tell = lambda _: None
    amount: Amount = field(default_factory=Amount)
    prepare: Callable[[Workload], Awaitable[None]] | None = None
    content: Mapping[str, ContentFile] = field(default_factory=dict)  #: by post id; `prepare` may fill it
    goal_seconds: float = GOAL_SECONDS
    _asked: "asyncio.Task[object] | None" = None  #: the operator's early roll back
    _healing: "asyncio.Task[None] | None" = None
    _struck: asyncio.Event = field(default_factory=asyncio.Event)
    _healed: asyncio.Event = field(default_factory=asyncio.Event)
    _problems: list[Witness] = field(default_factory=list)
    _lag: float | None = None
    _partings: dict[int, Parting] = field(default_factory=dict)  #: by the epoch of the survivor
    _ended: str = ""  #: why the coordinator is no more, when nobody killed it

    async def run(self, *, commit: str | None = None) -> DrillResult:
        """Run it to its verdict."""
        began = monotonic()
        self.history_file.parent.mkdir(parents=True, exist_ok=True)
        with self.history_file.open("wb") as sink:
            history = HistoryWriter(sink, lambda: monotonic() - began)
            async with access(self.stack, self.plan) as reached:
                evidence = await self._rehearse(history, reached)
        recorded = history_of(read_history(self.history_file))
        findings = (*judge(recorded, evidence), *self._progress())
        return DrillResult(
            name=self.drill.name,
            seed=self.drill.seed,
            fidelity="live",
            schedule=evidence.scheduled,
            plant=self.drill.plant,
            seconds=monotonic() - began,
            repeat=self.drill.command(commit),
            findings=findings,
            measures=measure(recorded, findings, lag_s=self._lag),
            history=self.history_file,
        )

    # -- the rehearsal ------------------------------------------------------------------------

    async def _rehearse(self, history: HistoryWriter, reached: Access) -> Evidence:
        workload = self._workload(history, reached)
        watch = Watch(self.plan, workload, reached)
        line = Line(
            self.stack.folder.path / "harness.sock",
            lambda entry: self._record(history, watch, reached, entry),
            lambda point: self._strike(history, field_, watch, point),
        )
        field_ = self._field(line.path)
        async with line:
            if self.prepare is not None:
                await self.prepare(workload)
            workload.hold(pace_seconds=PACE_SECONDS)
            clients = asyncio.ensure_future(workload.run())
            try:
                await begin(reached.parts)
                point = self.drill.point if self.drill.point != RANDOM else None
                await field_.start_coordinator(COORDINATOR, point)
                await self._until_goal(history, field_, watch, reached)
                workload.release()
                await clients
            finally:
                clients.cancel()
                await asyncio.gather(clients, return_exceptions=True)
            return await self._judged_at_rest(reached)

    async def _judged_at_rest(self, reached: Access) -> Evidence:
        """Read both sites when nobody writes: a platform works its queue also when no client is there.

        Without that the two sites are read at two moments, and a difference says nothing. A
        fault of a drill that got stuck is healed first, and not in the middle of the next one.
        """
        await self._until_healed()
        platforms = [f"{site}/platform" for site in (self.plan.source, self.plan.target)]
        await asyncio.gather(*(self.stack.stop(platform) for platform in platforms))
        await self._settle(reached)
        evidence = await self._evidence(reached)
        try:
            await asyncio.gather(*(self.stack.start(platform) for platform in platforms))
        except (StackError, OSError) as error:
            self._problems.append(Witness(what=f"a platform could not be started again: {error}"))
        return evidence

    async def _until_healed(self) -> None:
        """Wait for the healing that is under way, if any, and call it off when it takes too long."""
        if self._healing is None:
            return
        try:
            async with asyncio.timeout(HEAL_SECONDS):
                await self._healing
        except TimeoutError:
            what = f"{self.drill.fault} of {self.drill.victim} was not healed within {HEAL_SECONDS:.0f} s"
            self._problems.append(Witness(what=what))

    def _workload(self, history: HistoryWriter, reached: Access) -> Workload:
        return Workload(
            apis=reached.clients,
            route=reached.route,
            history=history,
            random=Random(f"workload {self.drill.seed}"),
            amount=self.amount,
            first_site=self.plan.source,
        )

    def _field(self, socket: Path) -> LiveField:
        settings: dict[str, object] = {"harness": str(socket), "plant": self.drill.plant}
        return LiveField(self.stack, self.plan, settings, COORDINATOR_ENTRY)

    def _record(self, history: HistoryWriter, watch: Watch, reached: Access, entry: Entry) -> None:
        if not watch.take_in(entry) or entry["kind"] != "move":
            return
        actions = [one["action"] for one in entry["actions"]]
        history.move(stage=entry["stage"], direction=entry["direction"], actions=actions, entry=entry["n"])
        if entry["stage"] == "drain" and entry["facts"].get("lag_seconds") is not None:
            self._lag = max(self._lag or 0.0, float(entry["facts"]["lag_seconds"]))
        if entry["stage"] == self.drill.early and self._asked is None:
            self._asked = asyncio.ensure_future(ask(reached.parts, Intent.ROLL_BACK))
        self.tell(entry["stage"])

    async def _until_goal(
        self, history: HistoryWriter, field_: LiveField, watch: Watch, reached: Access
    ) -> None:
        """Until the ending that the operator asks for, and every fault is healed. Clients go on meanwhile."""
        surprise = asyncio.ensure_future(self._surprise(history, field_, watch))
        watching = asyncio.ensure_future(self._watch_coordinator())
        try:
            if self.drill.early is None:
                async with asyncio.timeout(self.goal_seconds):
                    await self._reach_after_faults(
                        reached, _at_soak, surprise, strikes=not self.drill.strikes_at_the_end
                    )
            if self.drill.ending != "soak":
                async with asyncio.timeout(self.goal_seconds):
                    await self._end(reached, surprise)
        except TimeoutError:
            await self._stuck(reached)
        finally:
            surprise.cancel()
            watching.cancel()
            await asyncio.gather(surprise, watching, return_exceptions=True)

    async def _end(self, reached: Access, surprise: "asyncio.Task[None]") -> None:
        """Ask for what comes after soak; an early roll back was asked for when its stage began."""
        if self.drill.early is None:
            await ask(reached.parts, INTENTS[self.drill.ending])
        strikes = self.drill.strikes_at_the_end or self.drill.early is not None
        goal = _is_complete if self.drill.ending == "complete" else _is_rolled_back
        await self._reach_after_faults(reached, goal, surprise, strikes=strikes)
        if self._asked is not None:
            await self._asked

    async def _reach_after_faults(
        self,
        reached: Access,
        there: Callable[[State], bool],
        surprise: "asyncio.Task[None]",
        *,
        strikes: bool,
    ) -> None:
        """Get there, and there again once the fault that was to strike on the way is healed."""
        await self._reach(reached, there)
        if strikes and self.drill.fault:
            if self.drill.point == RANDOM:
                await surprise
            if await self._was_struck():
                await self._healed.wait()
                await self._reach(reached, there)

    async def _watch_coordinator(self) -> None:
        """One that ends by itself has crashed, or was refused: nothing more will come of this drill."""
        status = await self.stack.wait_end(COORDINATOR)
        if self.drill.victim != "coordinator":
            log = self.stack.folder.log(COORDINATOR).read_text(errors="replace")[-600:]
            self._ended = f"the coordinator ended by itself with {status}; its log ends: {log}"

    async def _reach(self, reached: Access, there: Callable[[State], bool]) -> None:
        while True:
            ended = self._ended  # one that ends by itself may just have got there
            with suppress(CutoverError):
                state = await state_of(reached.parts)
                apart = await self._apart(reached)
                if state is not None and there(state) and not apart:
                    return
                if state is not None and state.stage is Stage.VERIFY and state.paused:
                    await ask(reached.parts, Intent.RESUME)  # the source took back: try once more
            if ended:
                raise TimeoutError(ended)
            await asyncio.sleep(LOOK_SECONDS)

    async def _apart(self, reached: Access) -> bool:
        """A survivor serves, and the other site has not come home."""
        seen = await reached.parts.register.read()
        parted = seen.grant.parted if seen else None
        if parted is not None:
            self._partings[parted.epoch] = parted
        return parted is not None

    async def _stuck(self, reached: Access) -> None:
        if self._ended:
            self._problems.append(Witness(what=self._ended))
        where = "an unreadable journal"
        with suppress(CutoverError):
            state = await state_of(reached.parts)
            where = f"{state.stage.value}, {len(state.pending)} action(s) left" if state else "its beginning"
        what = f"the migration did not reach its goal within {self.goal_seconds:.0f} s: it stands at {where}"
        self._problems.append(Witness(what=what))

    async def _was_struck(self) -> bool:
        """Whether the fault has begun; at its goal the migration may just be standing at its point."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STRIKE_SECONDS):
                await self._struck.wait()
        return self._struck.is_set()

    # -- the fault ----------------------------------------------------------------------------

    async def _surprise(self, history: HistoryWriter, field_: LiveField, watch: Watch) -> None:
        if self.drill.fault and self.drill.point == RANDOM:
            seconds = Random(f"moment {self.drill.seed}").uniform(0.05, RANDOM_SECONDS)
            await asyncio.sleep(seconds)
            await self._strike(history, field_, watch, RANDOM)

    async def _strike(self, history: HistoryWriter, field_: LiveField, watch: Watch, point: str) -> None:
        """Strike once, and let the healing follow by itself."""
        if self.drill.fault is None or self._struck.is_set():
            return
        self._struck.set()
        fault, victim = FAULTS[self.drill.fault], self.drill.victim or ""
        bite = await watch.bite(victim, standing=point != RANDOM)
        history.fault(name=fault.name, victim=victim, point=point, bite=bite)
        self.tell(f"{fault.name} {victim}")
        try:
            await fault.strike(field_, victim)
        except (StackError, OSError) as error:
            self._problems.append(Witness(what=f"{fault.name} of {victim} could not strike: {error}"))
        self._healing = asyncio.ensure_future(self._heal(history, field_, fault, victim))

    async def _heal(self, history: HistoryWriter, field_: LiveField, fault: Fault, victim: str) -> None:
        await asyncio.sleep(fault.seconds)
        try:
            await fault.heal(field_, victim)
            history.heal(name=fault.name, victim=victim)
        except (StackError, OSError) as error:
            self._problems.append(Witness(what=f"{fault.name} of {victim} could not be healed: {error}"))
        finally:
            self._healed.set()

    # -- the end ------------------------------------------------------------------------------

    async def _settle(self, reached: Access) -> None:
        """Convergence is judged by the checkers; this gives it its time, while one site feeds the other."""
        if self.drill.ending != "soak":
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_SECONDS):
                end = None
                while True:
                    with suppress(CutoverError):  # a connection of before a kill fails once
                        grant = await reached.parts.register.read()
                        serving = grant.grant.serving if grant else self.plan.source
                        end = end or (await reached.parts.sites[serving].look()).end
                        applied = (await reached.parts.sites[self.plan.peer(serving)].look()).applied
                        if applied is not None and applied.reaches(end):
                            return
                    await asyncio.sleep(LOOK_SECONDS)

    async def _witness(self, reached: Access) -> tuple[Stage, str]:
        """The stage in which the migration ended, and the site that serves; SiteUnreachable after a while."""
        ends = monotonic() + SETTLE_SECONDS
        while True:
            try:
                state, grant = await state_of(reached.parts), await reached.parts.register.read()
            except CutoverError:
                if monotonic() > ends:
                    raise
                await asyncio.sleep(LOOK_SECONDS)
            else:
                serving = grant.grant.serving if grant else self.plan.source
                return (state.stage if state else Stage.PREFLIGHT), serving

    async def _evidence(self, reached: Access) -> Evidence:
        try:
            stage, serving = await self._witness(reached)
        except CutoverError as error:
            self._problems.append(Witness(what=f"nobody can say which site serves: {error}"))
            return Evidence(serving=None, other=None, stage="")
        first, second = await asyncio.gather(self._stores(serving), self._stores(self.plan.peer(serving)))
        return Evidence(
            serving=with_quarantine_of(first, second),
            other=second,
            stage=stage.value,
            complete=stage in (Stage.COMPLETE, Stage.ROLLED_BACK),
            scheduled=_scheduled(self.drill),
            content=self.content,
            conflicts_expected=bool(self._partings),
            announced=self._announced(),
            fences=await self._fences(reached),
        )

    async def _fences(self, reached: Access) -> dict[str, Fence]:
        found = {}
        for name, site in reached.parts.sites.items():
            with suppress(CutoverError):  # it stayed away
                found[name] = await site.fence()
        return found

    def _announced(self) -> Announced | None:
        """That a site was left, and came back: until then its peer did not show what it had not sent."""
        announced = None
        for epoch in sorted(self._partings):
            announced = Announced(site=self._partings[epoch].left, epoch=epoch - 1, before=announced)
        return announced

    async def _stores(self, site: str) -> SiteStores | None:
        try:
            return await store_reader(self.stack.outputs(), site).read()
        except StoresUnreadable as error:
            self._problems.append(Witness(what=f"{error}", site=site))
            return None

    def _progress(self) -> tuple[Finding, ...]:
        verdict = Verdict.INCONCLUSIVE if self._problems else Verdict.HELD
        return (Finding(checker="progress", verdict=verdict, witnesses=tuple(self._problems)),)


def broken_off(
    drill: Drill, error: Exception, history: Path, *, seconds: float, commit: str | None
) -> DrillResult:
    """The result of a drill whose stack or witness failed its harness: nobody can say."""
    what = f"the drill broke off, so that nobody looked at what is left: {error}"
    return _unjudged(drill, what, history if history.exists() else None, seconds=seconds, commit=commit)


def not_run(drill: Drill, commit: str | None) -> DrillResult:
    """The result of a drill that had no verdict yet when its suite was ended."""
    what = "the suite ended before this drill had a verdict: it was broken off, or never begun"
    return _unjudged(drill, what, None, seconds=0.0, commit=commit)


def _unjudged(
    drill: Drill, what: str, history: Path | None, *, seconds: float, commit: str | None
) -> DrillResult:
    recorded = history_of(read_history(history) if history else ())
    findings = (Finding(checker="progress", verdict=Verdict.INCONCLUSIVE, witnesses=(Witness(what=what),)),)
    return DrillResult(
        name=drill.name,
        seed=drill.seed,
        fidelity="live",
        schedule=_scheduled(drill),
        plant=drill.plant,
        seconds=seconds,
        repeat=drill.command(commit),
        findings=findings,
        measures=measure(recorded, findings),
        history=history,
    )


def _scheduled(drill: Drill) -> tuple[Scheduled, ...]:
    if drill.fault is None:
        return ()
    return (Scheduled(fault=drill.fault, victim=drill.victim or "", point=drill.point or ""),)


def _at_soak(state: State) -> bool:
    return state.stage is Stage.SOAK and not state.pending and bool(state.clean)


def _is_complete(state: State) -> bool:
    return state.stage is Stage.COMPLETE and not state.pending


def _is_rolled_back(state: State) -> bool:
    return state.stage is Stage.ROLLED_BACK and not state.pending
