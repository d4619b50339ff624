"""Options that several commands take."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from infra.embedded.errors import NoS3Server
from infra.s3_engines.resolve import check_name

SeedOption = Annotated[int, typer.Option("--seed", help="What clients do and when random faults strike.")]
ReportOption = Annotated[
    Path | None,
    typer.Option("--report", help="Folder for report.json, junit.xml, index.html and histories."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
S3ServerOption = Annotated[
    str, typer.Option("--s3-server", help="Which object store each place runs: own or versitygw.")
]


def s3_server_named(name: str) -> str:
    """The name, when a stack can run it; BadParameter says why not."""
    try:
        check_name(name)
    except NoS3Server as error:
        raise typer.BadParameter(str(error)) from None
    return name


def report_folder(given: Path | None) -> Path:
    """The folder that was named, or a new one under `reports/`."""
    return given or Path("reports") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")


def tell(line: str) -> None:
    """Progress, on standard error."""
    typer.echo(line, err=True)
