"""What the rows of a look mean."""

from dataclasses import dataclass

from cutover.model.action import Guard
from cutover.model.observation import Fence, FenceState, Lead, SiteFacts
from cutover.model.position import Position

PAGE_HEADER = 24
SEGMENT_HEADER = 40
"""Length of the headers (bytes) behind which the first record of a page and of a segment starts."""


@dataclass(frozen=True, kw_only=True)
class FenceRow:
    """The fence as `fence_facts.sql` reads it."""

    whole: bool  #: every planned table carries it
    state: int
    lease_live: bool
    term: int
    entry: int

    def fence(self) -> Fence:
        """A fence that is not on every table yet keeps nobody out, so it counts as absent."""
        guard = Guard(self.term, self.entry)
        if not self.whole:
            return Fence(state=FenceState.ABSENT, guard=guard)
        state = FenceState.OPEN if self.state % 2 else FenceState.CLOSED
        return Fence(state=state, epoch=self.state // 2, lease_live=self.lease_live, guard=guard)


@dataclass(frozen=True, kw_only=True)
class EndRow:
    """The end of the log as `end_of_log.sql` reads it."""

    system: str
    timeline: int
    log_end: int
    block: int
    segment: int

    def position(self) -> Position:
        """Where the last record ends."""
        return Position(self.system, self.timeline, self.at(self.log_end))

    def at(self, offset: int) -> int:
        """Where the record before `offset` ends.

        The server names the place where the next record would start, which is
        behind the header of a new page: no reader ever gets there without one.
        """
        if offset % self.segment == SEGMENT_HEADER:
            return offset - SEGMENT_HEADER
        if offset % self.block == PAGE_HEADER:
            return offset - PAGE_HEADER
        return offset


@dataclass(frozen=True, kw_only=True)
class LeadRow(EndRow):
    """How far a site is ahead, as `lead.sql` reads it."""

    confirmed: int | None
    transactions: int
    settled: int
    sequences: dict[str, int | None]
    bounds: dict[str, int]

    def lead(self) -> Lead:
        """The same in the engine's words; sequences that were never used are left out."""
        confirmed = None if self.confirmed is None else Position(self.system, self.timeline, self.confirmed)
        used = ((name, value) for name, value in sorted(self.sequences.items()) if value is not None)
        return Lead(
            end=self.position(),
            confirmed=confirmed,
            transactions=self.transactions,
            settled=self.settled,
            sequences=tuple(used),
            bounds=tuple(sorted(self.bounds.items())),
        )


@dataclass(frozen=True, kw_only=True)
class LookRow(FenceRow, EndRow):
    """A whole look as `look.sql` reads it."""

    applied: str | None
    following: bool
    brake: str | None
    tables_pending: int
    rows_copied: int
    set_aside: int
    touched: int
    kept: int
    slot: bool

    def facts(self) -> SiteFacts:
        """The look in the engine's words."""
        return SiteFacts(
            fence=self.fence(),
            end=self.position(),
            applied=None if self.applied is None else Position.parse(self.applied),
            following=self.following,
            tables_pending=self.tables_pending,
            rows_copied=self.rows_copied,
            set_aside=self.set_aside,
            touched=self.touched,
            brake=self.brake,
            slot=self.slot,
            kept=self.kept,
        )
