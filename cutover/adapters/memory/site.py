"""The port SiteDatabase over a memory server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from cutover.adapters.memory.server import MemoryServer
from cutover.errors import Refused, StaleTerm
from cutover.model.action import Guard
from cutover.model.change import Key
from cutover.model.observation import Copying, Fence, Following, Instant, SiteFacts
from cutover.model.position import Position

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
        await self.server.reach()

    async def instant(self) -> Instant:
        """The server's own clock."""
        await self.server.reach()
        reading = Instant(int(self.server.clock() * SECOND), self.server.boot)
        await self.server.reach()
        return reading

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
        self.server.opened = True
        await self.server.reach()

    async def close(self, *, guard: Guard) -> Position:
        """Refuse writes; answer the end of the log once no writer is left."""
        await self.server.reach()
        for _ in range(CLOSE_LOOKS):
            if self.server.writers == 0:
                break
            await self.server.reach()
        else:
            raise Refused(f"{self.server.writers} writer(s) hold the fence of {self.site!r}: end them first")
        self.server.pass_guard(guard)
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

    async def follow(self, *, backfill: bool, guard: Guard) -> None:
        """Tell the worker to follow the peer."""
        await self.server.reach()
        self.server.pass_guard(guard)
        self.server.told = Following(backfill=backfill, guard=guard)
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
        """Raise to at least these values."""
        await self.server.reach()
        self.server.pass_guard(guard)
        for name, value in values.items():
            self.server.sequence[name] = max(value, self.server.sequence.get(name, 0))
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
    if server.told is None or server.told.guard != guard:
        seen = server.told.guard if server.told else server.guard
        raise StaleTerm(site=server.site, carried=(guard.term, guard.entry), seen=(seen.term, seen.entry))
    if server.told.braked:
        raise Refused(f"the applier of {server.site!r} is stopped: {server.told.braked}")
    return server.told
