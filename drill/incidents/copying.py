"""A row is read, changed by its user, and then written as it was read."""

from drill.incidents.incident import Incident
from drill.planted.chunk_over_stream import CHUNK_OVER_STREAM
from drill.schedule import Load, Schedule, Strike


def _schedule(seed: int) -> Schedule:
    """The worker stands still while it copies, and many users far away write meanwhile; hardly any do later,
    so that nothing mends a bad copy.
    """
    strike = Strike(fault="pause", victim="worker", point="backfill/follow:after", seconds=0.4)
    load = Load(clients=48, uploads=150, others=500, most=650, pace_seconds=0.02, delay_seconds=0.03)
    return Schedule(seed=seed, strikes=(strike,), load=load)


GHOSTFERRY = Incident(
    name="ghostferry",
    known_as="Shopify/ghostferry, its TLA+ specification",
    address="https://github.com/Shopify/ghostferry/tree/main/tlaplus",
    story=(
        "No outage, but a warning: the authors specified their copy in TLA+ with the read of a row at the "
        "source and its write at the target as one step. Taken apart, a change between the two is applied "
        "to a target that has no such row yet, and the copy then puts the older row there, or over the "
        "newer one."
    ),
    ours=(
        "a chunk stands in the log behind a mark, and a row of it is written only where its snapshot sees "
        "every change that the stream has brought"
    ),
    naive=CHUNK_OVER_STREAM,
    checker="acknowledged",
    schedule=_schedule,
    seeds=6,
)
