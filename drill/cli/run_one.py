"""`cutover-drill run`: one drill, by its seed, by its schedule, or by its fault, victim and point."""

import asyncio
from dataclasses import replace
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
from drill.cli.simulated import run_simulated
from drill.drills import ENDINGS, Drill
from drill.live.stacks import Where
from drill.live.standing import EMBEDDED
from drill.nemesis import FAULTS
from drill.planted import LIVE, ON_DISKS, PLANTS
from drill.points import RANDOM, Point, all_points
from drill.sample_plan import sample_plan
from drill.schedule import Schedule, Strike, read_schedule
from drill.simulator.faults import SIMULATED_FAULTS, check_victim
from infra.s3_engines.resolve import OWN

FIDELITIES = ("live", "simulated")

FaultOption = Annotated[str | None, typer.Option("--fault", help="What goes wrong (`--list`).")]
VictimOption = Annotated[str | None, typer.Option("--victim", help="Whom it happens to.")]
AtOption = Annotated[
    str | None,
    typer.Option(
        "--at",
        help="[back/]STAGE[/ACTION[@SITE][:before|during|after]]; random (live), t=SECONDS (simulated).",
    ),
]
PlantOption = Annotated[str | None, typer.Option("--plant", help="Put one known-bad variant in.")]
EndingOption = Annotated[
    str | None,
    typer.Option(
        "--ending",
        help="soak (unless the point needs another), roll-back, complete, or roll-back-from:STAGE.",
    ),
]
FidelityOption = Annotated[
    str,
    typer.Option("--fidelity", help="live, or simulated: then the seed alone chooses what goes wrong."),
]
ScheduleOption = Annotated[
    Path | None, typer.Option("--schedule", help="A schedule file: what goes wrong, and under what load.")
]
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
    schedule: ScheduleOption = None,
    report: ReportOption = None,
    list_all: ListOption = False,
    stack: StackOption = EMBEDDED,
    s3_server: S3ServerOption = OWN,
    json: JsonOption = False,
) -> int:
    """Run one drill to its verdict. Live and without a fault the migration is calm."""
    if list_all:
        return _list()
    if fidelity not in FIDELITIES:
        raise typer.BadParameter(f"fidelity is {' or '.join(FIDELITIES)}, not {fidelity!r}")
    _check_plant(plant, fidelity)
    where = place_named(stack, s3_server)
    if where != Where() and fidelity == "simulated":
        raise typer.BadParameter(
            "a simulated drill has a stack and stores of its own: --stack and --s3-server are for live drills"
        )
    told = None
    if schedule is not None:
        if fault or victim or at or ending:
            raise typer.BadParameter("a schedule says all that --fault, --victim, --at and --ending would")
        told = _read(schedule)
        told = replace(told, plant=plant or told.plant)
    if fidelity == "simulated":
        told = told or _simulated(Drill(seed=seed, fault=fault, victim=victim, point=at, plant=plant), ending)
        return run_simulated(told, seed, report_folder(report), schedule, as_json=json)
    if told is not None:
        drill = _checked(_live(told))
        return _run_live(_ended(drill, told.ending), report, where, as_json=json)
    named = Drill(seed=seed, fault=fault, victim=victim, point=at, plant=plant)
    return _run_live(_ended(_checked(named), ending), report, where, as_json=json)


def _run_live(drill: Drill, report: Path | None, where: Where, *, as_json: bool) -> int:
    from drill.live.suite import Suite

    if drill.plant is not None and LIVE[drill.plant].simulated_only:
        raise typer.BadParameter(
            f"{drill.plant!r} reaches into the simulator's own parts: run it with --fidelity simulated"
        )
    folder = report_folder(report)
    suite = Suite(drills=[drill], folder=folder, tell=tell, where=where)
    return finish(asyncio.run(suite.run()), folder, as_json=as_json)


def _check_plant(plant: str | None, fidelity: str) -> None:
    if plant is not None and plant not in LIVE:
        raise typer.BadParameter(f"no plant is called {plant!r}; there are {', '.join(LIVE)}")
    if plant in ON_DISKS and fidelity != "live":
        raise typer.BadParameter(f"{plant!r} needs a real server: --fidelity live, with --fault power-cut")


