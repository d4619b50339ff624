"""Tells in words what happened in a simulated drill: who wrote, what died, which move was made and why."""

from collections.abc import Iterator, Sequence
from typing import Any

from cutover.model.journal import Entry
from cutover.model.journal import Kind as Entered
from drill.history import Event, Kind
from drill.simulator.rehearsal import Rehearsal, events_of
from drill.verdict import Finding, Verdict, Witness

WITNESSES = 3
"""Witnesses of a finding that are followed through the history."""
LINES = 60
"""Longest story."""


def story(told: Rehearsal) -> list[str]:
    """The lines, in the order of what happened, and what is wrong at the end."""
    wrong = [found for found in told.findings if found.verdict is not Verdict.HELD]
    followed = _followed(wrong)
    because = {entry.n: entry.because for entry in told.entries if entry.kind is Entered.MOVE}
    lines = [f"Seed {told.seed}: {told.schedule.name}."]
    lines += [line for event in events_of(told.history) for line in _line(event, because, followed)][:LINES]
    lines += [line for entry in told.entries for line in _intent(entry)]
    lines.append(f"It ended in {told.stage.value} after {told.seconds:.1f} s.")
    return lines + [line for found in wrong for line in _finding(found)]


def _followed(wrong: Sequence[Finding]) -> set[str]:
    """Keys and clients that the first witnesses name."""
    witnesses = [witness for found in wrong for witness in found.witnesses[:WITNESSES]]
    return {name for witness in witnesses for name in _names(witness)}


def _names(witness: Witness) -> Iterator[str]:
    if witness.key:
        yield witness.key
    for word in witness.what.replace(",", " ").replace(":", " ").split():
        if word.startswith(("p-", "client-")) and len(word) > len("client-"):
            yield word


def _line(event: Event, because: dict[int, str], followed: set[str]) -> Iterator[str]:
    at, value = f"{event.t:8.3f} s  ", event.value or {}
    match event.type:
        case Kind.FAULT:
            bite = value.get("bite")
            hit = f"; in flight: {_plain(bite)}" if bite else "; nothing was in flight"
            yield f"{at}{event.f} strikes {event.key} at {value.get('point')}{hit}"
        case Kind.HEAL:
            yield f"{at}{event.f} of {event.key} is undone"
        case Kind.MOVE:
            why = because.get(_number(value.get("n")), "")
            yield f"{at}entry {value.get('n')}: to {event.f}, because {why or 'the journal says so'}"
        case Kind.OK | Kind.UNKNOWN if {event.key, event.request} & followed:
            where = f"by {event.site} in epoch {event.epoch}" if event.type is Kind.OK else "by nobody"
            yield f"{at}{event.process}: {event.f} {event.key or ''} was acknowledged {where}"
        case _:
            return


def _intent(entry: Entry) -> Iterator[str]:
    asked = entry.facts.get("intent")
    if entry.kind is Entered.INTENT and asked != "take_over":
        yield f"{'':12}entry {entry.n}: an operator asks for {asked}"


def _finding(found: Finding) -> Iterator[str]:
    yield f"{found.checker} is {found.verdict.value}:"
    for witness in found.witnesses[:WITNESSES]:
        yield f"  {witness.what}"


def _plain(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_plain(one)}" for name, one in value.items())
    return " and ".join(str(one) for one in value) if isinstance(value, list) else str(value)


def _number(value: object) -> int:
    return value if isinstance(value, int) else -1
