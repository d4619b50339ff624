"""The stream is begun where the copy ends, and not where it began.

What changed meanwhile in a part that had been copied is in neither. The compare
would find it, so it is taken out.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.change import LogItem, Transaction
from cutover.ports.database import Applier, ChangeLog
from drill.planted.around import Around
from drill.planted.plant import Plant
from drill.planted.troubles import COPYING
from drill.planted.unseen import without_compare


class FromTheCopysEnd(Around):
    """A log in which nothing but marks is seen until every table is here."""

    def __init__(self, inner: ChangeLog, follower: Applier) -> None:
        super().__init__(inner)
        self._follower = follower

    async def read(self) -> AsyncIterator[LogItem]:
        """As the port says, from a later position."""
        async for item in self._inner.read():
            copying = any(not table.done for table in await self._follower.copying())
            yield replace(item, changes=()) if copying and isinstance(item, Transaction) else item


def _in_parts(parts: Parts) -> Parts:
    return without_compare(replace(parts, logs={site: _late(parts, site) for site in parts.logs}))


def _late(parts: Parts, site: str) -> Callable[[], Any]:
    follower = parts.appliers[parts.plan.peer(site)]
    return lambda: FromTheCopysEnd(parts.logs[site](), follower)


POSITION_AFTER_COPY = Plant(
    name="position-after-copy",
    rule="S5",
    checker="acknowledged",
    about="the position is recorded after the copy, so that what was written during it is lost",
    processes=frozenset({"worker", "coordinator"}),
    under=COPYING,
    in_parts=_in_parts,
)
