"""How far a follower is behind, measured on one clock."""

from collections import deque
from dataclasses import dataclass, field
from math import inf, isinf

from cutover.model.observation import Lead
from cutover.model.position import Position
from cutover.model.register import Unsent

SAMPLES = 4096
"""Looks remembered: at two a second, half an hour."""


@dataclass(slots=True)
class Lag:
    """How long ago the arriving site is known to have had everything.

    One clock only: when the leaving site's log was seen to end at a position,
    and the other site is later seen to have applied it, then it had everything
    at the moment of the first look.
    """

    known: float = -inf
    _ends: deque[tuple[float, Position]] = field(default_factory=lambda: deque(maxlen=SAMPLES))

    def seconds(self, now: float, end: Position | None, applied: Position | None) -> float:
        """Take in one look, begun at `now`; return the age of that moment (inf: never known)."""
        if end is not None:
            self._ends.append((now, end))
        while applied is not None and self._ends and applied.reaches(self._ends[0][1]):
            self.known = self._ends.popleft()[0]
        return now - self.known


@dataclass(slots=True)
class Sent:
    """The same, as the serving site sees it, with a count of what its peer may not have."""

    lag: Lag = field(default_factory=Lag)
    _counts: deque[tuple[Position, int]] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    _known: int | None = None  #: the counter when the peer is known to have had everything

    def unsent(self, now: float, lead: Lead) -> Unsent:
        """Take in one look, begun at `now`; say what the peer may not have."""
        self._counts.append((lead.end, lead.settled))
        while lead.confirmed is not None and self._counts and lead.confirmed.reaches(self._counts[0][0]):
            self._known = self._counts.popleft()[1]
        seconds = self.lag.seconds(now, lead.end, lead.confirmed)
        return Unsent(
            seconds=None if isinf(seconds) else round(seconds, 3),
            transactions=None if self._known is None else max(0, lead.transactions - self._known),
            confirmed="" if lead.confirmed is None else str(lead.confirmed),
            end=str(lead.end),
        )
