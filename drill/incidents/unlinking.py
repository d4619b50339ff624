"""Unlinked, wiped, and destroyed at the other site."""

from drill.incidents.incident import Incident
from drill.planted.unlinked_in_name import UNLINKED_IN_NAME
from drill.schedule import Load, Schedule, Strike

LOAD = Load(clients=8, uploads=30, others=120, most=600, pace_seconds=0.05)


def _schedule(seed: int) -> Schedule:
    """Either site may be the one that is left; a coordinator dies while they are unlinked."""
    ending, stage = ("complete", "complete") if seed % 2 else ("roll-back", "back/rolled-back")
    dies = Strike(fault="kill", victim="coordinator", point=f"{stage}/unfollow@target:before", seconds=0.8)
    return Schedule(seed=seed, ending=ending, strikes=(dies,), load=LOAD)


MINIO_20080 = Incident(
    name="minio-20080",
    known_as="minio/minio#20080 (2024)",
    address="https://github.com/minio/minio/issues/20080",
    story=(
        "Two clusters were kept alike by site replication. An operator gave up the move to the new one, "
        "removed the replication there with --all --force, asked twice whether it was gone, was told so, "
        "and removed every object of the new cluster. The deletes travelled to the old cluster and "
        "destroyed the data there."
    ),
    ours=(
        "both workers are stopped for good before either log is let go, in actions that are carried out to "
        "the end whoever dies meanwhile, so that no delete finds a way"
    ),
    naive=UNLINKED_IN_NAME,
    checker="unlink_safety",
    schedule=_schedule,
    wiped=True,
)
