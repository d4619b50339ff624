"""How the commands run one simulated drill, and what they say when it did not hold."""

from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

from drill.cli.finish import finish
from drill.cli.options import tell
from drill.commit import commit_here
from drill.report import Report, write_report
from drill.schedule import Schedule
from drill.simulator.results import command, result_of, seeded, smallest
from drill.verdict import Verdict


def run_simulated(told: Schedule | None, seed: int, folder: Path, file: Path | None, *, as_json: bool) -> int:
    """Run it and write the report; a failing one is made smaller, and told as a story.

    Without a schedule the seed chooses.
    """
    schedule = told or seeded(seed)
    began, started, commit = perf_counter(), datetime.now(UTC).isoformat(timespec="seconds"), commit_here()
    kept = file if file is not None or told is None else _keep(schedule, folder)
    repeat = command(schedule, commit, kept)
    rehearsal, result = result_of(schedule, folder, commit=commit, repeat=repeat)
    tell(f"{schedule.name}: {result.verdict.value}, {rehearsal.seconds:.1f} virtual seconds")
    if result.verdict is not Verdict.HELD and not rehearsal.blunt:
        small = smallest(rehearsal)
        kept = small.write(folder, "smallest")
        for line in small.story:
            tell(line)
        tell(f"smallest schedule: {kept}")
    report = Report(started=started, seconds=perf_counter() - began, commit=commit, drills=(result,))
    write_report(folder, report)
    return finish(report, folder, as_json=as_json)


def _keep(schedule: Schedule, folder: Path) -> Path:
    """What was said on the command line, as a file that repeats it."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "schedule.json"
    file.write_text(schedule.text(), encoding="utf-8")
    return file
