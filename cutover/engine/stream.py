"""One run of following the peer, from connecting to its log until something fails.

Three things run beside each other. The reader takes transactions from the
peer's log and orders the objects that their rows own. The copier reads chunks
of tables that are not here yet and writes a mark behind each. The applier,
alone, writes: it takes transactions in order, waits for the objects that they
need, and places a chunk where its mark stands in the log.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Collection, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from cutover.engine.parts import Parts
from cutover.engine.supply import Supply, objects_of
from cutover.engine.touched import Touched
from cutover.errors import CutoverError, Refused, SiteUnreachable
from cutover.model.change import Change, Chunk, Delete, Key, LogItem, Quiet, Transaction, Truncate
from cutover.model.observation import Copying, Following
from cutover.model.position import Position
from cutover.ports.database import READ_AGAIN, Applier, Aside, ChangeLog

BATCH_TRANSACTIONS = 50
"""Source transactions that may share one commit here (measured: beyond 50 nothing is gained)."""
BATCH_CHANGES = 5_000
"""Changes after which a commit is made: bounds memory and the time that a guard is held."""
QUEUE_ITEMS = 500
"""Log items read ahead of the applier, so that their objects are copied in parallel."""
CHUNK_ROWS = 20_000
"""Rows of a chunk without objects: a few MB, 0.1-0.2 s to read and place."""
CHUNK_ROWS_WITH_OBJECTS = 200
"""Rows of a chunk whose objects are copied before it is placed."""
SETTLE_LOOKS = 200
SETTLE_SECONDS = 0.05
"""Looks for a row whose transaction is in the log and not visible yet, and the pause between two."""
RECENT_XIDS = 2_000
"""Transactions that may be applied here and not be visible at the peer yet."""
RETRY_SECONDS = 5.0
"""How long rows that are set aside are left alone between two rounds of trying them again."""
RETRY_SHARE_SECONDS = 0.1
"""Longest that one step goes on with such rows: the changes behind them wait meanwhile."""
CONFIRM_SECONDS = 0.25
"""How often the peer is told what is durable here, and a quiet log is recorded."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The reader or the copier could not go on."""

    error: CutoverError


