"""Options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

PlanArgument = Annotated[Path, typer.Argument(metavar="PLAN", help="The plan file.", show_default=False)]

PlanOption = Annotated[
    Path | None,
    typer.Option(
        "--plan",
        metavar="PLAN",
        envvar="CUTOVER_PLAN",
        help="The plan file; without it, the only migration that is known here.",
        show_default=False,
    ),
]

StackOption = Annotated[
    str | None,
    typer.Option(
        "--stack",
        metavar="STACK",
        envvar="CUTOVER_STACK",
        help="embedded[:NAME], docker[:NAME], pulumi:NAME, or the path of an outputs.json; else what the "
        "plan says.",
        show_default=False,
    ),
]

YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask first; needed where nobody can be asked.")]

DetachOption = Annotated[
    bool, typer.Option("--detach", help="Only write it into the journal; a running coordinator acts on it.")
]

WatchOption = Annotated[
    bool, typer.Option("--watch", help="Go on, and print a line whenever something has changed.")
]

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output.")]

SiteOption = Annotated[
    str,
    typer.Option("--site", metavar="SITE", help="The site that this process belongs to.", show_default=False),
]

OutputsOption = Annotated[
    Path,
    typer.Option(
        "--outputs",
        metavar="FILE",
        help="The outputs.json of the place that this process runs at.",
        show_default=False,
    ),
]
