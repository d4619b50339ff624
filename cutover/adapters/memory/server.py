"""A site's database in memory, dangerous in the ways that the real one is.

A transaction has four moments, with a pause between any two of them: its fence
is checked, it is committed (in the log), it becomes visible to readers, and it
is acknowledged. So a reader of the log can know of a row that a reader of the
table does not see yet, and a fence that is closed must wait for writers that
have passed it.

`reach` is awaited before and after each effect: a simulator delays there,
lets others run, or raises SiteUnreachable before and Inconclusive after it.
`pause` is awaited between the moments of a transaction, inside the server.

A crash takes what is not on the disk (`disk.py`), and every lease.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from random import Random

from cutover.adapters.memory.disk import Disk, Facts
from cutover.errors import Refused, StaleTerm
from cutover.model.action import Guard
from cutover.model.change import Change, Delete, Insert, Key, Row, Transaction, Truncate, Update
from cutover.model.merge import Kept, Reference
from cutover.model.observation import Copying, Fence, FenceState, Following, SiteFacts
from cutover.model.plan import Plan
from cutover.model.position import Position, Snapshot
from cutover.protocol.copying import keys_touched

Reach = Callable[[], Awaitable[None]]
Clock = Callable[[], float]

OF_THE_APPLIER = ("applied", "copying", "rows_copied", "aside", "touched", "touches")
"""What the applier's commits carry beside their rows: with them it reaches the disk, or is lost."""


class Fenced(Refused):
    """The fence refused a write, as SQLSTATE 25006 does."""

    def __init__(self, site: str, epoch: int) -> None:
        super().__init__(f"site {site!r} does not accept writes (epoch {epoch})")
        self.epoch = epoch


@dataclass(slots=True)
class Stored:
    """A row's newest version that a reader can be shown; None: deleted."""

    offset: int
    row: Row | None


