"""`cutover-drill incidents`: lives through public incidents, by the naive way and by ours."""

import json as json_text
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from drill.cli.options import JsonOption, SeedOption, tell
from drill.incidents import INCIDENTS
from drill.incidents.incident import Incident
from drill.incidents.retelling import Retold, Told, retell
from drill.incidents.table import page
from drill.verdict import worst

NameArgument = Annotated[str | None, typer.Argument(help="One of them; all without it.", metavar="NAME")]
SeedsOption = Annotated[
    int | None,
    typer.Option("--seeds", min=1, help="How many schedules ours must hold; else as the incident says."),
]
FolderOption = Annotated[
    Path | None, typer.Option("--report", help="Folder for incidents.json, schedules and histories.")
]
TableOption = Annotated[
    Path | None,
    typer.Option("--table", help="Only write the page of them, such as docs/explanation/incidents.md."),
]

Json = dict[str, object]


def incidents(
    name: NameArgument = None,
    *,
    seed: SeedOption = 0,
    seeds: SeedsOption = None,
    report: FolderOption = None,
    table: TableOption = None,
    json: JsonOption = False,
) -> int:
    """Live through public incidents: the naive way must be violated, and ours must hold.

    Exits 0 only then. A naive way that nothing is seen of makes the incident
    inconclusive: its schedule shows nothing of ours.
    """
    if table is not None:
        table.write_text(page(INCIDENTS.values()), encoding="utf-8")
        return 0
    retold = [_retold(one, seed, seeds) for one in _chosen(name)]
    if report is not None:
        _write(report, retold)
    typer.echo(json_text.dumps(_plain(retold)) if json else "\n".join(_lines(retold)))
    return worst(one.verdict for one in retold).exit_code


def _chosen(name: str | None) -> list[Incident]:
    if name is None:
        return list(INCIDENTS.values())
    if name not in INCIDENTS:
        raise typer.BadParameter(f"no incident is called {name!r}; there are {', '.join(INCIDENTS)}")
    return [INCIDENTS[name]]


def _retold(incident: Incident, seed: int, seeds: int | None) -> Retold:
    tell(f"{incident.name}: {incident.known_as}")
    return retell(incident, first_seed=seed, seeds=seeds)


def _lines(retold: Sequence[Retold]) -> list[str]:
    """A table, and under each row what was seen first."""
    width = max(len(one.incident.name) for one in retold)
    lines = [f"{'incident':{width}}  {'naive way':46}  ours"]
    for one in retold:
        naive = f"{one.naive.verdict.value} ({one.incident.checker}, schedule {one.naive.seeds})"
        lines.append(f"{one.incident.name:{width}}  {naive:46}  {_of_ours(one.ours)}")
        lines += [
            f"{'':{width}}  {way}: {told.witness.what}"
            for way, told in (("naive", one.naive), ("ours", one.ours))
            if told.witness is not None
        ]
        if not one.as_it_must_be:
            lines.append(f"{'':{width}}  repeat: {_repeat(one)}")
    return lines


def _of_ours(ours: Told) -> str:
    checker = f"{ours.checker}, seed {ours.shown.seed}, " if ours.checker else ""
    return f"{ours.verdict.value} ({checker}{ours.seeds} schedule(s))"


def _repeat(one: Retold) -> str:
    return f"cutover-drill incidents {one.incident.name} --seed {one.ours.shown.seed} --seeds 1"


def _plain(retold: Sequence[Retold]) -> Json:
    return {
        "schema": 1,
        "incidents": [
            {
                "name": one.incident.name,
                "known_as": one.incident.known_as,
                "story": one.incident.story,
                "verdict": one.verdict.value,
                "naive": {"plant": one.incident.naive.name} | _way(one.naive),
                "ours": _way(one.ours) | {"repeat": _repeat(one)},
            }
            for one in retold
        ],
    }


def _way(told: Told) -> Json:
    """`schedule` is that of the drill which is shown; `checker` and `witness` are null when all held."""
    return {
        "verdict": told.verdict.value,
        "seeds": told.seeds,
        "checker": told.checker,
        "witness": told.witness.what if told.witness else None,
        "schedule": told.shown.schedule.to_json(),
    }


def _write(folder: Path, retold: Sequence[Retold]) -> None:
    """The answer, and beside it each drill that is shown: what it was told, and all that happened."""
    for one in retold:
        for way, told in (("naive", one.naive), ("ours", one.ours)):
            place = folder / one.incident.name
            place.mkdir(parents=True, exist_ok=True)
            (place / f"{way}.schedule.json").write_text(told.shown.schedule.text(), encoding="utf-8")
            (place / f"{way}.jsonl").write_bytes(told.shown.history)
    text = json_text.dumps(_plain(retold), indent=2) + "\n"
    (folder / "incidents.json").write_text(text, encoding="ascii")
