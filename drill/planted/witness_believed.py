"""A site believes whatever the witness shows, also when it has seen a newer epoch there."""

from cutover.engine.parts import Parts
from drill.planted.around import Around, around_sites
from drill.planted.plant import Plant
from drill.planted.troubles import REGISTER_RESTORED


class Believing(Around):
    """A site that remembers nothing of the register."""

    async def remember_register(self, *, epoch: int, revision: int) -> bool:
        """It is always as new as can be."""
        return True


def believing(parts: Parts) -> Parts:
    """Parts whose sites do not notice a witness that shows less than it did."""
    return around_sites(parts, lambda _, inner: Believing(inner))


WITNESS_BELIEVED = Plant(
    name="witness-believed",
    rule="S11",
    checker="one_writer",
    about="a witness that came back from an old backup puts the site that was left into office again",
    processes=frozenset({"agent"}),
    under=REGISTER_RESTORED,
    in_parts=believing,
)
