"""Two versions of a row are ordered by the wall clocks of the sites that wrote them.

Where one clock is behind, an edit made there loses to an older one. The
compare would find that the sites differ, so it is taken out.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from cutover.engine.parts import Parts
from cutover.model.change import Change, Insert
from cutover.ports.database import Rows
from drill.planted.around import Rewriting, around_appliers, written_row
from drill.planted.plant import Plant
from drill.planted.troubles import CLOCK_BEHIND
from drill.planted.unseen import without_compare

POSTS = "public.posts"


@dataclass(slots=True)
class NewestClock:
    """Keeps the row that says it is the younger one."""

    here: Rows

    async def __call__(self, change: Change) -> Sequence[Change]:
        """Drop what is older by its own account."""
        new = written_row(change, POSTS)
        if new is None:
            return (change,)
        found, _ = await self.here.read_again(POSTS, new.key)
        rows = [one.row for one in (found.changes if found else ()) if isinstance(one, Insert)]
        older = any(str(new.row["updated_at"]) < str(row["updated_at"]) for row in rows)
        return () if older else (change,)


def _in_parts(parts: Parts) -> Parts:
    return without_compare(
        around_appliers(parts, lambda site, inner: Rewriting(inner, NewestClock(parts.rows[site])))
    )


LAST_WRITER_BY_CLOCK = Plant(
    name="last-writer-by-clock",
    rule="S4",
    checker="acknowledged",
    about="which version of a row stays is decided by the wall clocks of two sites",
    origin="Garage under Jepsen's clock scrambling",
    processes=frozenset({"worker", "coordinator"}),
    under=CLOCK_BEHIND,
    in_parts=_in_parts,
)
