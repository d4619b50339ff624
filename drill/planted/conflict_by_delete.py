"""A row that is here already, and differs, is called a conflict, and is settled by deleting it.

Nobody is told. The compare would find that the post is gone, so it is taken out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cutover.engine.parts import Parts
from cutover.model.change import Change, Delete, Insert, Key
from cutover.ports.database import Rows
from drill.planted.around import Rewriting, around_appliers, written_row
from drill.planted.plant import Plant
from drill.planted.unseen import without_compare

POSTS = "public.posts"


@dataclass(slots=True)
class Settling:
    """Looks at the row that is here before it writes the one that comes."""

    here: Rows
    _settled: dict[Key, None] = field(default_factory=dict)

    async def __call__(self, change: Change) -> Sequence[Change]:
        """Delete what differs in its title, once and for all."""
        new = written_row(change, POSTS)
        if new is None:
            return (change,)
        if new.key not in self._settled and not await self._conflicts(new.key, new.row.get("title")):
            return (change,)
        self._settled[new.key] = None
        return (Delete(POSTS, new.key),)

    async def _conflicts(self, key: Key, title: object) -> bool:
        found, _ = await self.here.read_again(POSTS, key)
        rows = [one for one in (found.changes if found else ()) if isinstance(one, Insert)]
        return any(row.row.get("title") != title for row in rows)


def _in_parts(parts: Parts) -> Parts:
    return without_compare(
        around_appliers(parts, lambda site, inner: Rewriting(inner, Settling(parts.rows[site])))
    )


CONFLICT_BY_DELETE = Plant(
    name="conflict-by-delete",
    rule="S3",
    checker="no_ghosts",
    about="two versions of a post are settled by deleting it, and its author is not told",
    symptom="ghost posts",
    processes=frozenset({"worker", "coordinator"}),
    in_parts=_in_parts,
)
