"""One site's metadata database, as the coordinator, the agent and the worker use it.

Every adapter passes resilience_tests/contract/database/. All methods raise
SiteUnreachable when no answer came and nothing can have happened, Inconclusive
when it may have, and StaleTerm when a guarded effect is older than one that
the site has seen. The guard is checked and recorded in the effect's own
transaction, and every guarded effect may be repeated.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from cutover.model.action import Guard
from cutover.model.change import Chunk, Key, LogItem, Row, Transaction
from cutover.model.merge import Quarantined, Reference, Settled
from cutover.model.observation import Copying, Fence, Following, Instant, Lead, RowDigest, SiteFacts
from cutover.model.position import Position, Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Aside:
    """A row that must not become visible here, and why."""

    table: str
    key: Key
    reason: str


Place = tuple[str, Key]
"""A row: its table, qualified, and its key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """What was decided about the rows that a merge has locked."""

    settled: Sequence[Settled]
    upto: Position  #: the end of the peer's log, all of which is in with this


Decide = Callable[[Mapping[Place, Row]], Awaitable[Merged]]


class SiteDatabase(Protocol):
    """What the coordinator and the site's agent do to the database."""

    @property
    def site(self) -> str:
        """The site's name, for messages."""

    async def look(self) -> SiteFacts:
        """One consistent look; `end` is read last."""

    async def durable(self) -> Position | None:
        """How far the peer's log is in and on this site's disk; None: nothing yet.

        What a look calls applied may still be lost in a crash. This waits for the disk.
        """

    async def fence(self) -> Fence:
        """The fence alone, in one round trip."""

    async def prepare(self, *, guard: Guard) -> None:
        """Install our records, the publication of the planned tables and the fence, closed, at epoch 0.

        Triggers go on one table at a time, with a lock time-out and retry. What
        is already there is left as it is: preparing an open site does not close it.
        """

    async def remove(self, *, guard: Guard | None = None) -> None:
        """Take out everything of ours: slots, publication, triggers, records, replica identities.

        Without a guard it is an operator who asks.
        """

    async def remember_register(self, *, epoch: int, revision: int) -> bool:
        """Remember the newest register that this site has been shown; False when this one is older.

        A witness that shows less than a site has seen has lost its memory (S11).
        True where nothing of ours is installed.
        """

    async def lend(self, *, epoch: int, lease_count: int, seconds: float) -> bool:
        """Let the peer serve on for `seconds` although the witness is gone; durable before it is answered.

        `lease_count` is the peer's last renewal at the witness. False where this
        site is open, has seen a newer epoch, or withholds from that renewal.
        """

    async def withhold(self, *, epoch: int, lease_count: int) -> bool:
        """Lend nothing more to whoever renewed last under this epoch and count, or before.

        True once nothing that was lent runs any more: counted on this server's
        own clock, and whole again after a restart.
        """

    async def instant(self) -> Instant:
        """The server's clock, read before a renewal is sent to the witness."""

    async def renew_lease(self, *, epoch: int, started: Instant, seconds: float) -> None:
        """Let the site write until `started` + `seconds`; no effect if it restarted or has another epoch."""

    async def open(self, *, epoch: int, started: Instant, seconds: float, guard: Guard) -> None:
        """Accept writes under `epoch`, with a lease. Refused when the site has seen a newer epoch."""

    async def close(self, *, guard: Guard) -> Position:
        """Refuse writes; return the end of the log, read when no writer was left.

        The worker of a site that served stands still from here on, until it is
        told anew to follow or the site is opened again: if the peer is promoted
        meanwhile, what this site had not sent must stay as it is.

        Waits for writers that hold the fence, each time for a bounded moment,
        and raises Refused naming who holds it (pid, prepared transaction) when
        that takes too long. A mark is put in the log behind the returned
        position, so that a follower reaches it at once.
        """

    async def probe_write(self) -> bool:
        """Write through the fenced path, and take it back; False when the fence refused it."""

    async def keep_log(self, *, guard: Guard) -> Position:
        """Make the slot for the peer, if it is not there; return a position that it holds."""

    async def release_log(self, *, guard: Guard) -> None:
        """Drop the slot, ending its reader first."""

    async def follow(self, *, backfill: bool, guard: Guard, rejoin: bool = False) -> None:
        """Tell the site's worker to follow the peer.

        `rejoin`: this site is back after a parting. Its worker first takes the
        peer's version of every row that was merged, and then writes whole rows
        whether they are there or not.
        """

    async def throttle(self, *, pace: int | None, guard: Guard) -> None:
        """Bound how many rows a second the site's worker copies; kept through a later `follow`."""

    async def unfollow(self, *, guard: Guard) -> None:
        """Tell it to stop; once this returned, no batch of the peer's can still be applied."""

    async def release_brake(self, *, reason: str, guard: Guard) -> None:
        """Let the stopped applier go on past what stopped it for just this reason."""

    async def lead(self) -> Lead:
        """How far this site is ahead of its peer; `end` is on this site's disk already.

        Where nothing of ours is installed, `confirmed` is None and there are no sequences.
        """

    async def references(self) -> Sequence[Reference]:
        """The foreign keys between planned tables that refer to a planned key."""

    async def merge(self, places: Sequence[Place], decide: Decide, *, guard: Guard) -> Sequence[Aside]:
        """Lock these rows, let `decide` say what becomes of them, and write that, in one transaction.

        It goes through this site's own open fence, and the peer sees it in this
        site's log as this site's own change. No user trigger and no cascade
        fires. `decide` is given the rows that are there; what it settles may
        name others too, which must be as it expected. What `kept` holds goes to
        quarantine, each row is recorded for `Rows.merged`, and the peer's log
        counts as applied up to `upto`: so a repetition finds nothing to do.

        Returns the rows that differ from what was expected, that a constraint
        refuses, or that a foreign key between planned tables would leave
        dangling (nothing else checks those here), each with the reason; then
        nothing was changed at all.
        """

    async def forget_merged(self, *, guard: Guard) -> None:
        """The peer follows again: `Rows.merged` answers nothing from now on. Quarantine stays."""

    async def quarantine(self) -> Sequence[Quarantined]:
        """The kept versions that nobody has decided on, oldest first."""

    async def resolve(self, number: int, *, take: bool) -> None:
        """An operator decided on a kept version.

        `take`: it is written over what stands there now, but for its counters,
        through the fence; else what stands there stays. Its objects are here
        already. Refused when there is no such number.
        """

    async def sequences(self) -> dict[str, int]:
        """The last value of each sequence that gives a planned table its ids."""

    async def raise_sequences(self, values: Mapping[str, int], *, guard: Guard) -> None:
        """Raise sequences to at least these values, or to their end; none is ever lowered."""

    async def watch_touched(self, *, guard: Guard) -> None:
        """From now on, record each key that the applier touches."""

    async def touched(self, limit: int) -> dict[str, list[Key]]:
        """Up to `limit` recorded keys of each table, oldest first."""

    async def forget_touched(self, keys: Mapping[str, Sequence[Key]]) -> None:
        """Forget keys that were compared, unless they were touched again since they were read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigestPage:
    """A page of rows in the order of this site's own key index."""

    rows: dict[Key, RowDigest]
    last: Key | None  #: where the next page starts; None: this was the table's end


