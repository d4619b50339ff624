"""Objects that are deleted too early: with the row that named them, or because no row names them yet.

A store has no way to delete for the engine, so these reach into the memory
stores. The compare reads the objects of every row, so it is taken out where
the engine is on the way.
"""

from typing import Any

from cutover.engine.parts import Parts
from cutover.model.position import Position
from cutover.ports.database import Applier, Rows
from cutover.ports.objects import ObjectStore
from drill.planted.around import Around, around_appliers
from drill.planted.plant import Plant
from drill.planted.troubles import COPYING
from drill.planted.unseen import without_compare
from sample_platform.model import Answer
from sample_platform.platform import Platform

PAGE = 2_000


class DeletesBytes(Platform):
    """The platform, tidying up behind a deleted post."""

    async def delete(self, post: str, *, user: str, request: str) -> Answer[str]:
        """Delete the row, and the object that it named, whoever else names it."""
        seen = await self._read(lambda: self._records.post(post))
        answer = await super().delete(post, user=user, request=request)
        if seen.value is not None:
            _remove(self._objects.store, seen.value.object_key)  # type: ignore[attr-defined]
        return answer


class Reaping(Around):
    """An applier that also tidies its site's store, whenever it is asked what is durable."""

    def __init__(self, inner: Applier, here: Rows, store: ObjectStore) -> None:
        super().__init__(inner)
        self._here, self._store = here, store

    async def durable(self) -> Position | None:
        """As the port says."""
        page = await self._here.digests("public.posts", None, PAGE)
        owned = {name.key for row in page.rows.values() for name in row.objects}
        for key in sorted(_keys(self._store) - owned):
            _remove(self._store, key)
        found: Position | None = await self._inner.durable()
        return found


def _held(store: Any) -> dict[tuple[str, str], object]:
    found: dict[tuple[str, str], object] = store._store.objects
    return found


def _keys(store: Any) -> set[str]:
    return {key for _, key in _held(store)}


def _remove(store: Any, key: str) -> None:
    for place in [place for place in _held(store) if place[1] == key]:
        del _held(store)[place]


def _in_parts(parts: Parts) -> Parts:
    def reaping(site: str, inner: Applier) -> Reaping:
        return Reaping(inner, parts.rows[site], parts.stores[site])

    return without_compare(around_appliers(parts, reaping))


BYTES_GO_WITH_THE_ROW = Plant(
    name="bytes-go-with-the-row",
    rule="S13",
    checker="attached",
    about="deleting a post deletes its object, although another post owns equal bytes",
    symptom="metadata parted from its file",
    processes=frozenset({"platform", "worker", "coordinator"}),
    seeds=20,
    under=COPYING,
    simulated_only=True,
    in_parts=without_compare,
    platform=DeletesBytes,
)

REAPED_AHEAD = Plant(
    name="reaped-ahead-of-rows",
    rule="S13",
    checker="attached",
    about="objects that were copied ahead of their rows are taken for nobody's, and deleted",
    symptom="metadata parted from its file",
    processes=frozenset({"worker", "coordinator"}),
    simulated_only=True,
    in_parts=_in_parts,
)
