"""Two sites that do not hear of each other, and a promotion that fences nobody."""

from drill.incidents.incident import Incident
from drill.planted.leases import LEASE_WITHOUT_END
from drill.schedule import Load, Schedule, Strike

APART_SECONDS = 43.0


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
    naive=LEASE_WITHOUT_END,
    checker="split_brain",
    schedule=_schedule,
    seeds=4,
)
