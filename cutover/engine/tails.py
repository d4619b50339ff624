"""What each of two parted sites did by itself since the fork, as their logs say."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from cutover.engine.parts import Parts
from cutover.errors import Refused, SiteUnreachable
from cutover.model.change import Change, Delete, Insert, Key, LogItem, Row, Transaction, Truncate, Update
from cutover.model.merge import Divergence
from cutover.model.plan import Plan
from cutover.model.position import Position
from cutover.ports.database import ChangeLog
from cutover.protocol.merging import Divergences, Place, fold, is_same_thing

PAGE = 1_000
"""Rows of a page while a site that has forgotten is compared."""


@dataclass(slots=True)
class Tail:
    """One site's own transactions after the fork, as far as its log was read."""

    parts: Parts
    site: str
    log: ChangeLog
    items: AsyncIterator[LogItem]
    after: Position | None  #: what the peer has of it; None: it has nothing that the slot still holds
    transactions: list[Transaction] = field(default_factory=list)
    end: Position | None = None
    requests: set[str] = field(default_factory=set)  #: what users asked for
    made: dict[Place, str | None] = field(default_factory=dict)  #: rows that it inserted, for which request
    _alone: Divergences = field(default_factory=dict)  #: what was done to each row, of the first `_folded`
    _folded: int = 0

    async def read_to_now(self) -> None:
        """Read on until everything that is committed at this moment has come: a mark of ours is behind it."""
        name = self.parts.nonce()
        await self.parts.rows[self.site].mark(name)
        async for item in self.items:
            self.end = item.position
            if isinstance(item, Transaction):
                self._take_in(item)
                if item.mark == name:
                    return
        raise SiteUnreachable(self.site, "its log has ended")

    def _take_in(self, item: Transaction) -> None:
        known = self.after is not None and self.after.reaches(item.position)
        if item.foreign or not item.changes or known:
            return
        emptied = [name for change in item.changes if isinstance(change, Truncate) for name in change.tables]
        if emptied:
            raise Refused(
                f"transaction {item.xid} at {item.position} empties {', '.join(emptied)}: what is "
                f"stranded cannot be merged row by row. Nothing was changed. Look at both sites, then "
                f"`cutover abandon`."
            )
        self.transactions.append(item)
        self.requests |= {item.request} if item.request is not None else set()
        inserts = (one for one in item.changes if isinstance(one, Insert))
        self.made |= {(one.table, one.key): item.request for one in inserts}

    @property
    def places(self) -> dict[Place, None]:
        """Every row that was touched."""
        return {place: None for one in self.transactions for place in places_of(one.changes)}

    def alone(self) -> Divergences:
        """What was done to each row, whatever the other site did.

        What was folded once is not folded again: the next call costs what came since.
        """
        for one in self.transactions[self._folded :]:
            fold(self.parts.plan, self._alone, one)
        self._folded = len(self.transactions)
        return self._alone

    def rows(self, other: "Tail") -> Divergences:
        """What was done to each row, beside what the other site did.

        A request that the `other` site carried out too counts there; only what
        it deleted is taken in, so that nothing older brings back what both
        deleted. A transaction that made a row which the other made, too, is the
        same thing done twice: it counts nothing. But where such a row is what is
        counted in, it counts at both sites, with what it began with.
        """
        plan, rows = self.parts.plan, dict[Place, Divergence]()
        for one in self.transactions:
            twice = other.made
            if one.request is not None and one.request in other.requests:
                one = replace(one, changes=tuple(item for item in one.changes if isinstance(item, Delete)))
            elif is_same_thing(plan, one, other.made):
                one, twice = replace(one, changes=tuple(_uncounted(plan, item) for item in one.changes)), {}
            fold(plan, rows, one, twice=twice)
        return rows


def _uncounted(plan: Plan, change: Change) -> Change:
    """The change without what it counted."""
    if not isinstance(change, Update) or change.old is None:
        return change
    old = change.old
    counters = {name: old.get(name) for name in plan.table(change.table).counters}
    return replace(change, row={**change.row, **counters})


def places_of(changes: Iterable[Change]) -> Iterable[Place]:
    """The rows that changes concern."""
    for change in changes:
        if isinstance(change, Insert | Update | Delete):
            yield change.table, change.key
            if isinstance(change, Update) and change.old_key is not None:
                yield change.table, change.old_key


@asynccontextmanager
async def tail_of(parts: Parts, site: str, after: Position | None) -> AsyncIterator[Tail]:
    """The log of `site`, from where the slot for its peer begins; nobody else may read it meanwhile."""
    log = parts.logs[site]()
    items = log.read()
    try:
        yield Tail(parts, site, log, items, after)
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
        await log.close()


async def has_forgotten(parts: Parts, site: str, applied: Position | None) -> bool:
    """Whether the log of `site` does not go on from what its peer has of it (S11): it ends before, or begins
    behind. What has nothing needs nothing.
    """
    if applied is None:
        return False
    log = parts.logs[site]()
    try:
        await log.check_reaches(applied)
    except Refused:
        return True
    finally:
        await log.close()
    return False


async def differing(parts: Parts, left: str) -> dict[Place, Divergence | None]:
    """Every row that differs at a site which has forgotten where it was, as it is there; None: it is not."""
    found: dict[Place, Divergence | None] = {}
    for table in parts.plan.tables:
        for reference in (parts.plan.peer(left), left):
            async for keys in _differing_keys(parts, table.qualified, reference):
                rows = await parts.rows[left].rows_of(table.qualified, keys)
                for key in keys:
                    found[table.qualified, key] = _as_made(table.qualified, key, rows.get(key))
    return found


def _as_made(table: str, key: Key, row: Row | None) -> Divergence | None:
    return None if row is None else Divergence(table=table, key=key, made=True, row=row)


async def _differing_keys(parts: Parts, table: str, reference: str) -> AsyncIterator[list[Key]]:
    other = parts.plan.peer(reference)
    after: Key | None = None
    while True:
        page = await parts.rows[reference].digests(table, after, PAGE)
        mirror = await parts.rows[other].digests_of(table, list(page.rows))
        yield [key for key, digest in page.rows.items() if mirror.get(key) != digest]
        if page.last is None:
            return
        after = page.last
