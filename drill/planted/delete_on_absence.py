"""The worker keeps the target like the source by listing it: what the listing lacks is deleted.

The listing is the one of a moment ago, as listings are. The compare before the
switch would find what is missing, so it is taken out.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.change import Delete, Key, Transaction
from cutover.model.position import Position
from cutover.ports.database import Applier, Rows
from drill.planted.plant import Plant
from drill.planted.unseen import without_compare

MIRRORED = "public.posts"
PAGE = 2_000


@dataclass(slots=True)
class Mirror:
    """An applier that also tidies, whenever it is asked what is durable."""

    inner: Applier
    here: Rows
    peer: Rows
    _listed: list[Key] | None = None
    _applied: Position | None = None
    _guard: Guard | None = field(default=None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    async def apply(self, batch: Any, **told: Any) -> Any:
        """As the port says."""
        answer = await self.inner.apply(batch, **told)
        self._applied, self._guard = batch[-1].position, told["guard"]
        return answer

    async def durable(self) -> Position | None:
        """As the port says."""
        if self._listed is not None and self._applied is not None and self._guard is not None:
            await self._tidy(self._listed, self._applied, self._guard)
        self._listed = await _keys(self.peer)
        return await self.inner.durable()

    async def _tidy(self, listed: list[Key], applied: Position, guard: Guard) -> None:
        known = dict.fromkeys(listed)
        absent = [Delete(MIRRORED, key) for key in await _keys(self.here) if key not in known]
        if absent:
            tidying = Transaction(xid=0, position=applied, changes=tuple(absent))
            await self.inner.apply([tidying], upserting=(), aside=(), guard=guard)


async def _keys(rows: Rows) -> list[Key]:
    """Every key of the table, page by page."""
    found: list[Key] = []
    after: Key | None = None
    while True:
        page = await rows.digests(MIRRORED, after, PAGE)
        found += page.rows
        if page.last is None:
            return found
        after = page.last


def _in_parts(parts: Parts) -> Parts:
    rows, plan = parts.rows, parts.plan
    mirrors = {site: Mirror(one, rows[site], rows[plan.peer(site)]) for site, one in parts.appliers.items()}
    return without_compare(replace(parts, appliers=mirrors))


DELETE_ON_ABSENCE = Plant(
    name="delete-on-absence",
    rule="S3",
    checker="no_ghosts",
    about="a post that a listing of the source lacks is deleted at the target",
    processes=frozenset({"worker", "coordinator"}),
    in_parts=_in_parts,
)
