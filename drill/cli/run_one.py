"""`cutover-drill run`: one drill, by its fault, victim and point."""

import asyncio
from dataclasses import replace
from typing import Annotated

import typer

from drill.cli.finish import finish
from drill.cli.options import JsonOption, ReportOption, SeedOption, report_folder, tell
from drill.drills import ENDINGS, Drill
from drill.nemesis import FAULTS
from drill.planted import PLANTS
from drill.points import RANDOM, Point, all_points
from drill.sample_plan import sample_plan

FaultOption = Annotated[str | None, typer.Option("--fault", help="What goes wrong (`--list`).")]
VictimOption = Annotated[str | None, typer.Option("--victim", help="Whom it happens to.")]
AtOption = Annotated[
    str | None, typer.Option("--at", help="[back/]STAGE[/ACTION[@SITE][:before|during|after]], or random.")
]
PlantOption = Annotated[str | None, typer.Option("--plant", help="Put one known-bad variant in.")]
EndingOption = Annotated[
    str | None,
    typer.Option(
        "--ending",
        help="soak (unless the point needs another), roll-back, complete, or roll-back-from:STAGE.",
    ),
]
FidelityOption = Annotated[str, typer.Option("--fidelity", help="live (simulated comes with the simulator).")]
ListOption = Annotated[
    bool, typer.Option("--list", help="Print every fault, victim, point, ending and plant.")
]


def run(
    *,
    seed: SeedOption = 1,
    fidelity: FidelityOption = "live",
    fault: FaultOption = None,
    victim: VictimOption = None,
    at: AtOption = None,
    plant: PlantOption = None,
    ending: EndingOption = None,
    report: ReportOption = None,
    list_all: ListOption = False,
    json: JsonOption = False,
) -> int:
    """Run one drill to its verdict. Without a fault the migration is calm."""
    if list_all:
        return _list()
    if fidelity != "live":
        raise typer.BadParameter(f"fidelity {fidelity!r} is not there yet; this version runs `live`")
    from drill.live.suite import Suite

    named = Drill(seed=seed, fault=fault, victim=victim, point=at, plant=plant)
    drill = _ended(_checked(named), ending)
    folder = report_folder(report)
    return finish(asyncio.run(Suite(drills=[drill], folder=folder, tell=tell).run()), folder, as_json=json)


def _checked(drill: Drill) -> Drill:
    if drill.plant is not None and drill.plant not in PLANTS:
        raise typer.BadParameter(f"no plant is called {drill.plant!r}; there are {', '.join(PLANTS)}")
    if drill.fault is None:
        return drill
    if drill.fault not in FAULTS:
        raise typer.BadParameter(f"no fault is called {drill.fault!r}; there are {', '.join(FAULTS)}")
    victims = FAULTS[drill.fault].victims
    if drill.victim not in victims:
        raise typer.BadParameter(f"{drill.fault} strikes {', '.join(victims)}, not {drill.victim!r}")
    if drill.point is None:
        raise typer.BadParameter("a fault needs a point: name one with --at, or say `--at random`")
    if drill.point != RANDOM:
        try:
            Point.parse(drill.point)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    return drill


def _ended(drill: Drill, ending: str | None) -> Drill:
    """With the ending that was asked for, or else the one without which its point is never reached."""
    if ending is not None and ending not in ENDINGS:
        raise typer.BadParameter(f"no ending is called {ending!r}; there are {', '.join(ENDINGS)}")
    needed = None
    if drill.fault and drill.point and drill.point != RANDOM:
        needed = Point.parse(drill.point).ending
    if needed and ending and ending.partition(":")[0] != needed.partition(":")[0]:
        raise typer.BadParameter(
            f"a migration that ends with {ending!r} never comes by {drill.point}: "
            f"leave --ending out, or say --ending {needed}"
        )
    return replace(drill, ending=ending or needed or "soak")


def _list() -> int:
    for fault in FAULTS.values():
        typer.echo(f"fault {fault.name}: strikes {', '.join(fault.victims)}")
    for point in all_points(sample_plan()):
        typer.echo(f"point {point}")
    for ending in ENDINGS:
        typer.echo(f"ending {ending}")
    for plant in PLANTS.values():
        typer.echo(f"plant {plant.name} ({plant.rule}, caught by {plant.checker}): {plant.about}")
    return 0
