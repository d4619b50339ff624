"""Places in a database's log, and what a snapshot of it sees."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Position:
    """A place in one database's log.

    Opaque outside its adapter, except that two positions of the same database
    and timeline can be compared: after a restore or a promotion they cannot.
    """

    system: str  #: identifies the database cluster
    timeline: int
    offset: int

    def reaches(self, other: "Position") -> bool:
        """Whether everything up to `other` is also up to here; False if not comparable."""
        same_log = (self.system, self.timeline) == (other.system, other.timeline)
        return same_log and self.offset >= other.offset

    def __str__(self) -> str:
        return f"{self.system}/{self.timeline}/{self.offset:X}"

    @classmethod
    def parse(cls, text: str) -> "Position":
        """Read what `str` wrote; ValueError otherwise."""
        system, timeline, offset = text.split("/")
        return cls(system, int(timeline), int(offset, 16))


XID_SPAN = 1 << 32


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Which transactions a reader saw (`pg_current_snapshot()`), as 64-bit ids."""

    xmin: int  #: every transaction below it is over, and seen if it committed
    xmax: int  #: no transaction from here on is seen
    running: frozenset[int] = frozenset()  #: between the two, and not seen

    def sees(self, xid: int) -> bool:
        """Whether a committed transaction was visible to the reader.

        The log carries the low 32 bits of a transaction id only, so `xid` is
        first placed beside this snapshot: the two are never 2^31 apart.
        """
        full = self.widen(xid)
        return full < self.xmax and full not in self.running

    def past(self, xid: int) -> bool:
        """Whether this and every later snapshot sees the transaction."""
        return self.widen(xid) < self.xmin

    def widen(self, xid: int) -> int:
        """The 64-bit id, nearest to this snapshot, of a 32-bit transaction id."""
        if xid >= XID_SPAN:
            return xid
        near = self.xmax - (self.xmax % XID_SPAN) + xid
        if near - self.xmax >= XID_SPAN // 2 and near >= XID_SPAN:
            return near - XID_SPAN
        if self.xmax - near > XID_SPAN // 2:
            return near + XID_SPAN
        return near
