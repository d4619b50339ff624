"""`cutover-drill report`: prints a report that was written before."""

import json
from pathlib import Path
from typing import Annotated

import typer

from drill.verdict import Verdict


def report(folder: Annotated[Path, typer.Argument(help="A folder that a run of drills wrote.")]) -> int:
    """Print the verdicts of a report, and how to repeat what went wrong; exits as the run did."""
    file = folder / "report.json"
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there: name a folder that `--report` was given")
    told = json.loads(file.read_text())
    for drill in told["drills"]:
        typer.echo(f"{drill['verdict']:12} {drill['name']} ({drill['seconds']:.1f} s)")
        if drill["verdict"] != Verdict.HELD.value:
            typer.echo(f"{'':12} repeat: {drill['repeat']}")
        for note in drill.get("notes", ()):  # reports of before have none
            typer.echo(f"{'':12} not judged: {note}")
    typer.echo(f"{told['verdict']}: {len(told['drills'])} drills in {told['seconds']:.1f} s")
    return Verdict(told["verdict"]).exit_code
