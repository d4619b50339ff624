"""Lives through an incident: by the naive way until its checker sees it, and by ours with every seed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from drill.incidents.incident import Incident
from drill.incidents.wiping import WipedBehindTheEnd
from drill.planted.plant import Plant
from drill.simulator.rehearsal import Rehearsal, conditions_of, to_its_end
from drill.simulator.rehearsing import Rehearsing
from drill.verdict import Verdict, Witness, worst


@dataclass(frozen=True, slots=True)
class Told:
    """One way through an incident: what its drills showed, and the one that says it best."""

    verdict: Verdict
    seeds: int  #: drills that it took, or all that there were
    shown: Rehearsal  #: the first that was not held, or the last
    checker: str | None = None  #: that was not held in `shown`
    witness: Witness | None = None


@dataclass(frozen=True, slots=True)
class Retold:
    """An incident, lived through in both ways."""

    incident: Incident
    naive: Told
    ours: Told

    @property
    def as_it_must_be(self) -> bool:
        """The naive way was seen to be wrong, and ours was not."""
        return self.naive.verdict is Verdict.VIOLATED and self.ours.verdict is Verdict.HELD

    @property
    def verdict(self) -> Verdict:
        """Of the whole: an incident that the naive way survives shows nothing of ours."""
        if self.as_it_must_be or self.ours.verdict is not Verdict.HELD:
            return self.ours.verdict
        return Verdict.INCONCLUSIVE


def retell(incident: Incident, *, first_seed: int = 0, seeds: int | None = None) -> Retold:
    """Live through it; `seeds` drills must be held by ours (default: as many as the incident says)."""
    return Retold(
        incident,
        naive_way(incident, first_seed),
        our_way(incident, first_seed, seeds if seeds is not None else incident.seeds),
    )


def naive_way(incident: Incident, first_seed: int = 0) -> Told:
    """Until the checker meant for it says *violated*, or the incident has had its number of seeds."""
    tried: list[Told] = []
    for drill in _drills(incident, incident.naive, first_seed, incident.seeds):
        tried.append(_of_checker(incident.checker, drill, len(tried) + 1))
        if tried[-1].verdict is Verdict.VIOLATED:
            break
    return tried[-1]


def our_way(incident: Incident, first_seed: int, seeds: int) -> Told:
    """Every seed; the first that is not held is shown, a violated one before any other."""
    worst_told: Told | None = None
    for tried, drill in enumerate(_drills(incident, None, first_seed, seeds), start=1):
        told = _judged(incident, drill, tried)
        if worst_told is None or worst((worst_told.verdict, told.verdict)) is not worst_told.verdict:
            worst_told = told
    assert worst_told is not None, "an incident is lived through at least once"
    return replace(worst_told, seeds=seeds)


def drill_of(incident: Incident, seed: int, plant: Plant | None = None) -> Rehearsal:
    """One drill of the incident; without a plant it is ours."""
    schedule = incident.schedule(seed)
    if plant is not None:
        schedule = replace(schedule, plant=plant.name)
    kind = WipedBehindTheEnd if incident.wiped else Rehearsing
    return to_its_end(kind(schedule, plant, conditions_of(schedule.load), incident.disturb))


def _drills(incident: Incident, plant: Plant | None, first: int, seeds: int) -> Iterator[Rehearsal]:
    for seed in range(first, first + seeds):
        yield drill_of(incident, seed, plant)


def _of_checker(checker: str, drill: Rehearsal, tried: int) -> Told:
    """What the one checker says: whatever else the naive way breaks is not what was asked."""
    found = {finding.checker: finding for finding in drill.findings}.get(checker)
    if found is None:
        witness = Witness(what=f"{checker} had nothing to judge: the migration ended in {drill.stage.value}")
        return Told(Verdict.INCONCLUSIVE, tried, drill, checker, witness)
    return Told(found.verdict, tried, drill, checker, next(iter(found.witnesses), None))


def _judged(incident: Incident, drill: Rehearsal, tried: int) -> Told:
    """What all of them say; the one meant for the incident must have been asked."""
    asked = _of_checker(incident.checker, drill, tried)
    wrong = [finding for finding in drill.findings if finding.verdict is drill.verdict]
    if drill.verdict is not Verdict.VIOLATED and asked.verdict is not Verdict.HELD:
        return asked
    if drill.verdict is Verdict.HELD:
        return Told(Verdict.HELD, tried, drill)
    return Told(drill.verdict, tried, drill, wrong[0].checker, next(iter(wrong[0].witnesses), None))
