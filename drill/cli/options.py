"""Options that several commands take."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from drill.live.stacks import NoSuchKind, Where
from drill.live.standing import NotStanding
from infra.embedded.errors import NoS3Server
from infra.s3_engines.resolve import check_name

SeedOption = Annotated[int, typer.Option("--seed", help="What clients do and when random faults strike.")]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report",
        help="Folder for report.json, junit.xml, index.html and histories; else a new one in reports/.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]
S3ServerOption = Annotated[
    str,
    typer.Option(
        "--s3-server",
        help="Which object store each place runs: own or versitygw; or the URL of one that stands already, "
        "with S3_ACCESS_KEY and S3_SECRET_KEY in the environment.",
    ),
]
StackOption = Annotated[
    str,
    typer.Option(
        "--stack",
        help="Where to drill: embedded or docker, brought up for it; or a stack that stands, lent for as "
        "long as it takes: embedded:NAME, docker:NAME, pulumi:NAME, or its outputs.json.",
        metavar="STACK",
    ),
]


def place_named(stack: str, s3_server: str) -> Where:
    """Where to drill; BadParameter says why not there."""
    try:
        check_name(s3_server)
        return Where(stack=stack, s3_server=s3_server)
    except (NoS3Server, NoSuchKind, NotStanding) as error:
        raise typer.BadParameter(str(error)) from None


def report_folder(given: Path | None) -> Path:
    """The folder that was named, or a new one under `reports/`."""
    return given or Path("reports") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")


def tell(line: str) -> None:
    """Progress, on standard error."""
    typer.echo(line, err=True)