@dataclass(slots=True)
class MemoryServer:
    """One database server's memory: what its adapters share."""

    site: str
    plan: Plan
    clock: Clock
    reach: Reach
    boot: int = 1  #: rises when the server is started again
    tables: dict[str, dict[Key, Row]] = field(default_factory=dict)  #: with all that is committed
    visible: dict[str, "OrderedDict[Key, Stored]"] = field(default_factory=dict)  #: what readers see
    log: list[Transaction] = field(default_factory=list)
    committing: dict[int, Transaction] = field(default_factory=dict)  #: in the log, and not visible yet
    writers: int = 0  #: transactions that hold the fence
    xid: int = 100
    sequence: dict[str, int] = field(default_factory=dict)
    bounds: dict[str, int] = field(default_factory=dict)  #: the last value that a sequence can have
    prepared: bool = False
    opened: bool = False
    epoch: int = 0
    lease_until: float = 0.0
    lease_boot: int = 0
    guard: Guard = field(default_factory=lambda: Guard(0, 0))
    register_seen: tuple[int, int] = (0, 0)  #: epoch and revision of the newest register shown here
    slot: int | None = None  #: the peer may read from this offset on
    told: Following | None = None
    standing: bool = False  #: it served and was closed: its worker stands still until it is told anew
    applied: Position | None = None
    copying: dict[str, Copying] = field(default_factory=dict)
    rows_copied: int = 0
    aside: dict[tuple[str, Key], str] = field(default_factory=dict)
    watching: bool = False
    touched: dict[tuple[str, Key], int] = field(default_factory=dict)
    touches: int = 0
    references: tuple[Reference, ...] = ()  #: foreign keys that a merge must respect
    unique: dict[str, tuple[str, ...]] = field(default_factory=dict)  #: table -> a column whose values differ
    lent_until: float = 0.0
    lent_seconds: float = 0.0
    lent_boot: int = 0
    withheld: tuple[int, int] = (0, -1)  #: epoch and renewal: nothing is lent to these or older ones
    quarantine: dict[int, Kept] = field(default_factory=dict)
    decided: dict[int, Kept] = field(default_factory=dict)  #: out of quarantine, and on record
    kept: int = 0  #: versions that ever came to quarantine
    held: dict[tuple[str, Key], None] = field(default_factory=dict)  #: rows that a merge has locked
    held_until: float = 0.0
    merged: dict[tuple[str, Key], None] = field(default_factory=dict)
    heard: dict[Callable[[], None], None] = field(default_factory=dict)  #: readers of the log that wait
    pause: Callable[[str], Awaitable[None]] | None = None  #: told the moment; None: as `reach`
    disk: Disk = field(init=False)

    def __post_init__(self) -> None:
        self.disk = Disk(self.clock, lambda: len(self.log), self._of_the_applier)
        for table in self.plan.tables:
            self.tables[table.qualified] = {}
            self.visible[table.qualified] = OrderedDict()

    async def between(self, moment: str) -> None:
        """Let others run between two moments of a transaction: `checked`, `committed`, `locked`, `read`."""
        await (self.reach() if self.pause is None else self.pause(moment))

    def _of_the_applier(self) -> Facts:
        found = {name: getattr(self, name) for name in OF_THE_APPLIER}
        return {name: dict(value) if isinstance(value, dict) else value for name, value in found.items()}

    def position(self, offset: int) -> Position:
        """A place in this server's log."""
        return Position(f"memory-{self.site}", 1, offset)

    @property
    def end(self) -> Position:
        """The end of the log."""
        return self.position(len(self.log))

    @property
    def synced_end(self) -> Position:
        """The end of what is on the disk: a reader of the log is shown no more."""
        return self.position(self.disk.synced)

    def fence(self) -> Fence:
        """The fence as it stands now: no snapshot hides it."""
        if not self.prepared:
            return Fence(state=FenceState.ABSENT)
        state = FenceState.OPEN if self.opened else FenceState.CLOSED
        return Fence(state=state, epoch=self.epoch, lease_live=self.lease_live(), guard=self.guard)

    def lease_live(self) -> bool:
        """Whether the site may still write; before it is managed no lease is asked for."""
        if self.epoch == 0:
            return True
        return self.lease_boot == self.boot and self.clock() < self.lease_until

    def accepts_writes(self) -> bool:
        """What the fence answers to a writer."""
        return not self.prepared or (self.opened and self.lease_live())

    def pass_guard(self, guard: Guard) -> None:
        """Refuse an effect that is older than one that was seen; remember a newer one."""
        if guard.older_than(self.guard):
            seen = (self.guard.term, self.guard.entry)
            raise StaleTerm(site=self.site, carried=(guard.term, guard.entry), seen=seen)
        self.guard = guard
        self.disk.sync(self.slot)

    def snapshot(self) -> Snapshot:
        """Which transactions a reader sees now."""
        running = frozenset(self.committing)
        return Snapshot(min(running, default=self.xid + 1), self.xid + 1, running)

    def commit(
        self,
        changes: Sequence[Change],
        *,
        request: str | None,
        foreign: bool = False,
        mark: str | None = None,
    ) -> Transaction:
        """Put a transaction into the log; readers do not see it yet."""
        self.xid += 1
        logged = [self._committed(change) for change in changes]
        position = self.position(len(self.log) + 1)
        transaction = Transaction(
            xid=self.xid,
            position=position,
            changes=tuple(logged),
            request=request,
            foreign=foreign,
            mark=mark,
        )
        self.log.append(transaction)
        self.committing[self.xid] = transaction
        if not foreign:
            self.disk.sync(self.slot)
        return transaction

    def _committed(self, change: Change) -> Change:
        logged = self._with_old(change)
        self._commit_change(logged)
        return logged

    def _with_old(self, change: Change) -> Change:
        """As the log carries it under a full replica identity."""
        if isinstance(change, Insert | Truncate) or change.old is not None:
            return change
        place = change.key
        if isinstance(change, Update) and change.old_key is not None:
            place = change.old_key
        old = self.tables[change.table].get(place)
        return replace(change, old=None if old is None else dict(old))

    def _commit_change(self, change: Change) -> None:
        match change:
            case Insert(table, key, row):
                self.tables[table][key] = dict(row)
            case Update(table, key, row, old_key, _):
                self.tables[table].pop(old_key if old_key is not None else key, None)
                self.tables[table][key] = dict(row)
            case Delete(table, key):
                self.tables[table].pop(key, None)
            case Truncate(tables):
                for table in tables:
                    self.tables[table].clear()

    def show(self, transaction: Transaction) -> None:
        """Let readers see it. Two transactions may become visible in another order than they were logged."""
        offset = transaction.position.offset
        for change in transaction.changes:
            match change:
                case Insert(table, key, row):
                    self._show_row(table, key, row, offset)
                case Update(table, key, row, old_key):
                    if old_key is not None:
                        self._show_row(table, old_key, None, offset)
                    self._show_row(table, key, row, offset)
                case Delete(table, key):
                    self._show_row(table, key, None, offset)
                case Truncate(tables):
                    for table in tables:
                        for key in list(self.visible[table]):
                            self._show_row(table, key, None, offset)
        self.committing.pop(transaction.xid, None)
        for wake in list(self.heard):
            wake()

    def _show_row(self, table: str, key: Key, row: Row | None, offset: int) -> None:
        stored = self.visible[table].get(key)
        if stored is None or stored.offset <= offset:
            self.visible[table][key] = Stored(offset, None if row is None else dict(row))

    def crash(self, chance: Random | None) -> None:
        """Die and come back: transactions that were under way are gone, leases are void.

        What was not synced is lost up to a place that `chance` picks; all of it without.
        """
        end, facts, slot = self.disk.crash(chance)
        for name, value in facts.items():
            setattr(self, name, value)
        if self.slot is not None and slot is not None:  # a slot is on the disk as soon as it is made
            self.slot = min(slot, self.slot)
        self.keep_log_up_to(end)
        self.boot += 1
        self.writers, self.held = 0, {}

    def keep_log_up_to(self, end: int) -> None:
        """Make all tables anew from so much of the log; readers are shown all of it."""
        del self.log[end:]
        for table in self.tables:
            self.tables[table], self.visible[table] = {}, OrderedDict()
        for transaction in self.log:
            for change in transaction.changes:
                self._commit_change(change)
        for table, rows in self.tables.items():
            self.visible[table] = OrderedDict((key, Stored(end, dict(row))) for key, row in rows.items())
        self.committing.clear()
        for wake in list(self.heard):
            wake()

    def locked(self, places: Container[tuple[str, Key]]) -> bool:
        """Whether one of these rows was written by a transaction that still holds its locks."""
        if self.clock() <= self.held_until and any(place in places for place in self.held):
            return True
        return any(place in places for held in self.committing.values() for place in keys_touched(held))

    def rows(self, table: str) -> dict[Key, Row]:
        """What a reader sees of a table."""
        return {key: stored.row for key, stored in self.visible[table].items() if stored.row is not None}

    def facts(self) -> SiteFacts:
        """As `look` answers."""
        return SiteFacts(
            fence=self.fence(),
            end=self.end,
            applied=self.applied,
            following=self.told is not None,
            tables_pending=sum(not table.done for table in self.copying.values()),
            rows_copied=self.rows_copied,
            set_aside=len(self.aside),
            touched=len(self.touched),
            brake=self.told.braked if self.told else None,
            slot=self.slot is not None,
            kept=len(self.quarantine),
        )
