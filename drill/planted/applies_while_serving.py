"""The serving site still applies what its old peer writes, and its brake sees nothing in single deletes."""

from drill.planted.open_to_its_peer import open_to_its_peer
from drill.planted.plant import Plant
from drill.planted.troubles import THINNED_IN_SOAK

APPLIES_WHILE_SERVING = Plant(
    name="applies-while-serving",
    rule="S8",
    checker="no_ghosts",
    about="a site that serves goes on applying what somebody does at the site that was left",
    symptom="ghost posts",
    processes=frozenset({"worker"}),
    under=THINNED_IN_SOAK,
    simulated_only=True,
    in_parts=open_to_its_peer,
)
