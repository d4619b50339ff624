"""The target is found equal because it has as many rows and objects: nothing in them is read."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.change import Key
from cutover.model.observation import RowDigest
from cutover.ports.database import DigestPage
from drill.planted.around import Around
from drill.planted.plant import Plant
from drill.planted.troubles import ROTTEN_AT_THE_TARGET


class Counted(Around):
    """Rows of a site, all of them alike."""

    async def digests(self, table: str, after: Key | None, limit: int) -> DigestPage:
        """Keys, and no more."""
        page: DigestPage = await self._inner.digests(table, after, limit)
        return replace(page, rows=_alike(page.rows))

    async def digests_of(self, table: str, keys: Sequence[Key]) -> dict[Key, RowDigest]:
        """Keys, and no more."""
        return _alike(await self._inner.digests_of(table, keys))


def _alike(rows: Mapping[Key, Any]) -> dict[Key, RowDigest]:
    return dict.fromkeys(rows, RowDigest("there"))


def _in_parts(parts: Parts) -> Parts:
    return replace(parts, rows={site: Counted(rows) for site, rows in parts.rows.items()})


ELIGIBLE_BY_COUNT = Plant(
    name="eligible-by-count",
    rule="S12",
    checker="attached",
    about="a target is eligible when the numbers of rows are equal, and no byte was read",
    origin="ghostferry#99: a verifier on the same path is blind to that path's bugs",
    seeds=20,
    processes=frozenset({"coordinator"}),
    under=ROTTEN_AT_THE_TARGET,
    in_parts=_in_parts,
)