class Rows(Protocol):
    """What is read from a site's tables to copy and to compare them."""

    async def read_chunk(self, table: str, after: Key | None, limit: int) -> Chunk:
        """Read up to `limit` rows past `after`, with the snapshot that they were read in."""

    async def mark(self, name: str) -> None:
        """Write a transactional mark into the log, after the chunk of that name was read."""

    async def read_again(self, table: str, key: Key) -> tuple[Transaction | None, Snapshot]:
        """The row as a change to apply, None when it is not there, and the snapshot of this answer."""

    async def digests(self, table: str, after: Key | None, limit: int) -> DigestPage:
        """Digest each row past `after`; the digests of equal rows are equal at both sites."""

    async def digests_of(self, table: str, keys: Sequence[Key]) -> dict[Key, RowDigest]:
        """Digest these rows; those that are not there are left out."""

    async def rows_of(self, table: str, keys: Sequence[Key]) -> dict[Key, Row]:
        """These rows whole, as the log would carry them; those that are not there are left out."""

    async def referring(self, reference: Reference, parents: Sequence[Key]) -> dict[Key, list[Key]]:
        """By key of the parent: the rows of the child table that refer to it."""

    async def merged(self) -> list[tuple[str, Key]]:
        """The rows, table and key, that this site has merged from its peer since they parted."""


