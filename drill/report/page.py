"""`index.html`: one page that needs nothing but itself, for a person who asks what happened."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isfinite
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from drill.history import History
from drill.measures import losses
from drill.report import chart
from drill.report.contract import DrillResult, Report, history_name, shown
from drill.report.heat import HeatMap
from drill.verdict import Verdict, Witness

OPEN_DRILLS_MAX = 3
"""With more drills than this, only those that did not hold are unfolded."""

FIRST_WITNESSES = 5
"""Witnesses of a checker that stand there at once; the others unfold."""

GLYPHS = {Verdict.HELD: "✓", Verdict.VIOLATED: "✗", Verdict.INCONCLUSIVE: "?"}


@dataclass(frozen=True, slots=True)
class CheckerRow:
    """What one checker found."""

    name: str
    verdict: str
    glyph: str
    first: Sequence[Witness]
    others: Sequence[Witness]


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure with its name, ready to print."""

    name: str
    value: str
    bad: bool = False


@dataclass(frozen=True, slots=True)
class DrillView:
    """One drill as the page shows it."""

    anchor: str
    drill: DrillResult
    verdict: str
    glyph: str
    faults: str
    operations: Mapping[str, int]
    pause: str
    lost: str
    recovery: str
    checkers: Sequence[CheckerRow]
    figures: Sequence[Figure]
    chart: chart.Chart | None
    history: str | None
    unfolded: bool


def page(report: Report, histories: Sequence[History | None], heat: Sequence[HeatMap] = ()) -> str:
    """Return the page; `histories` has one entry for each drill, None where there is no history."""
    views = [
        _view(number, drill, history, unfolded=_unfolded(drill, report))
        for number, (drill, history) in enumerate(zip(report.drills, histories, strict=True), start=1)
    ]
    counted = Counter(drill.verdict for drill in report.drills)
    return _template().render(
        report=report,
        verdict=report.verdict.value,
        glyph=GLYPHS[report.verdict],
        headline=_headline(report, counted),
        figures=_overall(report, counted),
        views=views,
        took=_seconds(report.seconds),
        heat=heat,
        geometry=chart,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")


def _unfolded(drill: DrillResult, report: Report) -> bool:
    return drill.verdict is not Verdict.HELD or len(report.drills) <= OPEN_DRILLS_MAX


def _headline(report: Report, counted: Mapping[Verdict, int]) -> str:
    if not report.drills:
        return "No drill was run, so nothing is known."
    match report.verdict:
        case Verdict.HELD:
            return "Every promise held in every drill."
        case Verdict.VIOLATED:
            return f"A promise was broken in {counted[Verdict.VIOLATED]} of {len(report.drills)} drills."
        case Verdict.INCONCLUSIVE:
            return (
                f"{counted[Verdict.INCONCLUSIVE]} of {len(report.drills)} drills showed nothing either way."
            )


def _overall(report: Report, counted: Mapping[Verdict, int]) -> list[Figure]:
    drills = report.drills
    pauses = [d.measures.write_pause_ms for d in drills if d.measures.write_pause_ms is not None]
    lost = Counter[str]()
    for drill in drills:
        lost.update(drill.measures.rpo)
    items = lost["posts"] + lost["comments"]
    operations = sum(sum(d.measures.operations.values()) for d in drills)
    return [
        Figure("drills", str(len(drills))),
        Figure("held", str(counted.get(Verdict.HELD, 0))),
        Figure("violated", str(counted.get(Verdict.VIOLATED, 0)), bad=counted.get(Verdict.VIOLATED, 0) > 0),
        Figure(
            "inconclusive",
            str(counted.get(Verdict.INCONCLUSIVE, 0)),
            bad=counted.get(Verdict.INCONCLUSIVE, 0) > 0,
        ),
        Figure("operations", f"{operations:,}"),
        Figure("posts and comments lost", f"{items:,}", bad=items > 0),
        Figure("cents lost", f"{lost['cents']:,}", bad=lost["cents"] > 0),
        Figure("longest write pause", _milliseconds(max(pauses, default=None))),
    ]


def _view(number: int, drill: DrillResult, history: History | None, *, unfolded: bool) -> DrillView:
    return DrillView(
        anchor=f"drill-{number}",
        drill=drill,
        verdict=drill.verdict.value,
        glyph=GLYPHS[drill.verdict],
        faults="; ".join(f"{p.fault} {p.victim} at {p.point}" for p in drill.schedule) or "no fault",
        operations=drill.measures.operations,
        pause=_milliseconds(drill.measures.write_pause_ms),
        lost=losses(drill.measures),
        recovery=_longest(drill.measures.rto_s),
        checkers=[_checker(drill, index) for index in range(len(drill.findings))],
        figures=_figures(drill),
        chart=chart.chart_of(history) if history is not None else None,
        history=history_name(number, drill.name) if drill.history is not None else None,
        unfolded=unfolded,
    )


def _checker(drill: DrillResult, index: int) -> CheckerRow:
    finding = drill.findings[index]
    witnesses = shown(finding.witnesses)
    return CheckerRow(
        name=finding.checker,
        verdict=finding.verdict.value,
        glyph=GLYPHS[finding.verdict],
        first=witnesses[:FIRST_WITNESSES],
        others=witnesses[FIRST_WITNESSES:],
    )


def _figures(drill: DrillResult) -> list[Figure]:
    measures = drill.measures
    figures = [Figure("write pause", _milliseconds(measures.write_pause_ms))]
    figures += [Figure(f"{name} again after", _seconds(value)) for name, value in measures.rto_s.items()]
    figures += [
        Figure(f"{kind} lost", f"{count:,}", bad=count > 0)
        for kind, count in measures.rpo.items()
        if kind != "hidden"
    ]
    hidden = measures.rpo.get("hidden", 0)
    figures.append(Figure("rows hidden", f"{hidden:,}", bad=hidden > 0))
    if measures.lag_s is not None:
        figures.append(Figure("lag", _seconds(measures.lag_s)))
    if measures.amplification is not None:
        figures.append(Figure("attempts an operation", f"{measures.amplification:.2f}"))
    return [Figure(figure.name.replace("_", " "), figure.value, bad=figure.bad) for figure in figures]


def _longest(rto: Mapping[str, float | None]) -> str:
    known = [value for value in rto.values() if value is not None]
    return _seconds(max(known)) if known else "–"


def _milliseconds(value: float | None) -> str:
    if value is None or not isfinite(value):
        return "–"
    return f"{value:,.0f} ms" if value >= 10 else f"{value:.1f} ms"


def _seconds(value: float | None) -> str:
    if value is None or not isfinite(value):
        return "–"
    if value >= 100:
        return f"{int(value // 60)} min {value % 60:.0f} s"
    return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
