"""Completing says that the sites are unlinked, and leaves worker and log as they were.

That a site which serves applies nothing of its peer would save it, so that is
taken out as well.
"""

from cutover.engine.parts import Parts
from cutover.model.action import Guard
from drill.planted.around import Around, around_sites
from drill.planted.open_to_its_peer import open_to_its_peer
from drill.planted.plant import Plant
from drill.planted.troubles import WIPED_AFTER_COMPLETE


class StillLinked(Around):
    """A site whose worker and slot survive their removal."""

    async def unfollow(self, *, guard: Guard) -> None:
        """Answer, and do nothing."""

    async def release_log(self, *, guard: Guard) -> None:
        """Answer, and do nothing."""


def _in_parts(parts: Parts) -> Parts:
    return open_to_its_peer(around_sites(parts, lambda _, inner: StillLinked(inner)))


UNLINKED_IN_NAME = Plant(
    name="unlinked-in-name",
    rule="S8",
    checker="no_ghosts",
    about="replication is said to be torn down and is not, so that wiping the old site wipes the new one",
    symptom="ghost posts",
    origin="minio/minio#20080",
    processes=frozenset({"coordinator", "worker"}),
    under=WIPED_AFTER_COMPLETE,
    simulated_only=True,
    in_parts=_in_parts,
)
