"""What the coordinator sees in one look."""

from dataclasses import dataclass, field
from enum import Enum

from cutover.model.action import Guard
from cutover.model.change import ObjectName
from cutover.model.position import Position
from cutover.model.register import Grant


class FenceState(Enum):
    """Who may write at a site, as its database says."""

    ABSENT = "absent"  #: nothing of ours is installed
    CLOSED = "closed"
    OPEN = "open"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fence:
    """A site's fence."""

    state: FenceState
    epoch: int = 0
    lease_live: bool = False
    guard: Guard = field(default_factory=lambda: Guard(0, 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFacts:
    """What one site's database says of itself."""

    fence: Fence
    end: Position  #: end of its log
    applied: Position | None = None  #: how far it has applied its peer's log
    following: bool = False
    tables_pending: int = 0  #: not yet copied to their end
    rows_copied: int = 0
    set_aside: int = 0  #: rows that could not be applied
    touched: int = 0  #: keys applied since they were last compared; counted up to 10,001
    brake: str | None = None  #: why the applier was stopped
    slot: bool = False  #: its log is kept for the peer
    kept: int = 0  #: versions in quarantine that nobody has decided on


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """What the engine saw in one look at the register and both sites.

    Never refreshed: look again and make a new one, so that a decision and the
    facts it rests on are journalled together.
    """

    grant: Grant
    source: SiteFacts | None  #: None: it did not answer
    target: SiteFacts | None
    lag_seconds: float  #: since the arriving site was last known to have everything; inf if unknown
    drained: bool  #: leaving site closed, its log applied at the arriving site to the end, and on disk there
    drain_overdue: bool  #: the drain that stands has outlived its deadline
    takes_writes: bool  #: a probe write through the arriving site's fence was accepted
    silent_seconds: float = 0.0  #: for how long this watcher has seen no renewal of the serving site's lease


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What a site's worker has been told, as its own database says."""

    backfill: bool  #: copy the tables, not only the changes
    guard: Guard
    rejoin: bool = False  #: back after a parting: first take the peer's version of every row that was merged
    pace: int | None = None  #: most rows a second that are copied; None: as fast as it goes
    braked: str | None = None  #: why the applier must stand still
    released: str | None = None  #: the reason that an operator has looked at and let pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """How far the copying of one table has come."""

    table: str
    after: tuple[str, ...] | None  #: key of the last row placed
    done: bool


@dataclass(frozen=True, slots=True)
class Instant:
    """A reading of a database server's own clock; void once it was restarted."""

    microseconds: int
    boot: int  #: when the server started, in the same unit


@dataclass(frozen=True, slots=True)
class RowDigest:
    """A row as a compare sees it."""

    digest: str
    objects: tuple[ObjectName, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lead:
    """How far the serving site is ahead of its peer, in one look at its own database."""

    end: Position  #: of its log
    confirmed: Position | None  #: what the peer has on its disk; None: no log is kept for it
    transactions: int  #: a counter that each transaction of this database raises
    settled: int  #: the same of before the oldest that is still running: all up to there are over
    sequences: tuple[tuple[str, int], ...]  #: of the planned tables, with their last values
    bounds: tuple[tuple[str, int], ...] = ()  #: the last value that each of them can have