class ChangeLog(Protocol):
    """The peer's log, read from the slot that is kept for this site."""

    def read(self) -> AsyncIterator[LogItem]:
        """Whole transactions in commit order, from the slot's confirmed position on.

        What was read before a crash and not confirmed comes again.
        """

    async def check_reaches(self, applied: Position) -> None:
        """Raise Refused when one of the two has forgotten (S11).

        The log ends before `applied`: its database has. It is kept only from
        behind `applied` on: whoever applied has, and a gap would come between.
        """

    async def confirm(self, position: Position) -> None:
        """Let the peer forget its log up to here: only positions durable at this site."""

    async def close(self) -> None:
        """Stop reading and free the slot for another reader."""


class Applier(Protocol):
    """The one ordered writer of the peer's changes at this site.

    Every batch checks, in its own transaction, that this site is still told to
    follow under this guard (else StaleTerm), and commits the position with it.
    """

    async def following(self) -> Following | None:
        """What the worker has been told; None: to stand still."""

    async def start(self) -> Position | None:
        """Become the only applier; return how far the peer's log is in (None: nothing yet)."""

    async def copying(self) -> Sequence[Copying]:
        """How far each planned table has been copied."""

    async def set_aside(self) -> Sequence[Aside]:
        """Rows that are set aside, some hundreds at most."""

    async def apply(
        self,
        batch: Sequence[Transaction],
        *,
        upserting: Collection[str],
        aside: Sequence[Aside],
        guard: Guard,
    ) -> Sequence[Aside]:
        """Apply whole transactions, in order, in one commit together with the last one's position.

        In tables of `upserting` an update or insert of a row writes the whole
        row whether it is there or not. A row named in `aside`, or refused by a
        constraint, is set aside with the reason; a later change of the same key
        that can be applied takes it out again. Returns the rows set aside by
        constraints.

        Refused when this site is open for writes and the batch holds changes:
        whoever serves has drained its peer, or was parted from it, and then
        what the peer wrote is merged and never applied.

        Returns the rows set aside by constraints. A row with an `UNCHANGED`
        value that is not there comes back as an Aside too, with the reason
        READ_AGAIN.
        """

    async def place(
        self,
        chunk: Chunk,
        *,
        without: Collection[Key],
        aside: Sequence[Aside],
        mark: Transaction,
        guard: Guard,
    ) -> None:
        """Write a chunk's rows, except keys of `without`, and how far the table is now copied.

        `mark` is the transaction that carried the chunk's mark; its position is committed with it.
        """

    async def passed(self, position: Position, *, guard: Guard) -> None:
        """Record that the log holds nothing for us up to `position`."""

    async def brake(self, reason: str, *, guard: Guard) -> None:
        """Stop, durably, before a batch that must not be applied unseen."""

    async def durable(self) -> Position | None:
        """How far the peer's log is in and on this site's disk."""

    async def close(self) -> None:
        """Let another applier take over."""


READ_AGAIN = "read again"
"""Reason of an Aside whose row must be read from the peer again: the log left a large value out."""