def _read(file: Path) -> Schedule:
    """A schedule whose names all exist."""
    try:
        told = read_schedule(file)
    except OSError as error:
        raise typer.BadParameter(
            f"schedule {str(file)!r} cannot be read: {error.strerror}. Give the path of a schedule, such as "
            f"those in resilience_tests/schedules"
        ) from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    for strike in told.strikes:
        _check_simulated(strike)
    if told.ending not in ENDINGS:
        raise typer.BadParameter(f"{file}: no ending is called {told.ending!r}")
    if told.plant is not None and told.plant not in PLANTS:
        raise typer.BadParameter(f"{file}: no plant is called {told.plant!r}")
    return told


def _check_simulated(strike: Strike) -> None:
    try:
        check_victim(strike.fault, strike.victim)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _simulated(drill: Drill, ending: str | None) -> Schedule | None:
    """One strike that was named on the command line; None: the seed chooses."""
    if drill.fault is None and ending is None:
        return None
    if drill.fault is None:
        return Schedule(seed=drill.seed, ending=_ended(drill, ending).ending, plant=drill.plant)
    if drill.point is None or drill.victim is None:
        raise typer.BadParameter("a fault needs --victim and --at: a crash point, or t=SECONDS")
    strike = Strike(fault=drill.fault, victim=drill.victim, point=drill.point)
    _check_simulated(strike)
    seconds = SIMULATED_FAULTS[strike.fault].seconds[0]
    try:
        timed = strike.time is not None
        ended = replace(drill, point=RANDOM) if timed else _point_checked(drill)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    strikes = (replace(strike, seconds=seconds),)
    return Schedule(seed=drill.seed, ending=_ended(ended, ending).ending, strikes=strikes, plant=drill.plant)


def _live(told: Schedule) -> Drill:
    """What a live drill can do of a schedule; BadParameter names what it cannot."""
    if len(told.strikes) > 1:
        raise typer.BadParameter(
            f"a live drill strikes once, and this schedule has {len(told.strikes)} strikes: "
            f"take one of them, or run it with --fidelity simulated"
        )
    if not told.strikes:
        return Drill(seed=told.seed, plant=told.plant)
    strike = told.strikes[0]
    known = strike.fault in FAULTS and strike.victim in FAULTS[strike.fault].victims
    if not known or strike.time is not None or strike.nth > 1:
        able = "; ".join(f"{fault.name} of {', '.join(fault.victims)}" for fault in FAULTS.values())
        raise typer.BadParameter(
            f"a live drill cannot do {strike}: it strikes the first time at a crash point, and knows {able}. "
            f"Run it with --fidelity simulated"
        )
    return Drill(
        seed=told.seed, fault=strike.fault, victim=strike.victim, point=strike.point, plant=told.plant
    )


def _checked(drill: Drill) -> Drill:
    if drill.fault is None:
        return drill
    if drill.fault not in FAULTS:
        raise typer.BadParameter(f"no fault is called {drill.fault!r}; there are {', '.join(FAULTS)}")
    victims = FAULTS[drill.fault].victims
    if drill.victim not in victims:
        raise typer.BadParameter(
            f"{drill.fault} strikes {', '.join(victims)}, "
            f"{'and --victim says which' if drill.victim is None else f'not {drill.victim!r}'}"
        )
    if drill.point is None:
        raise typer.BadParameter("a fault needs a point: name one with --at, or say `--at random`")
    return drill if drill.point == RANDOM else _point_checked(drill)


def _point_checked(drill: Drill) -> Drill:
    try:
        Point.parse(str(drill.point))
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
    for simulated in SIMULATED_FAULTS.values():
        typer.echo(f"simulated fault {simulated.name}: strikes {', '.join(simulated.victims)}")
    for point in all_points(sample_plan()):
        typer.echo(f"point {point}")
    for ending in ENDINGS:
        typer.echo(f"ending {ending}")
    for plant in LIVE.values():
        typer.echo(f"plant {plant.name} ({plant.rule}, caught by {plant.checker}): {plant.about}")
    return 0