@dataclass(slots=True)
class Stream:
    """`applied` and `copying` are how far this site had come before; they are kept up to date."""

    parts: Parts
    site: str
    peer: str
    log: ChangeLog
    following: Following
    applied: Position | None
    copying: Sequence[Copying]
    _queue: "asyncio.Queue[LogItem | Failure]" = field(default_factory=lambda: asyncio.Queue(QUEUE_ITEMS))
    _chunks: dict[str, Chunk] = field(default_factory=dict)
    _placed: asyncio.Event = field(default_factory=asyncio.Event)
    _pending: dict[str, None] = field(default_factory=dict)  #: tables that are not here to their end
    _touched: Touched = field(default_factory=Touched)
    _quiet: Position | None = None  #: up to here the log is known to hold nothing more for us
    _kept: float = 0.0  #: when the peer was last told what is durable here
    _retried: float = 0.0  #: when the last round of trying rows that are set aside again was over
    _late: deque[Aside] = field(default_factory=deque)  #: what that round has still to try
    _recent: "deque[int]" = field(default_factory=lambda: deque(maxlen=RECENT_XIDS))
    _running: frozenset[int] | None = None  #: at the peer when this run first read a row; None: not asked yet
    _pace: int | None = None  #: rows a second that may be copied
    _met: bool = False  #: the log has come to where this site was when the run began
    began: Position | None = field(init=False)
    _supply: Supply = field(init=False)

    def __post_init__(self) -> None:
        self._supply = Supply(self.parts, self.peer, self.site)
        self.began, self._pace = self.applied, self.following.pace
        self._pending = {table.table: None for table in self.copying if not table.done}

    @property
    def _applier(self) -> Applier:
        return self.parts.appliers[self.site]

    async def run(self) -> None:
        """Apply until something fails; the failure is raised."""
        try:
            if self.following.rejoin:
                await self._take_merged()
            async with self._beside(self._read(), self._copy()):
                while True:
                    await self._step()
        finally:
            await self._supply.close()

    @asynccontextmanager
    async def _beside(self, *coroutines: Coroutine[object, object, None]) -> AsyncIterator[None]:
        tasks = [asyncio.ensure_future(self._reporting(coroutine)) for coroutine in coroutines]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                await asyncio.wait([task])

    async def _reporting(self, coroutine: Coroutine[object, object, None]) -> None:
        """Whatever ends the reader or the copier ends the stream: nobody may wait for them in vain."""
        try:
            await coroutine
        except CutoverError as error:
            await self._queue.put(Failure(error))
        except Exception as error:  # the log may hold what we cannot read: say so, and try again
            trouble = Refused(f"the log of {self.peer!r} cannot be followed: {type(error).__name__}: {error}")
            await self._queue.put(Failure(trouble))

    async def _take_merged(self) -> None:
        """Back after a parting: the peer's version of each row that was merged, and its absence too."""
        merged = await self.parts.rows[self.peer].merged()
        applied = self.applied or (await self.parts.sites[self.peer].lead()).confirmed
        if merged and applied is None:
            raise Refused(f"{self.peer!r} keeps no log for {self.site!r}, which cannot follow it so")
        while merged and not await self._all_visible(*merged[0]):
            await self.parts.clock.sleep(SETTLE_SECONDS)
        for table, key in merged:
            assert applied is not None  # asked above
            found, _ = await self.parts.rows[self.peer].read_again(table, key)
            change = found or Transaction(xid=0, position=applied, changes=(Delete(table, key),))
            whole = [replace(change, position=applied)]
            aside = await self._without_objects(whole)
            await self._applier.apply(whole, upserting=(table,), aside=aside, guard=self.following.guard)

    # -- the reader ------------------------------------------------------------------------

    async def _read(self) -> None:
        async for item in self.log.read():
            if isinstance(item, Transaction) and not item.foreign:
                for change in item.changes:
                    for name in objects_of(self.parts.plan, change):
                        self._supply.order(name)
            await self._queue.put(item)
        raise SiteUnreachable(self.peer, "its log has ended")

    # -- the copier ------------------------------------------------------------------------

    async def _copy(self) -> None:
        for table in self.copying:
            after = table.after
            while table.table in self._pending:
                chunk = await self.parts.rows[self.peer].read_chunk(
                    table.table, after, self._rows(table.table)
                )
                for owner in chunk.owners:
                    for name in owner.objects:
                        self._supply.order(name)
                await self._hand_over(chunk)
                after = chunk.last
                await self._keep_pace(chunk.rows)

    async def _keep_pace(self, rows: int) -> None:
        """An operator may bound it while the copy is under way."""
        told = await self._applier.following()
        self._pace = told.pace if told is not None else None
        if self._pace is not None:
            await self.parts.clock.sleep(rows / self._pace)

    def _rows(self, table: str) -> int:
        most = CHUNK_ROWS_WITH_OBJECTS if self.parts.plan.table(table).objects else CHUNK_ROWS
        return most if self._pace is None else max(1, min(most, self._pace))

    async def _hand_over(self, chunk: Chunk) -> None:
        """Write the chunk's mark into the log, and wait until the applier has met it."""
        name = self.parts.nonce()
        self._chunks[name] = chunk
        self._placed.clear()
        await self.parts.rows[self.peer].mark(name)
        await self._placed.wait()

    # -- the applier -----------------------------------------------------------------------

    async def _step(self) -> None:
        """Take what has come, apply it, and now and then tell the peer how far that is safe."""
        batch = await self._next()
        if batch:
            await self._apply(batch)
        if batch and batch[-1].mark in self._chunks:
            await self._place(self._chunks.pop(batch[-1].mark), batch[-1])
        now = self.parts.clock.monotonic()
        if now - self._kept >= CONFIRM_SECONDS:
            self._kept = now
            await self._keep()
        await self._retry_aside()

    async def _next(self) -> list[Transaction]:
        """Some transactions, the last one perhaps a mark; none if nothing came for a while."""
        try:
            async with asyncio.timeout(CONFIRM_SECONDS):
                item = await self._queue.get()
        except TimeoutError:
            return []
        batch: list[Transaction] = []
        changes = 0
        while True:
            match item:
                case Failure(error):
                    raise error
                case Quiet(position):
                    self._quiet = position
                    return batch
                case Transaction():
                    batch.append(item)
                    changes += len(item.changes)
            full = len(batch) >= BATCH_TRANSACTIONS or changes >= BATCH_CHANGES
            if full or item.mark is not None or self._queue.empty():
                return batch
            item = self._queue.get_nowait()

    async def _apply(self, batch: Sequence[Transaction]) -> None:
        """Apply in order what is not in yet; what a person must see first stops the line."""
        fresh: list[Transaction] = []
        for transaction in batch:
            ours = replace(transaction, changes=()) if transaction.foreign else transaction
            if self._pending:
                self._touched.note(ours)
            self._meet(ours.position)
            if self.applied is not None and self.applied.reaches(ours.position):
                continue
            reason = self.parts.reason_to_brake(self.parts.plan, ours)
            if reason is not None and reason != self.following.released:
                await self._write(fresh)
                await self._applier.brake(reason, guard=self.following.guard)
                raise Refused(reason)
            fresh.append(ours)
        await self._write(fresh)

    async def _write(self, batch: Sequence[Transaction]) -> None:
        if not batch:
            return
        aside = await self._without_objects(batch)
        again = await self._applier.apply(
            batch, upserting=self._upserting(), aside=aside, guard=self.following.guard
        )
        self.applied = batch[-1].position
        self._recent.extend(transaction.xid for transaction in batch if transaction.changes)
        xids = {transaction.xid for transaction in batch if transaction.changes}
        for row in again:
            if row.reason == READ_AGAIN:
                await self._read_again(row, xids)

    def _upserting(self) -> tuple[str, ...]:
        """Tables in which a row may or may not be there: being copied, or merged at the peer."""
        if self.following.rejoin:
            return tuple(table.qualified for table in self.parts.plan.tables)
        return tuple(self._pending)

    async def _without_objects(self, batch: Sequence[Transaction]) -> list[Aside]:
        """Rows whose object cannot be had: they must not become visible (S2).

        The batch becomes visible as one, so only the last change of each row counts.
        """
        last: dict[tuple[str, Key], Change] = {}
        for transaction in batch:
            for change in transaction.changes:
                if not isinstance(change, Truncate):
                    last[change.table, change.key] = change
        aside = []
        for (table, key), change in last.items():
            for name in objects_of(self.parts.plan, change):
                reason = await self._supply.reason_against(name)
                if reason is not None:
                    aside.append(Aside(table=table, key=key, reason=reason))
        return aside

    async def _read_again(self, row: Aside, xids: Collection[int]) -> None:
        """Read a row as it is now at the peer, and apply it.

        `xids` are transactions that were applied here and may not be visible
        there yet: a row read before they are is older than what is here.
        """
        for _ in range(SETTLE_LOOKS):
            found, snapshot = await self.parts.rows[self.peer].read_again(row.table, row.key)
            if all(snapshot.sees(xid) for xid in xids):
                break
            await self.parts.clock.sleep(SETTLE_SECONDS)
        else:
            raise SiteUnreachable(self.peer, "a transaction of its log does not become visible")
        if found is None or self.applied is None:
            return  # it is gone by now: its delete is still to come in the log
        whole = [replace(found, position=self.applied)]
        aside = await self._without_objects(whole)
        await self._applier.apply(whole, upserting=(row.table,), aside=aside, guard=self.following.guard)

    async def _retry_aside(self) -> None:
        """What could not be applied may be possible by now: an object came late, a row was read in vain.

        Some at a time: there may be hundreds, each costs several calls to both
        sites, and no change is applied meanwhile.
        """
        clock = self.parts.clock
        began = clock.monotonic()
        if self.applied is None or (not self._late and began - self._retried < RETRY_SECONDS):
            return
        self._late = self._late or deque(await self._applier.set_aside())
        if self._late and not await self._all_visible(self._late[0].table, self._late[0].key):
            self._late.clear()
        while self._late and clock.monotonic() - began < RETRY_SHARE_SECONDS:
            await self._read_again(self._late.popleft(), self._recent)
        if not self._late:
            self._retried = clock.monotonic()

    async def _all_visible(self, table: str, key: Key) -> bool:
        """Whether a row may be read by itself: all that an earlier run has applied is visible at the peer.

        Such a run may have met a transaction in the log before readers saw it, and
        what it knew of that is gone. A mark has an id behind all of those, so that
        the first snapshot behind it names each that is not over.
        """
        if self._running is None:
            await self.parts.rows[self.peer].mark(self.parts.nonce())
        if self._running is None or self._running:
            _, snapshot = await self.parts.rows[self.peer].read_again(table, key)
            before = snapshot.running if self._running is None else self._running
            self._running = frozenset(xid for xid in before if not snapshot.sees(xid))
        return not self._running

    def _meet(self, position: Position) -> None:
        """Whether everything that was applied before this run has come again, if it had to."""
        self._met = self._met or self.began is None or position.reaches(self.began)

    async def _place(self, chunk: Chunk, mark: Transaction) -> None:
        """Write a chunk where its mark stands, except for rows that the stream has brought since."""
        if self._touched.emptied_since(chunk.table, chunk.snapshot):
            raise Refused(f"{chunk.table} was emptied while it was read: its copy begins anew")
        self._touched.saw(chunk.snapshot)
        aside = []
        for owner in chunk.owners:
            for name in owner.objects:
                reason = await self._supply.reason_against(name)
                if reason is not None:
                    aside.append(Aside(table=chunk.table, key=owner.key, reason=reason))
        await self._applier.place(
            chunk,
            without=self.parts.superseded(chunk.snapshot, self._touched.of(chunk.table)),
            aside=aside,
            mark=mark,
            guard=self.following.guard,
        )
        if chunk.last is None:
            self._pending.pop(chunk.table, None)
        self._placed.set()

    async def _keep(self) -> None:
        """Record a quiet log, and let the peer forget what is durable here."""
        quiet = self._quiet
        if quiet is not None:
            self._meet(quiet)
        if quiet is not None and not (self.applied is not None and self.applied.reaches(quiet)):
            await self._applier.passed(quiet, guard=self.following.guard)
            self.applied = quiet
        durable = await self._applier.durable()
        if durable is None:
            return
        if self._pending and not self._met:
            return  # what is still to come again must be noted first, for the chunks that are read now
        safe = self._touched.confirmable(durable) if self._pending else durable
        if safe is not None:
            await self.log.confirm(safe)
