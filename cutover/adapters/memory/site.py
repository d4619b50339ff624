"""The port SiteDatabase over a memory server."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cutover.adapters.memory.server import Fenced, MemoryServer
from cutover.errors import Refused, SiteUnreachable, StaleTerm
from cutover.model.action import Guard
from cutover.model.change import Change, Delete, Insert, Key, Row, Update
from cutover.model.merge import Kept, Quarantined, Reference, Settled
from cutover.model.observation import Copying, Fence, Following, Instant, Lead, SiteFacts
from cutover.model.position import Position
from cutover.ports.database import Aside, Decide, Place
from cutover.protocol.merging import parents_of, taken

HOLD_SECONDS = 10.0
"""Longest that a merge may hold its rows while nothing is heard of who carries it out."""
CLOSE_LOOKS = 2_000
"""Looks for writers that still hold the fence before a close is refused."""
SECOND = 1_000_000


@dataclass(slots=True)
class MemorySite:
    """What the coordinator and the agent do to one memory database."""

    server: MemoryServer
    _read_at: dict[tuple[str, Key], int] = field(default_factory=dict)

    @property
    def site(self) -> str:
        """The site's name."""
        return self.server.site

    async def look(self) -> SiteFacts:
        """One consistent look."""
        await self.server.reach()
        facts = self.server.facts()
        await self.server.reach()
        return facts

    async def durable(self) -> Position | None:
        """How far the peer's log is in, once that is on the disk."""
        await self.server.reach()
        applied = self.server.applied
        self.server.disk.sync(self.server.slot)
        await self.server.reach()
        return applied

    async def fence(self) -> Fence:
        """The fence alone."""
        await self.server.reach()
        fence = self.server.fence()
        await self.server.reach()
        return fence

    async def prepare(self, *, guard: Guard) -> None:
        """Install the fence: not asked for yet at the source, closed at the target."""
        await self.server.reach()
        self.server.pass_guard(guard)
        if not self.server.prepared:
            self.server.prepared = True
            self.server.opened = self.site == self.server.plan.source
        await self.server.reach()

    async def remove(self, *, guard: Guard | None = None) -> None:
        """Take out everything of ours."""
        await self.server.reach()
        server = self.server
        if guard is not None and server.prepared:
            server.pass_guard(guard)
        server.register_seen = (0, 0)
        server.prepared, server.opened, server.epoch = False, False, 0
        server.told, server.applied, server.slot, server.guard = None, None, None, Guard(0, 0)
        server.copying, server.aside, server.touched, server.watching = {}, {}, {}, False
        server.quarantine, server.decided, server.merged = {}, {}, {}
        server.standing = False
        await self.server.reach()

    async def instant(self) -> Instant:
        """The server's own clock."""
        await self.server.reach()
        reading = Instant(int(self.server.clock() * SECOND), self.server.boot)
        await self.server.reach()
        return reading

    async def lend(self, *, epoch: int, lease_count: int, seconds: float) -> bool:
        """Let the peer serve on although the witness is gone."""
        await self.server.reach()
        server = self.server
        newest = max(self.server.register_seen[0], server.epoch)
        willing = server.prepared and not server.opened and epoch >= newest
        lends = willing and (epoch, lease_count) > server.withheld
        if lends:
            server.lent_until, server.lent_seconds = server.clock() + seconds, seconds
            server.lent_boot = server.boot
            server.disk.sync(server.slot)
        await server.reach()
        return lends

    async def withhold(self, *, epoch: int, lease_count: int) -> bool:
        """Lend nothing more, and say whether what was lent is over."""
        await self.server.reach()
        server = self.server
        server.withheld = max(server.withheld, (epoch, lease_count))
        if server.lent_boot != server.boot and server.lent_seconds:
            server.lent_until, server.lent_boot = server.clock() + server.lent_seconds, server.boot
        server.disk.sync(server.slot)
        over = server.clock() >= server.lent_until
        await server.reach()
        return over

    async def renew_lease(self, *, epoch: int, started: Instant, seconds: float) -> None:
        """Let the site write for longer."""
        await self.server.reach()
        if epoch == self.server.epoch:
            self._lease(started, seconds)
        await self.server.reach()

    def _lease(self, started: Instant, seconds: float) -> None:
        if started.boot == self.server.boot:
            self.server.lease_boot = started.boot
            self.server.lease_until = started.microseconds / SECOND + seconds

    async def open(self, *, epoch: int, started: Instant, seconds: float, guard: Guard) -> None:
        """Accept writes under `epoch`."""
        await self.server.reach()
        self.server.pass_guard(guard)
        if epoch < self.server.epoch:
            raise Refused(f"{self.site!r} has seen epoch {self.server.epoch}: not opened under {epoch}")
        self.server.epoch = epoch
        self._lease(started, seconds)
        self.server.opened, self.server.standing = True, False
        await self.server.reach()

    async def close(self, *, guard: Guard) -> Position:
        """Refuse writes; answer the end of the log once no writer is left."""
        await self.server.reach()
        for _ in range(CLOSE_LOOKS):
            if self.server.writers == 0:
                break
            await self.server.between("locked")
        else:
            raise Refused(f"{self.server.writers} writer(s) hold the fence of {self.site!r}: end them first")
        self.server.pass_guard(guard)
        self.server.standing = self.server.standing or (self.server.opened and self.server.epoch > 0)
        self.server.opened = False
        end = self.server.end
        self.server.show(self.server.commit((), request=None, mark="closed"))
        await self.server.reach()
        return end

    async def probe_write(self) -> bool:
        """Whether the fence lets a write pass."""
        await self.server.reach()
        answer = self.server.accepts_writes()
        await self.server.reach()
        return answer

    async def keep_log(self, *, guard: Guard) -> Position:
        """Keep the log from here on, for the peer."""
        await self.server.reach()
        self.server.pass_guard(guard)
        if self.server.slot is None:
            self.server.slot = len(self.server.log)
        await self.server.reach()
        return self.server.position(self.server.slot)

    async def release_log(self, *, guard: Guard) -> None:
        """Keep it no longer."""
        await self.server.reach()
        if self.server.prepared:
            self.server.pass_guard(guard)
        self.server.slot = None
        await self.server.reach()

    async def follow(self, *, backfill: bool, guard: Guard, rejoin: bool = False) -> None:
        """Tell the worker to follow the peer."""
        await self.server.reach()
        self.server.pass_guard(guard)
        pace = self.server.told.pace if self.server.told else None
        self.server.told = Following(backfill=backfill, guard=guard, rejoin=rejoin, pace=pace)
        self.server.standing = False
        if backfill:
            for table in self.server.plan.tables:
                fresh = Copying(table=table.qualified, after=None, done=False)
                self.server.copying.setdefault(table.qualified, fresh)
        await self.server.reach()

    async def unfollow(self, *, guard: Guard) -> None:
        """Tell it to stop."""
        await self.server.reach()
        if self.server.prepared:
            self.server.pass_guard(guard)
        self.server.told = None
        await self.server.reach()

    async def throttle(self, *, pace: int | None, guard: Guard) -> None:
        """Bound how fast the worker copies."""
        await self.server.reach()
        self.server.pass_guard(guard)
        if self.server.told is not None:
            self.server.told = replace(self.server.told, pace=pace)
        await self.server.reach()

    async def lead(self) -> Lead:
        """How far this site is ahead of its peer."""
        await self.server.reach()
        server = self.server
        lead = Lead(
            end=server.synced_end,
            confirmed=None if server.slot is None else server.position(server.slot),
            transactions=server.xid,
            settled=min(server.committing, default=server.xid + 1) - 1,
            sequences=tuple(sorted(server.sequence.items())),
            bounds=tuple(sorted(server.bounds.items())),
        )
        await server.reach()
        return lead

    async def references(self) -> Sequence[Reference]:
        """The foreign keys between planned tables."""
        return self.server.references

    async def merge(self, places: Sequence[Place], decide: Decide, *, guard: Guard) -> Sequence[Aside]:
        """Lock these rows, decide, and write what was settled, in one transaction."""
        await self.server.reach()
        self.server.pass_guard(guard)
        if not self.server.accepts_writes():
            raise Fenced(self.server.site, self.server.epoch)
        while self.server.locked(places):
            await self.server.between("locked")
        self.server.held, boot = dict.fromkeys(places), self.server.boot
        self.server.held_until = self.server.clock() + HOLD_SECONDS
        self.server.writers += 1
        try:
            decided = await decide(self._rows(places))
            if self.server.boot != boot or self.server.clock() > self.server.held_until:
                raise SiteUnreachable(self.site, "the merge was ended: it was silent, or the server died")
            return await self._merged(decided.settled, decided.upto, guard)
        finally:
            if self.server.boot == boot:
                self.server.held = {}
                self.server.writers -= 1

    def _rows(self, places: Sequence[Place]) -> dict[Place, Row]:
        tables = self.server.tables
        return {(table, key): dict(tables[table][key]) for table, key in places if key in tables[table]}

    async def _merged(self, settled: Sequence[Settled], upto: Position, guard: Guard) -> Sequence[Aside]:
        self.server.pass_guard(guard)
        if not self.server.accepts_writes():
            raise Fenced(self.server.site, self.server.epoch)
        refused = [*self._against(settled), *self._dangling(settled)]
        if not refused:
            self._write([one for one in settled if one.changes])
            self._keep([kept for one in settled for kept in one.kept])
            for one in settled:
                self.server.merged[one.table, one.key] = None
                self.server.aside.pop((one.table, one.key), None)
            self.server.applied = upto
        await self.server.reach()
        return refused

    def _against(self, settled: Sequence[Settled]) -> Iterator[Aside]:
        """What stands in the way of each row; rows that are not visible yet are still locked."""
        server = self.server
        leaving = {(one.table, one.key) for one in settled if one.row is None}
        for one in settled:
            here = server.tables[one.table].get(one.key)
            if here != one.expected:
                yield Aside(table=one.table, key=one.key, reason="it was changed meanwhile")
            elif one.changes and one.row is not None:
                rival = self._rival(one.table, one.key, one.row)
                if rival is not None and (one.table, rival) not in leaving:
                    yield Aside(table=one.table, key=one.key, reason=f"{'/'.join(rival)} is equal to it")

    def _dangling(self, settled: Sequence[Settled]) -> Iterator[Aside]:
        """Foreign keys that would refer to nothing: nobody else checks them here."""
        after = {(one.table, one.key): one.row for one in settled}
        gone = {place for place, row in after.items() if row is None}
        for one in settled:
            if not one.changes:
                continue
            if one.row is not None:
                for table, key in parents_of(self.server.references, one.table, one.row):
                    if after.get((table, key), self.server.tables[table].get(key)) is None:
                        yield Aside(table=one.table, key=one.key, reason=f"it refers to {table}, not there")
            elif any(True for _ in self._children(one.table, one.key, gone)):
                yield Aside(table=one.table, key=one.key, reason="a row refers to it")

    def _children(self, table: str, key: Key, gone: Container[tuple[str, Key]]) -> Iterator[Key]:
        for reference in self.server.references:
            if reference.parent == table:
                for child, row in self.server.tables[reference.child].items():
                    hangs = tuple(row.get(column) for column in reference.columns) == key
                    if hangs and (reference.child, child) not in gone:
                        yield child

    def _rival(self, table: str, key: Key, row: Row) -> Key | None:
        """Another row with the same value where values must differ."""
        for column in self.server.unique.get(table, ()):
            for other, there in self.server.tables[table].items():
                if other != key and there.get(column) == row.get(column):
                    return other
        return None

    def _write(self, settled: Sequence[Settled]) -> None:
        changes: list[Change] = []
        for one in settled:
            if one.row is None:
                changes.append(Delete(one.table, one.key))
            elif one.expected is None:
                changes.append(Insert(one.table, one.key, one.row))
            else:
                changes.append(Update(one.table, one.key, one.row))
        if changes:
            self.server.show(self.server.commit(changes, request=None))

    def _keep(self, versions: Sequence[Kept]) -> None:
        for kept in versions:
            self.server.kept += 1
            self.server.quarantine[self.server.kept] = kept

    async def forget_merged(self, *, guard: Guard) -> None:
        """The peer follows again."""
        await self.server.reach()
        self.server.pass_guard(guard)
        self.server.merged = {}
        await self.server.reach()

    async def quarantine(self) -> Sequence[Quarantined]:
        """The kept versions that nobody has decided on."""
        await self.server.reach()
        return [Quarantined(number=number, kept=kept) for number, kept in self.server.quarantine.items()]

    async def resolve(self, number: int, *, take: bool) -> None:
        """An operator decided on a kept version."""
        await self.server.reach()
        kept = self.server.quarantine.get(number)
        if kept is None:
            raise Refused(f"nothing in the quarantine of {self.site!r} has the number {number}")
        if take:
            if not self.server.accepts_writes():
                raise Fenced(self.server.site, self.server.epoch)
            here = self.server.tables[kept.table].get(kept.key)
            row = taken(self.server.plan, kept, here)
            self._write([Settled(table=kept.table, key=kept.key, expected=here, row=row)])
        self.server.decided[number] = self.server.quarantine.pop(number)
        await self.server.reach()

    async def remember_register(self, *, epoch: int, revision: int) -> bool:
        """Whether the witness shows at least what this site has seen of it."""
        await self.server.reach()
        if not self.server.prepared:
            return True
        newest = max(self.server.register_seen, (epoch, revision))
        self.server.register_seen = newest
        await self.server.reach()
        return newest == (epoch, revision)

    async def release_brake(self, *, reason: str, guard: Guard) -> None:
        """Let what stopped the applier pass."""
        await self.server.reach()
        self.server.pass_guard(guard)
        if self.server.told is not None and self.server.told.braked == reason:
            self.server.told = replace(self.server.told, braked=None, released=self.server.told.braked)
        await self.server.reach()

    async def sequences(self) -> dict[str, int]:
        """The last value of each."""
        await self.server.reach()
        return dict(self.server.sequence)

    async def raise_sequences(self, values: Mapping[str, int], *, guard: Guard) -> None:
        """Raise to at least these values, or to the end."""
        await self.server.reach()
        self.server.pass_guard(guard)
        for name, value in values.items():
            reached = min(value, self.server.bounds.get(name, value))
            self.server.sequence[name] = max(reached, self.server.sequence.get(name, 0))
        await self.server.reach()

    async def watch_touched(self, *, guard: Guard) -> None:
        """Record what the applier touches from now on."""
        await self.server.reach()
        self.server.pass_guard(guard)
        self.server.watching = True
        await self.server.reach()

    async def touched(self, limit: int) -> dict[str, list[Key]]:
        """Keys that were touched, the first ones first."""
        await self.server.reach()
        self._read_at = dict(list(self.server.touched.items())[:limit])
        found: dict[str, list[Key]] = {}
        for table, key in self._read_at:
            found.setdefault(table, []).append(key)
        return found

    async def forget_touched(self, keys: Mapping[str, Sequence[Key]]) -> None:
        """Forget them, unless they were touched again."""
        await self.server.reach()
        for table, forgotten in keys.items():
            for key in forgotten:
                if self.server.touched.get((table, key)) == self._read_at.get((table, key)):
                    self.server.touched.pop((table, key), None)


def refuse_unless_told(server: MemoryServer, guard: Guard) -> Following:
    """What every batch of an applier checks in its own transaction."""
    if server.told is None or server.standing or server.told.guard != guard:
        seen = server.told.guard if server.told else server.guard
        raise StaleTerm(site=server.site, carried=(guard.term, guard.entry), seen=(seen.term, seen.entry))
    if server.told.braked:
        raise Refused(f"the applier of {server.site!r} is stopped: {server.told.braked}")
    return server.told


def refuse_if_open(server: MemoryServer) -> None:
    """Whoever serves has drained its peer, or was parted from it: what that wrote is merged, not applied."""
    if server.prepared and server.opened and server.epoch > 0:
        raise Refused(f"{server.site!r} is open under epoch {server.epoch}: it applies no writes of its peer")
