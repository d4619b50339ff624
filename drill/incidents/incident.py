"""What a public incident is as a drill: its story, what goes wrong, the naive way, and who must see it."""

from collections.abc import Callable
from dataclasses import dataclass

from drill.planted.plant import Disturb, Plant
from drill.schedule import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Incident:
    """One incident, to be lived through twice under the same schedules: by the naive way, and by ours.

    The naive way is a plant: production code with the part swapped that stands
    for the mechanism of the incident, and with nothing else changed but the
    defences that would have stopped it earlier.
    """

    name: str  #: kebab-case, as on the command line
    known_as: str  #: where it is public
    address: str  #: of the report or issue
    story: str  #: what happened there, in our words
    ours: str  #: one sentence: what is done here instead
    naive: Plant
    checker: str  #: must say *violated* of the naive way
    schedule: Callable[[int], Schedule]  #: by seed
    seeds: int = 5  #: schedules within which the naive way must be violated, and of which ours must hold all
    disturb: Disturb | None = None  #: what people do meanwhile
    wiped: bool = False  #: once it has ended, the site that was left is wiped and the other one read again
