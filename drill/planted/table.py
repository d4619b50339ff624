"""The page that lists the planted bugs: docs/reference/planted.md."""

from collections.abc import Iterable, Mapping

from drill.planted.plant import Plant

HEAD = """# Planted bugs

Known-bad variants of single parts of this system. Each is put into simulated migrations until the checker
meant for it says *violated*: a checker that catches nothing is not a checker. `cutover-drill planted` tries
them all, and with `--table docs/reference/planted.md` makes this page. A test fails when it is stale; there
is one for each variant, which fails when that survives or when the same migrations do not hold without it.

*Within* is how many migrations a variant may take, *took* how many it took when this page was made. Rules are
those of [the guarantees](../explanation/guarantees.md), checkers those of [the report](report.md).
"""
ON_REAL_DISKS = """## On real disks only

Simulated servers are always durable, so these live in a real one. `cutover-drill planted` does not try them;
`resilience_tests/live/test_power_cut.py` does, as root, and so does
`cutover-drill run --fidelity live --fault power-cut --victim target --at soak --plant fsync-off`.
"""
COLUMNS = ("name", "rule", "caught by", "what is wrong", "meanwhile", "within", "took")
ENDINGS = {"soak": "", "complete": "completed", "roll-back": "rolled back"}


def page(plants: Iterable[Plant], took: Mapping[str, int], on_disks: Iterable[Plant] = ()) -> str:
    """The whole page; `took` by the name of the plant, `on_disks` those that are tried live only."""
    listed = list(plants)
    rows = [(*_cells(plant), str(took.get(plant.name, "-"))) for plant in listed]
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *map(_line, rows)]
    symptoms = [_line(("reported symptom", "variants")), _line(["---"] * 2), *_by_symptom(listed)]
    disks = [_line(COLUMNS[:5]), _line(["---"] * 5), *(_line(_cells(plant)[:5]) for plant in on_disks)]
    parts = [HEAD, *lines, "", ON_REAL_DISKS, *disks, "", "## By symptom", "", *symptoms, ""]
    return "\n".join(parts)


def lasting(text: str) -> list[str]:
    """The lines of a page without what a run may change: the last column of its first table."""
    return [
        line.rsplit("|", 2)[0] if line.count("|") == len(COLUMNS) + 1 else line for line in text.splitlines()
    ]


def _cells(plant: Plant) -> tuple[str, ...]:
    seen = f" ({plant.origin})" if plant.origin else ""
    under = plant.under
    meanwhile = [
        under.told,
        ENDINGS[under.ending],
        "much is written while tables are copied" if under.copying else "",
    ]
    told = "; ".join(part for part in meanwhile if part) or "-"
    return f"`{plant.name}`", plant.rule, f"`{plant.checker}`", plant.about + seen, told, str(plant.seeds)


def _by_symptom(plants: Iterable[Plant]) -> list[str]:
    by_symptom: dict[str, list[str]] = {}
    for plant in plants:
        if plant.symptom:
            by_symptom.setdefault(plant.symptom, []).append(f"`{plant.name}`")
    return [_line((symptom, ", ".join(names))) for symptom, names in sorted(by_symptom.items())]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
