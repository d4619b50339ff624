"""A simulated drill as a report shows it, and a failing one as small as it can be made."""

import gc
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from drill.history import history_of
from drill.measures import measure
from drill.planted import PLANTS
from drill.report.contract import DrillResult, history_name
from drill.schedule import Schedule
from drill.shrink import shrink
from drill.simulator.chance import random_schedule
from drill.simulator.rehearsal import Rehearsal, events_of, play
from drill.story import story
from drill.verdict import Verdict


def settle_memory() -> None:
    """Before many drills: what is loaded by now is not looked at when what a drill leaves is collected."""
    gc.collect()
    gc.freeze()


def played(schedule: Schedule) -> Rehearsal:
    """Run a schedule, with its plant if it names one."""
    return play(schedule, plant=PLANTS[schedule.plant] if schedule.plant else None)


def command(schedule: Schedule, commit: str | None, file: Path | None = None) -> str:
    """The command that repeats it."""
    words = ["cutover-drill run --fidelity simulated"]
    words.append(f"--schedule {file}" if file else f"--seed {schedule.seed}")
    if schedule.plant and not file:
        words.append(f"--plant {schedule.plant}")
    return " ".join(words) + (f"   # at commit {commit}" if commit else "")


@dataclass(frozen=True, slots=True)
class Small:
    """A failing drill after shrinking."""

    schedule: Schedule
    rehearsal: Rehearsal

    @property
    def story(self) -> list[str]:
        """What happened."""
        return story(self.rehearsal)

    def write(self, folder: Path, name: str) -> Path:
        """Keep the schedule and the story in `folder`; return the schedule's file."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"{name}.json"
        file.write_text(self.schedule.text(), encoding="utf-8")
        (folder / f"{name}.txt").write_text("\n".join(self.story) + "\n", encoding="utf-8")
        return file


def smallest(failed: Rehearsal) -> Small:
    """Shrink a drill that was violated (or inconclusive) for as long as the same checkers say so."""
    wanted = failed.verdict
    blamed = _blamed(failed, wanted)

    def fails(schedule: Schedule) -> bool:
        again = played(schedule)
        return again.verdict is wanted and bool(_blamed(again, wanted) & blamed)

    schedule = shrink(failed.schedule, fails)
    return Small(schedule, played(schedule))


def _blamed(failed: Rehearsal, verdict: Verdict) -> set[str]:
    """Who says so; whether a fault bites is no matter while there is anything else."""
    names = {found.checker for found in failed.findings if found.verdict is verdict}
    return names - {"bite"} or names


def result_of(
    schedule: Schedule, folder: Path, number: int = 1, *, commit: str | None, repeat: str
) -> tuple[Rehearsal, DrillResult]:
    """Run it; its history goes to the report's folder."""
    began = perf_counter()
    told = played(schedule)
    file = folder / history_name(number, schedule.name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(told.history)
    history = history_of(events_of(told.history))
    result = DrillResult(
        name=schedule.name,
        seed=schedule.seed,
        fidelity="simulated",
        schedule=told.evidence.scheduled,
        plant=schedule.plant,
        seconds=perf_counter() - began,
        repeat=repeat,
        findings=told.findings,
        measures=measure(history, told.findings),
        history=file,
    )
    return told, result


def seeded(seed: int, plant: str | None = None) -> Schedule:
    """What `--seed N` means when nothing else is said."""
    return random_schedule(seed, plant=plant)
