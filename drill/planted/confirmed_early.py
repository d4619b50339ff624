"""The peer is told to forget its log as soon as it was read, not once it is durable at the follower.

A target that loses its power goes on behind changes that its disk never held.
Two defences would stop the migration, so both are taken out: the look whether
the log still holds what comes next, and the compare.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace

from cutover.engine.parts import Parts
from cutover.model.change import LogItem, Transaction
from cutover.model.position import Position
from cutover.ports.database import ChangeLog
from drill.planted.around import Around
from drill.planted.plant import Plant
from drill.planted.troubles import TARGET_LOSES_POWER
from drill.planted.unseen import without_compare


class ConfirmedAsRead(Around):
    """A log that is forgotten as it is handed out, by a reader who never asks where it begins."""

    async def read(self) -> AsyncIterator[LogItem]:
        """As the port says, and confirmed at once."""
        async for item in self._inner.read():
            if isinstance(item, Transaction):
                await self._inner.confirm(item.position)
            yield item

    async def check_reaches(self, applied: Position) -> None:
        """It is believed to."""


def _in_parts(parts: Parts) -> Parts:
    def confirmed_as_read(opened: Callable[[], ChangeLog]) -> Callable[[], ChangeLog]:
        return lambda: ConfirmedAsRead(opened())

    logs = {site: confirmed_as_read(opened) for site, opened in parts.logs.items()}
    return without_compare(replace(parts, logs=logs))


CONFIRMED_EARLY = Plant(
    name="confirmed-early",
    rule="S5",
    checker="acknowledged",
    about="the log is forgotten once it was read: a target that loses its power has a gap in what it holds",
    processes=frozenset({"worker", "coordinator"}),
    under=TARGET_LOSES_POWER,
    in_parts=_in_parts,
)
