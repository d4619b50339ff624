"""`cutover-drill planted`: puts each known-bad variant in, and says which checker caught it."""

import json as json_text
from pathlib import Path
from typing import Annotated

import typer

from drill.cli.options import JsonOption, SeedOption
from drill.planted import ON_DISKS, PLANTS
from drill.planted.table import page
from drill.simulator.trial import Trial, trial
from drill.verdict import Verdict

TableOption = Annotated[
    Path | None,
    typer.Option("--table", help="Write the list of them as a page, such as docs/reference/planted.md."),
]


def planted(*, seed: SeedOption = 0, json: JsonOption = False, table: TableOption = None) -> int:
    """Put every variant into simulated migrations until the checker meant for it has caught it.

    Exits 10 when one survives. Live: `cutover-drill run --plant NAME`.
    """
    trials = [_told(trial(plant, seed), json=json) for plant in PLANTS.values()]
    if table is not None:
        took = {one.plant.name: one.seeds for one in trials}
        table.write_text(page(PLANTS.values(), took, ON_DISKS.values()))
    if json:
        typer.echo(json_text.dumps({"schema": 1, "planted": [_entry(one) for one in trials]}))
    return 0 if all(one.caught for one in trials) else Verdict.VIOLATED.exit_code


def _told(one: Trial, *, json: bool) -> Trial:
    plant = one.plant
    fate = f"caught by {plant.checker}" if one.caught else f"SURVIVED {plant.checker}"
    took = f"{one.seeds} of at most {plant.seeds} migration(s)"
    typer.echo(f"{plant.name} ({plant.rule}): {fate}, {took}. {plant.about}", err=json)
    return one


def _entry(one: Trial) -> dict[str, object]:
    return {
        "name": one.plant.name,
        "rule": one.plant.rule,
        "checker": one.plant.checker,
        "caught": one.caught,
        "seeds": one.seeds,
    }
