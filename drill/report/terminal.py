"""The table at the end of a run. `rich` takes 0.2 s to import, so only whoever prints pays for it."""

from collections import Counter
from typing import TYPE_CHECKING

from drill.measures import losses
from drill.report.contract import DrillResult, Report
from drill.verdict import Verdict

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

STYLES = {Verdict.HELD: "green", Verdict.VIOLATED: "bold red", Verdict.INCONCLUSIVE: "yellow"}


def print_report(report: Report, console: "Console | None" = None) -> None:
    """Print the drills, what went against them, and how to repeat those; default is standard output."""
    from rich.console import Console

    console = console or Console()
    console.print(_table(report))
    for drill in report.drills:
        if drill.verdict is not Verdict.HELD:
            for line in _against(drill):
                console.print(line, soft_wrap=True)
    for line in _noted(report):
        console.print(line, soft_wrap=True)
    counted = Counter(drill.verdict for drill in report.drills)
    told = ", ".join(f"{counted[verdict]} {verdict.value}" for verdict in Verdict)
    console.print(_styled(f"{report.verdict.value}: {told}, in {report.seconds:.1f} s", report.verdict))


def _table(report: Report) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("verdict", no_wrap=True)
    table.add_column("drill", overflow="fold")
    for heading in ("ok/failed/unknown", "write pause", "took"):
        table.add_column(heading, justify="right", no_wrap=True)
    for drill in report.drills:
        table.add_row(_styled(drill.verdict.value, drill.verdict), *_cells(drill))
    return table


def _cells(drill: DrillResult) -> "list[str | Text]":
    from rich.text import Text

    measures = drill.measures
    pause = "-" if measures.write_pause_ms is None else f"{measures.write_pause_ms:.0f} ms"
    counted = "/".join(str(measures.operations.get(outcome, 0)) for outcome in ("ok", "failed", "unknown"))
    return [Text(_printable(drill.name)), counted, pause, f"{drill.seconds:.1f} s"]


def _against(drill: DrillResult) -> "list[Text]":
    from rich.text import Text

    lines = [Text(""), _styled(_printable(f"{drill.verdict.value}: {drill.name}"), drill.verdict)]
    for finding in drill.findings:
        if finding.verdict is Verdict.HELD:
            continue
        lines += [Text(_printable(f"  {finding.checker}: {w.what}")) for w in finding.witnesses[:3]]
        if len(finding.witnesses) > 3:
            lines.append(Text(f"  {finding.checker}: and {len(finding.witnesses) - 3} more"))
    if losses(drill.measures) != "nothing":
        lines.append(Text(f"  lost or hidden: {losses(drill.measures)}"))
    return [*lines, Text(f"  repeat: {_printable(drill.repeat)}")]


def _noted(report: Report) -> "list[Text]":
    """What was not judged, once for all drills of which it is true."""
    from rich.text import Text

    counted = Counter(note for drill in report.drills for note in drill.notes)
    return [
        Text(_printable(f"not judged in {times} drill{'s' if times > 1 else ''}: {note}"))
        for note, times in counted.items()
    ]


def _styled(text: str, verdict: Verdict) -> "Text":
    from rich.text import Text

    return Text(text, style=STYLES[verdict])


def _printable(text: str) -> str:
    """Return `text` without what a terminal would obey or could not encode: names come from users."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
