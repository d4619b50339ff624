"""`cutover-drill sweep`: simulated drills with all faults on, a seed each."""

import json as json_text
import os
from concurrent.futures import Executor
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from drill.cli.options import JsonOption, tell
from drill.commit import commit_here
from drill.simulator.results import command, played, seeded, smallest
from drill.sweep import SHARD_SEEDS, Failure, Shard, Sweep, finished, processes, told_of

STORIES = 3
"""Failing seeds that are shrunk to a small schedule with its story."""
NAMED = 10
"""Failing seeds that are printed."""

SeedsOption = Annotated[str, typer.Option("--seeds", help="A:B, from A up to and without B.")]
JobsOption = Annotated[int, typer.Option("--jobs", help="Processes; 0 stands for one a core.")]
FolderOption = Annotated[
    Path | None,
    typer.Option("--report", help="Folder that keeps what is finished, for a later go, and the stories."),
]
DaskOption = Annotated[str | None, typer.Option("--dask", help="Address of a Dask scheduler to run on.")]


def sweep(
    *,
    seeds: SeedsOption,
    jobs: JobsOption = 0,
    report: FolderOption = None,
    dask: DaskOption = None,
    json: JsonOption = False,
) -> int:
    """Run a range of seeds. An interrupted sweep goes on from its report folder.

    Exits 10 when a drill was violated, 11 when one was inconclusive for more
    than that its fault hit nothing, or that a site is lost for good with a tail
    that was announced: such seeds are counted as stranded, and named.
    """
    first, end = _range(seeds)
    told = Sweep(first, end, report, commit_here())
    shards: list[Shard] = []
    if told.left:
        count = sum(end - first for first, end in told.left)
        tell(
            f"{count} drills in shards of {SHARD_SEEDS}; a line, and a place to go on from, after each shard"
        )
        with _executor(dask, jobs) as executor:
            for shard in finished(told, executor):
                shards.append(shard)
                tell(told_of(told, shards))
    files = _stories(told.failures[:STORIES], report)
    if json:
        typer.echo(json_text.dumps(_answer(told)))
    else:
        _print(told, files)
    return told.verdict.exit_code


def _range(seeds: str) -> tuple[int, int]:
    first, colon, end = seeds.partition(":")
    if not (colon and first.isdigit() and end.isdigit() and int(first) < int(end)):
        raise typer.BadParameter(f"--seeds takes A:B with A below B, as 0:1000, not {seeds!r}")
    return int(first), int(end)


def _executor(dask: str | None, jobs: int) -> Executor:
    if dask is None:
        return processes(jobs or os.cpu_count() or 1)
    try:
        client = import_module("distributed").Client
    except ModuleNotFoundError:
        raise typer.BadParameter("--dask needs the package `distributed`, which is not installed") from None
    executor: Executor = client(dask).get_executor()
    return executor


def _stories(failures: list[Failure], report: Path | None) -> dict[int, Path]:
    """Shrink the first failures, and keep each with its story."""
    files: dict[int, Path] = {}
    if report is not None:
        for failure in failures:
            tell(f"seed {failure.seed} is made smaller")
            small = smallest(played(seeded(failure.seed)))
            files[failure.seed] = small.write(report / "schedules", f"seed-{failure.seed}")
    return files


def _print(told: Sweep, files: dict[int, Path]) -> None:
    commit = told.commit
    typer.echo(f"seeds {told.first}:{told.end}: {told_of(told, told.shards)}")
    for seed in told.tails[:NAMED]:
        typer.echo(f"seed {seed} stranded: a site is lost for good, and the announced tail is not home")
    for failure in told.failures[:NAMED]:
        typer.echo(f"seed {failure.seed} {failure.verdict} by {', '.join(failure.checkers)}: {failure.what}")
        typer.echo(f"  repeat: {command(seeded(failure.seed), commit, files.get(failure.seed))}")
    typer.echo(told.verdict.value)


def _answer(told: Sweep) -> dict[str, object]:
    failures = [
        {"seed": one.seed, "verdict": one.verdict, "checkers": list(one.checkers), "what": one.what}
        for one in told.failures
    ]
    return {
        "schema": 1,
        "verdict": told.verdict.value,
        "seeds": [told.first, told.end],
        "commit": told.commit,
        "drills": told.counted,
        "failures": failures,
        "stranded": told.tails,
    }
