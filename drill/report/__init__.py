"""What a run of drills leaves behind: a table, and a folder that others can read.

report.json     the contract (docs/reference/report.md)
junit.xml       for a CI that knows only tests
index.html      for a person; needs no network
history/*.jsonl each drill's history
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from drill.history import History, history_of, read_history
from drill.report.contract import DrillResult, Report, history_name
from drill.report.heat import HeatMap
from drill.report.junit import junit
from drill.report.terminal import print_report

__all__ = ["DrillResult", "Report", "history_name", "print_report", "write_report"]


def write_report(folder: Path, report: Report, heat: Sequence[HeatMap] = ()) -> None:
    """Write the report into `folder`, which is made if need be; what has our names there is replaced.

    A drill's history is copied from where the drill wrote it, unless it stands
    in its place already (`history_name`). Raises HistoryBroken or OSError.
    """
    from drill.report.page import page  # the template engine costs every other command its start-up time

    (folder / "history").mkdir(parents=True, exist_ok=True)
    histories = [_kept(folder, number, drill) for number, drill in enumerate(report.drills, start=1)]
    text = json.dumps(report.to_json(), indent=2, allow_nan=False) + "\n"
    (folder / "report.json").write_text(text, encoding="ascii")
    (folder / "junit.xml").write_bytes(junit(report))
    html = page(report, histories, heat)
    (folder / "index.html").write_text(html, encoding="utf-8", errors="backslashreplace")


def _kept(folder: Path, number: int, drill: DrillResult) -> History | None:
    if drill.history is None:
        return None
    place = folder / history_name(number, drill.name)
    if not place.exists() or not place.samefile(drill.history):
        shutil.copyfile(drill.history, place)
    return history_of(read_history(place))
