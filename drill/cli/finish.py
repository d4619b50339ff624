"""How every command that ran drills ends."""

import json
from pathlib import Path

import typer

from drill.report import Report, print_report


def finish(report: Report, folder: Path, *, as_json: bool) -> int:
    """Print the table (or the JSON), say where the report is, and return the exit status."""
    if as_json:
        typer.echo(json.dumps(report.to_json()))
    else:
        print_report(report)
        typer.echo(f"report: {folder / 'index.html'}")
    return report.verdict.exit_code
