"""One site's PostgreSQL database, as the coordinator and the agent use it."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import LiteralString

from psycopg import errors
from psycopg.sql import SQL

from cutover.adapters.postgres import fetch, names
from cutover.adapters.postgres.applied import durable_position
from cutover.adapters.postgres.closing import close_fence
from cutover.adapters.postgres.connect import CONNECT_SECONDS, Connections, PostgresAddress
from cutover.adapters.postgres.facts import FenceRow, LeadRow, LookRow
from cutover.adapters.postgres.install import Installation
from cutover.adapters.postgres.merging import merging
from cutover.adapters.postgres.quarantine import leave as leave_kept
from cutover.adapters.postgres.quarantine import take as take_kept
from cutover.adapters.postgres.quarantine import undecided
from cutover.adapters.postgres.references import foreign_keys
from cutover.adapters.postgres.slots import GUARD, NOT_INSTALLED, drop_slot, make_slot
from cutover.adapters.postgres.statements import lead, look, statement
from cutover.errors import Refused
from cutover.model.action import Guard
from cutover.model.change import Key
from cutover.model.merge import Quarantined, Reference
from cutover.model.observation import Fence, FenceState, Instant, Lead, SiteFacts
from cutover.model.plan import Plan
from cutover.model.position import Position
from cutover.ports.database import Aside, Decide, Place

CLOSE_SECONDS = 10.0
SETUP_SECONDS = 60.0
"""Bounds (s) of a whole close and of a whole installation, retries included."""

MICROSECONDS = 1_000_000


class PostgresSite:
    """Fulfils `cutover.ports.database.SiteDatabase` for a PostgreSQL database with a plan."""

    def __init__(
        self, *, site: str, connection: PostgresAddress, plan: Plan, timeout: float = CONNECT_SECONDS
    ) -> None:
        self._site = site
        self._plan = plan
        self._address = connection
        self._slot = names.slot(connection.database)
        self._connections = Connections(connection, site=site, timeout=timeout)
        self._installation = Installation(site, connection.database, plan)
        self._tables = [names.quoted(table) for table in plan.tables]
        self._touched_read: dict[tuple[str, Key], int] = {}
        self._looking = {
            "slot": self._slot,
            "trigger": names.TRIGGER,
            "tables": [*self._tables, "cutover.probe"],
        }

    @property
    def site(self) -> str:
        """The site's name, for messages."""
        return self._site

    async def close_connections(self) -> None:
        """Let go of what is kept open; the object may be used again."""
        await self._connections.close()

    async def look(self) -> SiteFacts:
        """One consistent look; `end` is read last."""
        async with self._connections.use(effect=False) as connection:
            try:
                return (await fetch.one(connection, LookRow, look(), self._looking)).facts()
            except NOT_INSTALLED:
                return SiteFacts(
                    fence=Fence(state=FenceState.ABSENT), end=(await fetch.end(connection)).position()
                )

    async def durable(self) -> Position | None:
        """How far the peer's log is in and on this site's disk; None: nothing yet."""
        async with self._connections.use(effect=False) as connection:
            return await durable_position(connection)

    async def fence(self) -> Fence:
        """The fence alone, in one round trip."""
        async with self._connections.use(effect=False) as connection:
            try:
                row = await fetch.one(connection, FenceRow, statement("fence_facts"), self._looking)
                return row.fence()
            except NOT_INSTALLED:
                return Fence(state=FenceState.ABSENT)

    async def prepare(self, *, guard: Guard) -> None:
        """Install records, fence and publication; what is there already stays as it is.

        At the plan's source the fence starts at epoch 0, open without a lease:
        writes go on until `open` takes the site over. At the target it starts closed.
        """
        async with self._connections.use(effect=True, seconds=SETUP_SECONDS) as connection:
            await self._installation.install(connection, guard)

    async def remove(self, *, guard: Guard | None = None) -> None:
        """Take out everything of ours; Refused names what holds it.

        Without a guard it is an operator who asks.
        """
        async with self._connections.use(effect=True, seconds=SETUP_SECONDS) as connection:
            await self._installation.remove(connection, guard)

    async def remember_register(self, *, epoch: int, revision: int) -> bool:
        """Remember the newest register that this site has been shown; False when this one is older.

        A lost answer may be asked for again. True where nothing of ours is installed.
        """
        parameters = {"epoch": epoch, "revision": revision}
        async with self._connections.use(effect=False) as connection:
            try:
                found = await connection.execute(statement("remember_register"), parameters)
            except NOT_INSTALLED:
                return True
            return await found.fetchone() in (None, (True,))

    async def lend(self, *, epoch: int, lease_count: int, seconds: float) -> bool:
        """Let the peer serve on for `seconds` although the witness is gone; durable before it is answered.

        False where nothing of ours is installed.
        """
        parameters = [epoch, lease_count, round(seconds * MICROSECONDS)]
        return await self._asked("select cutover.lend(%s, %s, %s)::int", parameters, otherwise=False)

    async def withhold(self, *, epoch: int, lease_count: int) -> bool:
        """Lend nothing more up to this renewal; whether nothing that was lent runs any more."""
        parameters = [epoch, lease_count]
        return await self._asked("select cutover.withhold(%s, %s)::int", parameters, otherwise=True)

    async def instant(self) -> Instant:
        """The server's clock, read before a renewal is sent to the witness."""
        query = SQL(  # not our own functions: an agent asks before anything of ours is installed
            "select (extract(epoch from clock_timestamp()) * 1000000)::bigint as microseconds,"
            " (extract(epoch from pg_postmaster_start_time()) * 1000000)::bigint as boot"
        )
        async with self._connections.use(effect=False) as connection:
            return await fetch.one(connection, Instant, query)

    async def renew_lease(self, *, epoch: int, started: Instant, seconds: float) -> None:
        """Let the site write until `started` + `seconds`; no effect if it restarted or has another epoch."""
        # The end of a lease need not outlive the server, so nobody waits for the disk.
        query = SQL(
            "begin; set local synchronous_commit = off; select cutover.renew_lease({}, {}, {}); commit"
        )
        async with self._connections.use(effect=True) as connection:
            try:
                await connection.execute(query.format(epoch, _until(started, seconds), started.boot))
            except NOT_INSTALLED:  # where nothing of ours is, no lease is asked for
                await connection.rollback()

    async def open(self, *, epoch: int, started: Instant, seconds: float, guard: Guard) -> None:
        """Accept writes under `epoch`, with a lease. Refused when the site has seen a newer epoch."""
        await self._effect(
            "select cutover.open_fence(%s, %s, %s, %s, %s)",
            [epoch, _until(started, seconds), started.boot, guard.term, guard.entry],
        )

    async def close(self, *, guard: Guard) -> Position:
        """Refuse writes; return the end of the log, read when no writer was left."""
        async with self._connections.use(effect=True, seconds=CLOSE_SECONDS) as connection:
            end = await fetch.end(connection)
            offset = await close_fence(connection, self._site, guard)
            return Position(end.system, end.timeline, end.at(offset))

    async def probe_write(self) -> bool:
        """Write through the fenced path, take it back, and commit something else durably.

        False when the fence refused it; SiteUnreachable when the commit does not come back.
        """
        async with self._connections.use(effect=False) as connection:
            try:
                await connection.execute(statement("probe_write"))
            except errors.ReadOnlySqlTransaction:
                await connection.rollback()
                return False
            except NOT_INSTALLED:
                await connection.rollback()
                return True  # no fence refuses anybody yet
            return True

    async def keep_log(self, *, guard: Guard) -> Position:
        """Make the slot for the peer, if it is not there; return a position that it holds."""
        async with self._connections.use(effect=True, seconds=SETUP_SECONDS) as connection:
            offset = await make_slot(connection, self._site, self._slot, guard)
            end = await fetch.end(connection)
            return Position(end.system, end.timeline, offset)

    async def release_log(self, *, guard: Guard) -> None:
        """Drop the slot, ending its reader first."""
        async with self._connections.use(effect=True, seconds=SETUP_SECONDS) as connection:
            await drop_slot(connection, self._site, self._slot, guard)

    async def follow(self, *, backfill: bool, guard: Guard, rejoin: bool = False) -> None:
        """Tell the site's worker to follow the peer."""
        tables = [table.qualified for table in self._plan.tables]
        await self._effect(
            "select cutover.follow_peer(%s, %s, %s, %s, %s)",
            [backfill, rejoin, tables, guard.term, guard.entry],
        )

    async def throttle(self, *, pace: int | None, guard: Guard) -> None:
        """Bound how many rows a second the site's worker copies; kept through a later `follow`."""
        await self._effect("select cutover.throttle(%s, %s, %s)", [pace, guard.term, guard.entry])

    async def unfollow(self, *, guard: Guard) -> None:
        """Tell it to stop; once this returned, no batch of the peer's can still be applied."""
        async with self._connections.use(effect=True) as connection:
            with suppress(*NOT_INSTALLED):  # where nothing of ours is, nobody follows
                await connection.execute("select cutover.unfollow_peer(%s, %s)", [guard.term, guard.entry])

    async def release_brake(self, *, reason: str, guard: Guard) -> None:
        """Let the stopped applier go on past what stopped it for just this reason."""
        await self._effect("select cutover.release_brake(%s, %s, %s)", [reason, guard.term, guard.entry])

    async def lead(self) -> Lead:
        """How far this site is ahead of its peer; `end` is on this site's disk already."""
        parameters = {"slot": self._slot, "tables": self._tables}
        async with self._connections.use(effect=False) as connection:
            return (await fetch.one(connection, LeadRow, lead(), parameters)).lead()

    async def references(self) -> Sequence[Reference]:
        """The foreign keys between planned tables that refer to a planned key."""
        async with self._connections.use(effect=False) as connection:
            found = await foreign_keys(connection, self._plan)
        named = (key.reference(self._plan) for key in found)
        return list(dict.fromkeys(reference for reference in named if reference is not None))

    async def merge(self, places: Sequence[Place], decide: Decide, *, guard: Guard) -> Sequence[Aside]:
        """Lock these rows, decide, and write what was settled, in one transaction."""
        async with merging(self._address, self._site, self._plan) as transaction:
            await transaction.pass_guard(guard)
            decided = await decide(await transaction.lock(places))
            refused = await transaction.write(decided.settled)
            if not refused:
                await transaction.record(decided.settled, decided.upto)
                await transaction.commit()
            return refused

    async def forget_merged(self, *, guard: Guard) -> None:
        """The peer follows again: `Rows.merged` answers nothing from now on. Quarantine stays."""
        await self._effect("select cutover.forget_merged(%s, %s)", [guard.term, guard.entry])

    async def quarantine(self) -> Sequence[Quarantined]:
        """The kept versions that nobody has decided on, oldest first."""
        async with self._connections.use(effect=False) as connection:
            try:
                return await undecided(connection)
            except NOT_INSTALLED:
                return ()

    async def resolve(self, number: int, *, take: bool) -> None:
        """An operator decided on a kept version."""
        if take:
            await take_kept(self._address, self._site, self._plan, number)
            return
        async with self._connections.use(effect=True) as connection:
            await leave_kept(connection, self._site, number)

    async def sequences(self) -> dict[str, int]:
        """The last value of each sequence that gives a planned table ids; those never used are left out."""
        async with self._connections.use(effect=False) as connection:
            found = await connection.execute(statement("sequences"), {"tables": self._tables})
            return {name: value for name, value, *_ in await found.fetchall() if value is not None}

    async def raise_sequences(self, values: Mapping[str, int], *, guard: Guard) -> None:
        """Raise sequences to at least these values, or to their end; none is ever lowered."""
        parameters = {"names": list(values), "values": list(values.values())}
        async with self._connections.use(effect=True) as connection, connection.transaction():
            await connection.execute(GUARD, [guard.term, guard.entry])
            missing = await fetch.texts(connection, statement("missing_sequences"), parameters)
            if missing:
                raise Refused(
                    f"site {self._site!r} has no sequence {', '.join(missing)}, which the other site has: "
                    f"give both sites the same schema, then run this again."
                )
            await connection.execute(statement("raise_sequences"), parameters)

    async def watch_touched(self, *, guard: Guard) -> None:
        """From now on, record each key that the applier touches."""
        await self._effect("select cutover.watch_touched(%s, %s)", [guard.term, guard.entry])

    async def touched(self, limit: int) -> dict[str, list[Key]]:
        """Up to `limit` recorded keys of each table, oldest first."""
        parameters = {"tables": [table.qualified for table in self._plan.tables], "limit": limit}
        async with self._connections.use(effect=False) as connection:
            rows = await (await connection.execute(statement("touched"), parameters)).fetchall()
        found: dict[str, dict[Key, None]] = {}
        for number, table, key in rows:
            found.setdefault(table, {})[tuple(key)] = None
            self._touched_read[table, tuple(key)] = number
        return {table: list(keys) for table, keys in found.items()}

    async def forget_touched(self, keys: Mapping[str, Sequence[Key]]) -> None:
        """Forget keys that were compared, unless they were touched again since they were read."""
        named = [(table, key) for table, listed in keys.items() for key in listed]
        known = [pair for pair in named if pair in self._touched_read]
        parameters = {
            "tables": [table for table, _ in known],
            "keys": [json.dumps(key) for _, key in known],
            "ids": [self._touched_read[pair] for pair in known],
        }
        async with self._connections.use(effect=True) as connection:
            await connection.execute(statement("forget_touched"), parameters)
        for pair in known:
            self._touched_read.pop(pair, None)

    async def _asked(self, query: LiteralString, parameters: Sequence[object], *, otherwise: bool) -> bool:
        """An effect that answers yes or no; `otherwise` where nothing of ours is installed."""
        async with self._connections.use(effect=True) as connection:
            try:
                return bool(await fetch.number(connection, SQL(query), parameters))
            except NOT_INSTALLED:
                return otherwise

    async def _effect(self, query: LiteralString, parameters: Sequence[object]) -> None:
        """One guarded effect, whose statement is its transaction."""
        async with self._connections.use(effect=True) as connection:
            await connection.execute(query, parameters)


def _until(started: Instant, seconds: float) -> int:
    """The end of a lease (microseconds), counted from a reading of the same server's clock."""
    return started.microseconds + round(seconds * MICROSECONDS)
