"""Brings home what a site had acknowledged and not sent when its peer was promoted (S7).

Both logs are read from the fork: the one of the site that was left, which is
closed by now, and the survivor's own. Nobody follows meanwhile, so both slots
are free and still hold everything since. A left site whose log does not reach
the fork any more, or that has forgotten what it had confirmed of its peer's
(S11), is compared in full instead: the survivor's rows stay, and whatever
differs there is kept in quarantine.

Users go on writing at the survivor. So the rows are locked first, then its log
is read to that moment, and only then is it decided what becomes of each.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace

from cutover.engine.parts import Parts
from cutover.engine.supply import Supply, objects_of
from cutover.engine.tails import Tail, differing, has_forgotten, tail_of
from cutover.errors import Inconclusive
from cutover.model.action import Guard
from cutover.model.change import UNCHANGED, Insert, Key, Row, Transaction
from cutover.model.merge import Divergence, Reference, Settled
from cutover.model.position import Position
from cutover.ports.database import Merged
from cutover.protocol.merging import Divergences, Place, Scene, keep_all, kept_apart, parents_of

ROUNDS = 10
"""Merges tried before giving up: each may meet rows that a constraint refuses."""
PATIENCE = 2
"""Times that the database may refuse a row before it is kept in quarantine, and then its counters' sum."""
NAMED_MAX = 200
"""Rows that are named in the journal; all are counted."""
PAGE = 1_000


async def list_stranded(parts: Parts, left: str) -> dict[str, object]:
    """Say what is stranded at `left`, for the journal and `cutover stranded list`."""
    async with AsyncExitStack() as closing:
        home = await _homecoming(parts, left, closing)
        await home.ours.read_to_now()
        rows, repeated = home.theirs_now({})
    return {
        **({"brake": home.brake} if home.brake else {}),
        "transactions": None if home.theirs is None else len(home.theirs.transactions),
        "rows": len(rows),
        "tables": dict(sorted(Counter(table for table, _ in rows).items())),
        "keys": [f"{table} {'/'.join(key)}" for table, key in list(rows)[:NAMED_MAX]],
        "repeated": len(repeated),
    }


async def merge_stranded(parts: Parts, left: str, guard: Guard) -> dict[str, object]:
    """Merge it into what the survivor serves. Begun again after a crash it finds nothing left to do."""
    outcome = await _merged_once(parts, left, guard)
    while await parts.appliers[parts.plan.peer(left)].set_aside():  # it names some hundreds at a time
        outcome = _added(outcome, await _merged_once(parts, left, guard))
    return outcome.to_json()


async def _merged_once(parts: Parts, left: str, guard: Guard) -> "Outcome":
    async with AsyncExitStack() as closing:
        home = await _homecoming(parts, left, closing)
        await home.bring_objects()
        await home.ours.read_to_now()  # all but the last of it before any row is locked
        home.ours.alone()
        for _ in range(ROUNDS):
            refused = await parts.sites[home.survivor].merge(tuple(home.places), home.decide, guard=guard)
            if not refused:
                return home.outcome()
            home.refusals.update((row.table, row.key) for row in refused)
            home.reasons |= {(row.table, row.key): row.reason for row in refused}
    raise Inconclusive(f"{ROUNDS} merges of what {left!r} had not sent were refused: {home.reasons}")


async def _homecoming(parts: Parts, left: str, closing: AsyncExitStack) -> "Homecoming":
    """Read what the left site did; it is closed, so that is all."""
    survivor = parts.plan.peer(left)
    applied = (await parts.sites[survivor].look()).applied
    known = (await parts.sites[left].look()).applied
    ours = await closing.enter_async_context(tail_of(parts, survivor, known))
    supply = Supply(parts, left, survivor)
    closing.push_async_callback(supply.close)
    references = tuple(await parts.sites[survivor].references())
    home = Homecoming(parts, left, references, supply, ours)
    home.held_back = await _held_back(parts, left)
    if await has_forgotten(parts, left, applied) or await has_forgotten(parts, survivor, known):
        home.differing = await differing(parts, left)
        home.end = (await parts.sites[left].look()).end
    else:
        home.theirs = await closing.enter_async_context(tail_of(parts, left, applied))
        await home.theirs.read_to_now()
        home.end = home.theirs.end
    return home


