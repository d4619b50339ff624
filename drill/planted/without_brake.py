"""Nothing stops the applier: a table that somebody emptied at the left site is emptied at the serving one.

That a site which serves applies nothing of its peer would save it, so that is
taken out as well.
"""

from dataclasses import replace

from drill.planted.open_to_its_peer import open_to_its_peer
from drill.planted.plant import Plant
from drill.planted.troubles import EMPTIED_IN_SOAK

WITHOUT_BRAKE = Plant(
    name="without-brake",
    rule="S3",
    checker="no_ghosts",
    about="the applier carries out whatever empties a table, with no person having looked",
    symptom="ghost posts",
    origin="bisync stops at half of all files; the operator's wipe in minio#20080 was not stopped",
    processes=frozenset({"worker"}),
    under=EMPTIED_IN_SOAK,
    simulated_only=True,
    in_parts=lambda parts: open_to_its_peer(replace(parts, reason_to_brake=lambda _plan, _transaction: None)),
)
