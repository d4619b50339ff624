"""`cutover-drill matrix`: every crash point, victim and fault, simulated; and each point's way back."""

import json as json_text
import os
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Annotated

import typer

from drill.cli.options import JsonOption, ReportOption, SeedOption, report_folder, tell
from drill.commit import commit_here
from drill.matrix import Beside, Cell, Return, cells, run_all, run_return, ways_back
from drill.points import Point
from drill.report import DrillResult, Report, write_report
from drill.report.heat import HeatCell, HeatMap
from drill.simulator.chance import OUTSIDE
from drill.simulator.faults import SIMULATED_FAULTS
from drill.simulator.results import command, result_of
from drill.sweep import processes
from drill.verdict import Verdict

REPORTED = 12
"""Cells that did not hold and are in the report whole, with their histories."""
JobsOption = Annotated[int, typer.Option("--jobs", help="Processes; 0 stands for one a core.")]
OnlyOption = Annotated[
    str | None, typer.Option("--only", help="Only points that begin so, as cut-over or back/drain.")
]
BesideOption = Annotated[
    str | None,
    typer.Option(
        "--beside",
        metavar="<fault:victim>",
        help="What goes wrong at each point as well, as partition:sites, slow:sites or "
        "kill:coordinator; then no ways back are tried.",
    ),
]
WEIGHT = {"": 0, "blunt": 1, "held": 2, "inconclusive": 3, "violated": 4}


def matrix(
    *,
    seed: SeedOption = 1,
    jobs: JobsOption = 0,
    only: OnlyOption = None,
    beside: BesideOption = None,
    report: ReportOption = None,
    json: JsonOption = False,
) -> int:
    """Run the crash matrix and the point-of-no-return map; the report has the heat map."""
    began, started, commit = perf_counter(), datetime.now(UTC).isoformat(timespec="seconds"), commit_here()
    folder = report_folder(report)
    also = _parsed(beside)
    todo = [cell for cell in cells(also) if only is None or cell.point.startswith(only)]
    forward = ways_back() if also is None else []
    points = [point for point in forward if only is None or point.startswith(only)]
    if not todo:
        raise typer.BadParameter(f"no crash point begins with {only!r}; `cutover-drill run --list` has them")
    done: list[Cell] = []
    with processes(jobs or os.cpu_count() or 1) as executor:
        back = [executor.submit(run_return, point, seed) for point in points]
        for batch in run_all(todo, seed, executor):
            done += batch
            tell(f"{len(done)}/{len(todo)} drills: {_told(done)}")
        returns = [future.result() for future in back]
    order = {(cell.where, cell.fault, cell.victim): n for n, cell in enumerate(todo)}
    done.sort(key=lambda cell: order[cell.where, cell.fault, cell.victim])
    drills = _reported(done, seed, folder, commit)
    maps = [heat_of(done), *([returns_of(returns)] if returns else [])]
    made = Report(started=started, seconds=perf_counter() - began, commit=commit, drills=tuple(drills))
    write_report(folder, made, maps)
    verdict = _verdict(done, returns)
    if json:
        typer.echo(json_text.dumps(_answer(done, returns, verdict)))
    else:
        _print(done, returns, folder, verdict)
    return verdict.exit_code


def _parsed(beside: str | None) -> Beside | None:
    try:
        return None if beside is None else Beside.parse(beside)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _told(done: Sequence[Cell]) -> str:
    counted = Counter(cell.verdict for cell in done)
    return ", ".join(f"{counted[name]} {name}" for name in ("held", "blunt", "inconclusive", "violated"))


def _verdict(done: Sequence[Cell], returns: Sequence[Return]) -> Verdict:
    """No promise covers a state that was restored to an older one: those cells are shown, and not counted."""
    inside = {cell.verdict for cell in done if (cell.fault, cell.victim) not in OUTSIDE}
    verdicts = inside | {one.verdict for one in returns}
    if "violated" in verdicts or any(one.serves != "source" for one in returns):
        return Verdict.VIOLATED
    if "inconclusive" in verdicts or "held" not in verdicts:  # of blunt cells alone nobody can say anything
        return Verdict.INCONCLUSIVE
    return Verdict.HELD


