"""`cutover-drill planted`: puts each known-bad variant in, and says which checker caught it."""

import asyncio
import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from drill.cli.options import JsonOption, SeedOption, tell
from drill.drills import Drill
from drill.planted import PLANTS
from drill.report import DrillResult
from drill.verdict import Verdict

SEEDS = 3
"""Drills that a variant may take until its checker has caught it."""


def planted(
    *,
    seed: SeedOption = 1,
    report: Annotated[Path, typer.Option("--report", help="Folder for the reports.")] = Path(
        "reports/planted"
    ),
    json: JsonOption = False,
) -> int:
    """Run every variant until the checker meant for it has caught it; exit 10 when one survives."""
    found = [asyncio.run(_caught(name, seed, report / name)) for name in PLANTS]
    if json:
        typer.echo(json_text.dumps({"planted": found}))
    else:
        for one in found:
            typer.echo(f"{'caught  ' if one['caught'] else 'SURVIVED'} {one['name']} by {one['checker']}")
    return 0 if all(one["caught"] for one in found) else Verdict.VIOLATED.exit_code


async def _caught(name: str, seed: int, folder: Path) -> dict[str, object]:
    from drill.live.suite import Suite

    plant = PLANTS[name]
    drills = [Drill(seed=seed + n, plant=name) for n in range(SEEDS)]
    tried = 0
    caught = False
    for drill in drills:
        tried += 1
        suite = Suite(drills=[drill], folder=folder / str(drill.seed), tell=tell)
        result = (await suite.run()).drills[0]
        if _violated(result, plant.checker):
            caught = True
            break
    return {
        "name": name,
        "rule": plant.rule,
        "checker": plant.checker,
        "caught": caught,
        "seeds": tried,
    }


def _violated(result: DrillResult, checker: str) -> bool:
    return any(one.checker == checker and one.verdict is Verdict.VIOLATED for one in result.findings)
