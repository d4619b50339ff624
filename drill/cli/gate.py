"""`cutover-drill gate`: a suite of drills, or the main job on the user's own files."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from drill.cli.finish import finish
from drill.cli.options import (
    JsonOption,
    ReportOption,
    S3ServerOption,
    SeedOption,
    StackOption,
    place_named,
    report_folder,
    tell,
)
from drill.drills import SUITES, Drill, random_kills
from infra.s3_engines.resolve import OWN

KEPT = "main"
"""Name of a stack that stays: the one that `cutover stack status` shows when none is named."""

DrillsOption = Annotated[
    str,
    typer.Option(
        "--drills",
        help="smoke or full; brief, stages or power-cut (root only); random:N for N kills at random moments.",
    ),
]
ContentOption = Annotated[
    Path | None,
    typer.Option("--content", help="Move the files in this folder: once calmly, once with a site killed."),
]
KeepOption = Annotated[
    bool, typer.Option("--keep-stack", help="Leave the stack up afterwards (`cutover stack status --json`).")
]


def gate(
    *,
    drills: DrillsOption = "smoke",
    seed: SeedOption = 1,
    content: ContentOption = None,
    report: ReportOption = None,
    keep_stack: KeepOption = False,
    stack: StackOption = "embedded",
    s3_server: S3ServerOption = OWN,
    json: JsonOption = False,
) -> int:
    """Run the drills of a suite, each from a fresh start, and judge them.

    Brings up both sites and the witness, runs the platform under load, migrates
    through every stage and kills a site on the way, again and again.
    """
    from drill.live.suite import Suite

    where, folder = place_named(stack, s3_server), report_folder(report)
    if keep_stack and where.stays:
        raise typer.BadParameter(
            f"--keep-stack: {stack} stays anyway, and what the drills made on it goes when it is given back"
        )
    if content is not None:
        from drill.content import ContentSuite

        job = ContentSuite.of(content, seed=seed, folder=folder, tell=tell, keep_stack=keep_stack)
        job.where = where
        return finish(asyncio.run(job.run()), folder, as_json=json)
    name = KEPT if keep_stack else None
    suite = Suite(
        drills=chosen(drills, seed),
        folder=folder,
        tell=tell,
        keep_stack=keep_stack,
        name=name,
        where=where,
    )
    return finish(asyncio.run(suite.run()), folder, as_json=json)


def chosen(name: str, seed: int) -> list[Drill]:
    """The drills of a suite; BadParameter when there is none of that name."""
    kind, _, count = name.partition(":")
    if kind == "random" and count.isdigit() and int(count) > 0:
        return random_kills(seed, int(count))
    if name not in SUITES:
        raise typer.BadParameter(f"no suite is called {name!r}; there are {', '.join(SUITES)} and random:N")
    return SUITES[name](seed)