def _reported(done: Sequence[Cell], seed: int, folder: Path, commit: str | None) -> list[DrillResult]:
    """The worst cells whole; the first one when all held, so that a report shows what a cell is."""
    bad = [cell for cell in done if cell.verdict in ("violated", "inconclusive")]
    worst = sorted(bad, key=lambda cell: -WEIGHT[cell.verdict])[:REPORTED] or list(done[:1])
    results = []
    for number, cell in enumerate(worst, start=1):
        schedule = cell.schedule(seed)
        file = folder / "schedules" / f"cell-{number}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(schedule.text(), encoding="utf-8")
        repeat = command(schedule, commit, file)
        results.append(result_of(schedule, folder, number, commit=commit, repeat=repeat)[1])
    return results


def heat_of(done: Sequence[Cell]) -> HeatMap:
    """A row for each action, a column for each fault; a cell sums up all victims before, during and after."""
    found: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    beside = done[0].beside if done else None
    also = f", while {beside.fault} of {beside.victim} strikes as well" if beside else ""
    rows: dict[str, None] = {}
    for cell in done:
        row = cell.point.rpartition(":")[0] or cell.point
        rows[row] = None
        found[row, cell.fault].append(cell)
    return HeatMap(
        title="Crash matrix",
        about=(
            f"{len(done)} simulated drills: each action, struck before, during and after, by each fault of "
            f"each victim on whom something goes on there{also}. A cell counts what held; point at it for "
            f"the rest."
        ),
        columns=list(SIMULATED_FAULTS),
        rows=[(row, [_cell(found[row, fault]) for fault in SIMULATED_FAULTS]) for row in rows],
    )


def _cell(drills: Sequence[Cell]) -> HeatCell:
    if not drills:
        return HeatCell(verdict="", text="")
    worst = max((one.verdict for one in drills), key=WEIGHT.__getitem__)
    held = sum(one.verdict == "held" for one in drills)
    other = [
        f"{one.victim} {_when(one)}: {one.verdict} {one.what}" for one in drills if one.verdict != "held"
    ]
    shown = worst if worst in ("held", "violated") else "inconclusive"
    return HeatCell(verdict=shown, text=f"{held}/{len(drills)}", told="\n".join(other[:8]))


def _when(cell: Cell) -> str:
    return Point.parse(cell.point).when if "/" in cell.point else ""


def returns_of(returns: Sequence[Return]) -> HeatMap:
    """Where there is a way back: at every point, and what it takes."""
    rows = [
        (
            one.point,
            [
                HeatCell(verdict="held" if one.serves == "source" else "violated", text=one.serves),
                HeatCell(verdict=one.verdict, text=one.verdict, told=one.what),
                HeatCell(verdict="", text=f"{one.seconds:.2f}"),
            ],
        )
        for one in returns
    ]
    return HeatMap(
        title="Ways back",
        about="An operator rolls back as the migration comes by each point: who serves then, and with what.",
        columns=["serves", "with everything", "virtual seconds"],
        rows=rows,
    )


def _print(done: Sequence[Cell], returns: Sequence[Return], folder: Path, verdict: Verdict) -> None:
    for cell in done:
        if cell.verdict in ("violated", "inconclusive"):
            outside = "outside the promise, " if (cell.fault, cell.victim) in OUTSIDE else ""
            typer.echo(f"{outside}{cell.verdict} {cell.fault} {cell.victim} at {cell.where}: {cell.what}")
    for one in returns:
        if one.verdict != "held" or one.serves != "source":
            typer.echo(f"{one.verdict} roll back at {one.point}: {one.serves} serves. {one.what}")
    typer.echo(f"{len(done)} drills: {_told(done)}; {len(returns)} ways back")
    typer.echo(f"report: {folder / 'index.html'}")
    typer.echo(verdict.value)


def _answer(done: Sequence[Cell], returns: Sequence[Return], verdict: Verdict) -> dict[str, object]:
    counted = Counter(cell.verdict for cell in done)
    bad = [cell for cell in done if cell.verdict in ("violated", "inconclusive")]
    return {
        "schema": 1,
        "verdict": verdict.value,
        "drills": {name: counted[name] for name in ("held", "blunt", "inconclusive", "violated")},
        "against": [
            {"fault": c.fault, "victim": c.victim, "point": c.where, "verdict": c.verdict, "what": c.what}
            for c in bad
        ],
        "ways_back": [
            {"point": one.point, "serves": one.serves, "verdict": one.verdict, "seconds": one.seconds}
            for one in returns
        ],
    }
