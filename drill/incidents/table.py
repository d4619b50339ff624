"""The page that tells of the incidents: docs/explanation/incidents.md."""

from collections.abc import Iterable

from drill.incidents.incident import Incident

HEAD = """# Public incidents as drills

Where others lost data, or could have. Each incident is lived through in simulated migrations, twice under
the same schedules: once by the naive way, a known-bad variant with the incident's mechanism, and once by
ours. The checker named here must say *violated* of the naive way within so many seeds, and every checker
*held* of ours; else the command does not end with 0. `cutover-drill incidents` lives through all of them,
and with `--table docs/explanation/incidents.md` makes this page. A test fails when it is stale.

The stories are told in our words, from what is public at the address. A drill shows the mechanism, on our
sample platform; it says nothing about the present state of the software that is named.
"""
COLUMNS = ("incident", "command", "what goes wrong", "naive way", "seen by", "seeds")


def page(incidents: Iterable[Incident]) -> str:
    """The whole page."""
    listed = list(incidents)
    lines = [_line(COLUMNS), _line(["---"] * len(COLUMNS)), *(_line(_cells(one)) for one in listed)]
    return "\n".join([HEAD, *lines, "", *(part for one in listed for part in _section(one))])


def _cells(one: Incident) -> tuple[str, ...]:
    schedules = dict.fromkeys(_told(one, seed) for seed in range(one.seeds))
    return (
        f"[{one.known_as}]({one.address})",
        f"`cutover-drill incidents {one.name}`",
        "; or ".join(schedules),
        f"`{one.naive.name}`",
        f"`{one.checker}`",
        str(one.seeds),
    )


def _told(one: Incident, seed: int) -> str:
    named = one.schedule(seed).name
    return f"{named}, then the site that was left is wiped" if one.wiped else named


def _section(one: Incident) -> list[str]:
    return [f"## {one.name}", "", one.story, "", f"Naive: {one.naive.about}. Ours: {one.ours}.", ""]


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
