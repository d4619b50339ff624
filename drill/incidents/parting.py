"""Two sites that do not hear of each other, and a promotion that fences nobody."""

from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.observation import Instant
from drill.incidents.incident import Incident
from drill.planted.around import Around, around_sites
from drill.planted.plant import Plant
from drill.schedule import Load, Schedule, Strike

FOR_EVER = 1e6
APART_SECONDS = 43.0


class WithoutEnd(Around):
    """A site that goes on writing until somebody tells it to stop, and nobody can."""

    async def renew_lease(self, *, epoch: int, started: Instant, seconds: float) -> None:
        """For ever."""
        await self._inner.renew_lease(epoch=epoch, started=started, seconds=FOR_EVER)

    async def open(self, *, epoch: int, started: Instant, seconds: float, guard: Guard) -> None:
        """For ever."""
        await self._inner.open(epoch=epoch, started=started, seconds=FOR_EVER, guard=guard)


def _in_parts(parts: Parts) -> Parts:
    return around_sites(parts, lambda _, inner: WithoutEnd(inner))


PROMOTED_WITHOUT_FENCE = Plant(
    name="promoted-without-fence",
    rule="S1c",
    checker="split_brain",
    about="a survivor is promoted while the other site has no lease that would run out",
    origin="GitHub, October 2018",
    processes=frozenset({"agent", "coordinator"}),
    in_parts=_in_parts,
)


def _schedule(seed: int) -> Schedule:
    """The site that serves hears nobody but its users: before the cutover, or behind it."""
    point, victim = (("soak", "target"), ("verify/mark-eligible:after", "source"))[seed % 2]
    apart = Strike(fault="partition", victim=victim, point=point, seconds=APART_SECONDS)
    load = Load(clients=6, uploads=20, others=60, most=1_500, pace_seconds=0.25)
    return Schedule(seed=seed, strikes=(apart,), load=load)


GITHUB_2018 = Incident(
    name="github-2018",
    known_as="GitHub, 21 October 2018",
    address="https://github.blog/2018-10-30-oct21-post-incident-analysis/",
    story=(
        "Work on a network link cut the data centre with the primaries off for 43 seconds. The other "
        "places had a majority and promoted databases at the opposite coast, while those that were cut off "
        "went on to take writes. Each side then had writes that the other had not. It took a day to put in "
        "order, some of it by hand."
    ),
    ours=(
        "a site that cannot renew its lease refuses writes by itself before its peer is promoted, and what "
        "it had acknowledged and not sent is listed and merged when it is back"
    ),
    naive=PROMOTED_WITHOUT_FENCE,
    checker="split_brain",
    schedule=_schedule,
    seeds=4,
)
