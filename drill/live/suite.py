"""Runs drills one after the other on one stack, each on a fresh run of it."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from cutover.errors import CutoverError
from cutover.model.plan import Plan
from drill.commit import commit_here
from drill.drills import Drill
from drill.live.runner import LiveDrill, broken_off, not_run
from drill.live.services import extras_of, services_of
from drill.live.stacks import Stack, Where, bring_up, can_cut
from drill.live.standing import EMBEDDED
from drill.live.unsynced import explained
from drill.nemesis import DISK, PACKETS
from drill.report import DrillResult, Report, history_name, write_report
from drill.sample_plan import sample_plan
from drill.workload.clients import Amount
from infra.disks.loop import why_impossible
from infra.embedded.errors import StackError
from infra.embedded.loan import held

Tell = Callable[[str], None]


class Impossible(ValueError):
    """A drill needs what this machine, or this user, has not; nothing was run."""


def needs_disks(drills: Sequence[Drill]) -> bool:
    """Whether sites need disks of their own."""
    return any(DISK in drill.needs for drill in drills)


def check_possible(drills: Sequence[Drill], where: Where) -> None:
    """Raise Impossible, or StackError, for a drill that cannot be run here; before anything is made."""
    holding = [drill for drill in drills if PACKETS in drill.needs]
    if holding and where.kind == EMBEDDED:
        raise Impossible(
            f"{holding[0].name!r} was not run: the links of an embedded stack hold back and lose no single "
            f"packets. Take containers: --stack docker; or a drill in virtual time: --fidelity simulated"
        )
    breaking = [drill for drill in drills if drill.breaks_links]
    if breaking and where.kind != EMBEDDED:
        can_cut(holding=bool(holding))
    asking = [drill for drill in drills if DISK in drill.needs]
    if asking and (why := why_impossible()):
        raise Impossible(
            f"{asking[0].name!r} was not run: {why}. Without a disk of its own: --fault kill; without a real "
            f"disk: --fidelity simulated"
        )


OTHER_CODE = (
    "whether the services run the code of this commit: the stack stood before its drills, and runs what it "
    "was brought up with"
)


def told_of_place(result: DrillResult, drill: Drill, where: Where) -> DrillResult:
    """Return the result with what is to be said of the place where it was come by."""
    result = explained(result, drill, where.stores)
    notes = (*result.notes, OTHER_CODE) if where.stays else result.notes
    return replace(result, notes=notes, repeat=where.added_to(result.repeat))


@dataclass(slots=True, kw_only=True)
class Suite:
    """Drills, and where their report goes."""

    drills: Sequence[Drill]
    folder: Path
    tell: Tell
    amount: Amount = field(default_factory=Amount)
    keep_stack: bool = False
    name: str | None = None
    where: Where = field(default_factory=Where)
    plan: Plan = field(default_factory=sample_plan)
    results: list[DrillResult] = field(default_factory=list)

    async def run(self) -> Report:
        """Bring the stack up, run every drill, write the report, and take the stack down.

        When something ends it early, the report says so of each drill that has no verdict:
        whoever reads only the report must not take the first drills for all.
        Raises StackError, with nothing run, when the stack cannot be brought up.
        """
        check_possible(self.drills, self.where)
        began, started, commit = monotonic(), datetime.now(UTC).isoformat(timespec="seconds"), commit_here()
        stack = await bring_up(
            self.tell,
            self.where,
            keep=self.keep_stack,
            name=self.name,
            plant=self.drills[0].plant,
            power_cut=needs_disks(self.drills),
        )
        owned = held(stack.folder) if self.keep_stack and not self.where.stays else nullcontext()
        try:
            with owned:
                await self._run_all(stack, commit)
        finally:
            left = (not_run(drill, commit) for drill in self.drills[len(self.results) :])
            report = Report(
                started=started,
                seconds=monotonic() - began,
                commit=commit,
                drills=(*self.results, *left),
            )
            write_report(self.folder, report)
            await (stack.close() if self.keep_stack or self.where.stays else stack.down())
        return report

    async def _run_all(self, stack: Stack, commit: str | None) -> None:
        for number, drill in enumerate(self.drills, start=1):
            result = await self.attempt(stack, number, drill, commit)
            result = told_of_place(result, drill, self.where)
            self.results.append(result)
            self._tell_of(number, result)

    async def attempt(self, stack: Stack, number: int, drill: Drill, commit: str | None) -> DrillResult:
        """A drill that breaks off is inconclusive, and takes no other one's verdict with it."""
        began = monotonic()
        try:
            if number > 1:
                await stack.fresh(services=services_of(drill.plant), extras=extras_of(drill.plant))
            return await self._one(stack, number, drill, commit)
        except (StackError, CutoverError) as error:
            self.tell(f"[{number}/{len(self.drills)}] broke off: {error}")
            history = self.folder / history_name(number, drill.name)
            return broken_off(drill, error, history, seconds=monotonic() - began, commit=commit)

    async def _one(self, stack: Stack, number: int, drill: Drill, commit: str | None) -> DrillResult:
        self.tell(f"[{number}/{len(self.drills)}] {drill.name}")
        history = self.folder / history_name(number, drill.name)
        live = LiveDrill(stack, self.plan, drill, history, amount=self.amount)
        return await live.run(commit=commit)

    def _tell_of(self, number: int, result: DrillResult) -> None:
        counted = result.measures.operations
        pause = result.measures.write_pause_ms
        self.tell(
            f"[{number}/{len(self.drills)}] {result.verdict.value} after {result.seconds:.1f} s: "
            f"{counted['ok']} acknowledged, {counted['failed']} failed, {counted['unknown']} unknown, "
            f"write pause {'-' if pause is None else f'{pause:.0f} ms'}"
        )