@dataclass(slots=True)
class Homecoming:
    """One attempt to bring home what is stranded."""

    parts: Parts
    left: str
    references: tuple[Reference, ...]
    supply: Supply
    ours: Tail
    theirs: Tail | None = None
    held_back: dict[Place, Row | None] = field(default_factory=dict)  #: set aside here; as it is there
    differing: dict[Place, Divergence | None] = field(default_factory=dict)  #: where its log does not say
    end: Position | None = None  #: of the left site's log
    objects: dict[Place, str] = field(default_factory=dict)
    refusals: Counter[Place] = field(default_factory=Counter)
    reasons: dict[Place, str] = field(default_factory=dict)
    settled: list[Settled] = field(default_factory=list)

    @property
    def survivor(self) -> str:
        """The site that serves."""
        return self.parts.plan.peer(self.left)

    @property
    def places(self) -> dict[Place, None]:
        """Every row that the left site touched, and those whose acknowledged version was set aside here."""
        touched = dict.fromkeys(self.differing) if self.theirs is None else self.theirs.places
        return touched | dict.fromkeys(self.held_back)

    @property
    def brake(self) -> str | None:
        """Why what the left site did must be seen by a person first (S3), as when it is applied."""
        reasons = (self.parts.reason_to_brake(self.parts.plan, one) for one in self._transactions)
        return next((reason for reason in reasons if reason is not None), None)

    @property
    def _transactions(self) -> Sequence[Transaction]:
        return () if self.theirs is None else self.theirs.transactions

    def theirs_now(self, here: Mapping[Place, Row]) -> tuple[Divergences, list[Place]]:
        """What the left site did to each row, and the rows of requests that the survivor carried out too."""
        if self.theirs is None:
            rows = {place: one for place, one in self.differing.items() if one is not None}
        else:
            rows = self.theirs.rows(self.ours)
            rows |= self._late(here, rows)
        return rows, [place for place in self.places if place not in rows]

    def _late(self, here: Mapping[Place, Row], rows: Divergences) -> Divergences:
        """Rows that were acknowledged before the fork, and applied to the survivor's records only."""
        late: Divergences = {}
        for (table, key), row in self.held_back.items():
            one = rows.get((table, key))
            made = (table, key) not in here
            if one is None and row is not None:
                late[table, key] = Divergence(table=table, key=key, made=made, row=row)
            elif one is not None and one.row is not None:
                late[table, key] = replace(one, made=made)
        return late

    async def bring_objects(self) -> None:
        """Bytes first (S2): before any row is locked, for this may take long."""
        rows, _ = self.theirs_now({})
        self.objects = await _without_objects(self.parts, rows, self.supply)

    async def decide(self, here: Mapping[Place, Row]) -> Merged:
        """What becomes of each row. `here` is locked: all that the survivor did to it is in its log."""
        await self.ours.read_to_now()
        rows, repeated = self.theirs_now(here)
        scene = await self._scene(await _made_whole(self.parts, self.left, rows), here)
        stubborn = {place: self.reasons[place] for place, times in self.refusals.items() if times >= PATIENCE}
        uncounted = {place for place, times in self.refusals.items() if times >= 2 * PATIENCE}
        settle = self.parts.settle if self.theirs is not None else keep_all
        self.settled = kept_apart(scene, settle(scene), stubborn, uncounted=uncounted)
        self.settled += [_untouched(place, here.get(place)) for place in repeated]
        assert self.end is not None  # `_homecoming` reads to an end
        return Merged(settled=self.settled, upto=self.end)

    async def _scene(self, theirs: Divergences, here: Mapping[Place, Row]) -> Scene:
        ours = self.ours.alone()
        parents = {
            parent: None
            for (table, _), one in theirs.items()
            for parent in parents_of(self.references, table, one.row or {})
            if parent not in here
        }
        return Scene(
            plan=self.parts.plan,
            left=self.left,
            references=self.references,
            theirs=theirs,
            ours=ours,
            here=await _rows(self.parts, self.survivor, parents) | dict(here),
            children=await _children(self.parts, self.survivor, self.references, theirs),
            dragged=await _dragged(self.parts, self.left, self.references, theirs, ours),
            objects=self.objects,
        )

    def outcome(self) -> "Outcome":
        """What was settled."""
        return Outcome(
            rows=len(self.settled),
            merged=sum(one.changes for one in self.settled),
            kept=sum(len(one.kept) for one in self.settled),
            why=Counter(one.because for one in self.settled if one.kept),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of the rows of a merge."""

    rows: int
    merged: int  #: rows that changed
    kept: int  #: versions in quarantine
    why: Counter[str]

    def to_json(self) -> dict[str, object]:
        """As the journal keeps it."""
        why = dict(sorted(self.why.items()))
        return {"rows": self.rows, "merged": self.merged, "kept": self.kept, "why": why}


def _added(one: Outcome, other: Outcome) -> Outcome:
    return Outcome(
        rows=one.rows + other.rows,
        merged=one.merged + other.merged,
        kept=one.kept + other.kept,
        why=one.why + other.why,
    )


async def _held_back(parts: Parts, left: str) -> dict[Place, Row | None]:
    """Rows that the survivor had to set aside, as they are at the left site: it was promoted without them."""
    survivor = parts.plan.peer(left)
    places = [(row.table, row.key) for row in await parts.appliers[survivor].set_aside()]
    there = await _rows(parts, left, places)
    return {place: there.get(place) for place in places}


def _untouched(place: Place, here: Row | None) -> Settled:
    """The other site's version of a request that both carried out is the same thing."""
    return Settled(table=place[0], key=place[1], expected=here, row=here, because="the same request")


async def _made_whole(parts: Parts, left: str, rows: Divergences) -> Divergences:
    """A large value that the log left out is read at the site, which is closed."""
    torn = [place for place, one in rows.items() if one.row and UNCHANGED in one.row.values()]
    found = await _rows(parts, left, dict.fromkeys(torn))
    whole = dict(rows)
    for place in torn:
        one, there = rows[place], found.get(place, {})
        row = {
            column: there.get(column) if value is UNCHANGED else value
            for column, value in (one.row or {}).items()
        }
        whole[place] = replace(one, row=row)
    return whole


async def _rows(parts: Parts, site: str, places: Iterable[Place]) -> dict[Place, Row]:
    by_table: dict[str, list[Key]] = {}
    for table, key in places:
        by_table.setdefault(table, []).append(key)
    found: dict[Place, Row] = {}
    for table, keys in by_table.items():
        for start in range(0, len(keys), PAGE):
            rows = await parts.rows[site].rows_of(table, keys[start : start + PAGE])
            found |= {(table, key): row for key, row in rows.items()}
    return found


async def _children(
    parts: Parts, survivor: str, references: Sequence[Reference], theirs: Divergences
) -> dict[Place, list[Place]]:
    """Who refers, at the survivor, to a row that the left site deleted."""
    children: dict[Place, list[Place]] = {}
    for reference in references:
        deleted = [
            key for (table, key), one in theirs.items() if table == reference.parent and one.row is None
        ]
        if not deleted:
            continue
        for key, referring in (await parts.rows[survivor].referring(reference, deleted)).items():
            hanging = [(reference.child, child) for child in referring]
            children.setdefault((reference.parent, key), []).extend(hanging)
    return children


async def _dragged(
    parts: Parts, left: str, references: Sequence[Reference], theirs: Divergences, ours: Divergences
) -> dict[Place, dict[Place, Row]]:
    """What the survivor's deletes took with them, where the left site may bring the row back.

    Its log has those rows only where it carries old values; the left site still has the others.
    """
    contested = {
        place: ours[place].transaction
        for place, one in theirs.items()
        if one.row is not None and place in ours and ours[place].row is None
    }
    found: dict[Place, dict[Place, Row]] = {}
    for reference in references:
        parents = [key for table, key in contested if table == reference.parent]
        for key, children in (
            (await parts.rows[left].referring(reference, parents)).items() if parents else ()
        ):
            place = (reference.parent, key)
            gone = [
                child
                for child in children
                if (one := ours.get((reference.child, child)))
                and one.row is None
                and one.transaction == contested[place]
            ]
            rows = await parts.rows[left].rows_of(reference.child, gone)
            found.setdefault(place, {}).update({(reference.child, child): row for child, row in rows.items()})
    return _with_known_gone(references, contested, ours, found)


def _with_known_gone(
    references: Sequence[Reference],
    contested: Mapping[Place, int],
    ours: Divergences,
    found: dict[Place, dict[Place, Row]],
) -> dict[Place, dict[Place, Row]]:
    """With rows that only the survivor ever had: made there after the fork, and deleted with their parent."""
    for place, one in ours.items():
        if one.row is not None or one.gone is None:
            continue
        for parent in parents_of(references, one.table, one.gone):
            if contested.get(parent) == one.transaction:
                found.setdefault(parent, {}).setdefault(place, one.gone)
    return found


async def _without_objects(parts: Parts, theirs: Divergences, supply: Supply) -> dict[Place, str]:
    """Bytes first (S2): rows whose objects cannot be had must not become visible."""
    reasons: dict[Place, str] = {}
    names = {
        place: objects_of(parts.plan, Insert(place[0], place[1], one.row))
        for place, one in theirs.items()
        if one.row is not None
    }
    for owned in names.values():
        for name in owned:
            supply.order(name)
    for place, owned in names.items():
        for name in owned:
            reason = await supply.reason_against(name)
            if reason is not None:
                reasons[place] = reason
    return reasons
