"""What of a memory server is on its disk: a crash takes the rest.

Users' commits and whatever a coordinator or an agent does wait for the disk.
The applier's commits do not (DESIGN.md 3): they reach it a moment later, and a
crash before that moment loses the newest of them, together with the position
that they carried.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

FLUSH_SECONDS = 0.2
"""After this a commit that nobody waits for is on the disk (PostgreSQL's `wal_writer_delay`)."""
SLOT_SECONDS = 1.0
"""How often the slot's confirmed position is written down; a crash takes it back to that."""

Facts = Mapping[str, Any]
"""What a late commit carries beside its rows, by name."""


@dataclass(frozen=True, slots=True)
class Late:
    """A commit that nobody waits for, as it would be found again."""

    end: int  #: of the log behind it
    at: float  #: seconds
    facts: Facts


@dataclass(slots=True)
class Disk:
    """`end` and `facts` tell how long the log is, and what the applier's records say now."""

    now: Callable[[], float]
    end: Callable[[], int]
    facts: Callable[[], Facts]
    _synced: int = 0
    _slot: int | None = None
    _slot_at: float = 0.0
    _before: Facts | None = None  #: as it is on the disk, when something later is not
    _late: list[Late] = field(default_factory=list)

    def sync(self, slot: int | None) -> None:
        """Somebody waits for the disk: then all that came before is there too."""
        self._synced, self._before = self.end(), None
        self._late.clear()
        if slot is None or self._slot is None or self.now() - self._slot_at >= SLOT_SECONDS:
            self._slot, self._slot_at = slot, self.now()

    def begin_late(self) -> None:
        """A commit follows that nobody waits for."""
        self._settle()
        if not self._late:
            self._synced, self._before = self.end(), self.facts()

    def end_late(self) -> None:
        """It is made, and not on the disk yet."""
        self._late.append(Late(self.end(), self.now(), self.facts()))

    def durable(self, name: str) -> Any:
        """One of the facts as it is on the disk."""
        self._settle()
        return (self.facts() if self._before is None else self._before)[name]

    @property
    def synced(self) -> int:
        """How much of the log is on the disk."""
        self._settle()
        return self._synced if self._late else self.end()

    def crash(self, chance: Random | None) -> tuple[int, Facts, int | None]:
        """Lose what was not synced, up to a place that `chance` picks; all of it without. Return the rest."""
        self._settle()
        kept = 0 if chance is None else chance.randint(0, len(self._late))
        end, facts = self.end(), self.facts()
        if kept < len(self._late):
            end = self._late[kept - 1].end if kept else self._synced
            facts = self._late[kept - 1].facts if kept else self._before or facts
        self._late.clear()
        self._before, self._synced = None, end
        return end, facts, self._slot

    def _settle(self) -> None:
        """What is old enough has reached the disk by itself."""
        ripe = self.now() - FLUSH_SECONDS
        while self._late and self._late[0].at <= ripe:
            reached = self._late.pop(0)
            self._synced, self._before = reached.end, reached.facts
        if not self._late:
            self._before = None
