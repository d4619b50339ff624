"""Options that several commands take."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

SeedOption = Annotated[int, typer.Option("--seed", help="What clients do and when random faults strike.")]
ReportOption = Annotated[
    Path | None,
    typer.Option("--report", help="Folder for report.json, junit.xml, index.html and histories."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]


def report_folder(given: Path | None) -> Path:
    """The folder that was named, or a new one under `reports/`."""
    return given or Path("reports") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")


def tell(line: str) -> None:
    """Progress, on standard error."""
    typer.echo(line, err=True)
