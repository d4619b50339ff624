"""Brings home what a site had acknowledged and not sent when its peer was promoted (S7).

Both logs are read from the fork: the one of the site that was left, which is
closed by now, and the survivor's own. Nobody follows meanwhile, so both slots
are free and still hold everything since. A site whose log does not reach the
fork any more has forgotten (S11): it is compared in full instead, the
survivor's rows stay, and whatever differs there is kept in quarantine.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from cutover.engine.parts import Parts
from cutover.engine.supply import Supply, objects_of
from cutover.errors import Inconclusive, Refused
from cutover.model.action import Guard
from cutover.model.change import UNCHANGED, Insert, Key, Row, Transaction, Truncate
from cutover.model.merge import Divergence, Reference, Settled
from cutover.model.position import Position
from cutover.protocol.merging import Divergences, Place, Scene, fold, kept_apart, parents_of

ROUNDS = 20
"""Merges tried before giving up: users write to the same rows meanwhile."""
PATIENCE = 3
"""Times that the database may refuse a row before it is kept in quarantine."""
NAMED_MAX = 200
"""Rows that are named in the journal; all are counted."""
PAGE = 1_000


@dataclass(slots=True)
class Tail:
    """What one site did by itself after the fork."""

    rows: Divergences = field(default_factory=dict)
    requests: set[str] = field(default_factory=set)
    twice: dict[Place, None] = field(default_factory=dict)  #: of requests that the other site carried out too
    transactions: int = 0
    end: Position | None = None


async def list_stranded(parts: Parts, left: str) -> dict[str, object]:
    """Say what is stranded at `left`, for the journal and `cutover stranded list`."""
    tails = await _tails(parts, left)
    theirs = tails[left]
    return {
        "transactions": theirs.transactions,
        "rows": len(theirs.rows),
        "tables": dict(sorted(Counter(table for table, _ in theirs.rows).items())),
        "keys": [f"{table} {'/'.join(key)}" for table, key in list(theirs.rows)[:NAMED_MAX]],
        "repeated": len(theirs.twice),
    }


async def merge_stranded(parts: Parts, left: str, guard: Guard) -> dict[str, object]:
    """Merge it into what the survivor serves, as often as users are faster; nothing is done twice."""
    survivor = parts.plan.peer(left)
    references = tuple(await parts.sites[survivor].references())
    refusals: Counter[Place] = Counter()
    supply = Supply(parts, left, survivor)
    try:
        for _ in range(ROUNDS):
            tails = await _tails(parts, left)
            scene = await _scene(parts, left, references, tails, supply)
            stubborn = {
                place: "the database refuses it" for place, times in refusals.items() if times >= PATIENCE
            }
            settled = kept_apart(scene, parts.settle(scene), stubborn)
            twice = [place for place in tails[left].twice if place not in scene.theirs]
            settled += [_untouched(place, scene.here.get(place)) for place in twice]
            upto = tails[left].end
            assert upto is not None  # `_tail` reads to an end
            refused = await parts.sites[survivor].merge(settled, upto=upto, guard=guard)
            if not refused:
                return _outcome(settled)
            refusals.update((row.table, row.key) for row in refused)
    finally:
        await supply.close()
    raise Inconclusive(f"{ROUNDS} merges of what {left!r} had not sent were overtaken by users' writes")


def _untouched(place: Place, here: Row | None) -> Settled:
    """The other site's version of a request that both carried out is the same thing."""
    return Settled(table=place[0], key=place[1], expected=here, row=here, because="the same request")


def _outcome(settled: Sequence[Settled]) -> dict[str, object]:
    return {
        "rows": len(settled),
        "merged": sum(one.changes for one in settled),
        "kept": sum(len(one.kept) for one in settled),
        "why": dict(sorted(Counter(one.because for one in settled if one.kept).items())),
    }


# -- what each site did ------------------------------------------------------------------------


async def _tails(parts: Parts, left: str) -> dict[str, Tail]:
    """Both sites' own changes since the fork; what both did for one request counts as the survivor's."""
    survivor = parts.plan.peer(left)
    applied = (await parts.sites[survivor].look()).applied
    ours = await _tail(parts, survivor, None, frozenset())
    if await _has_forgotten(parts, left, applied):
        theirs = await _differing(parts, left)
    else:
        theirs = await _tail(parts, left, applied, ours.requests)
    return {left: theirs, survivor: ours}


async def _has_forgotten(parts: Parts, left: str, applied: Position | None) -> bool:
    if applied is None:
        return True
    log = parts.logs[left]()
    try:
        await log.check_reaches(applied)
    except Refused:
        return True
    finally:
        await log.close()
    return False


async def _tail(parts: Parts, site: str, after: Position | None, elsewhere: Iterable[str]) -> Tail:
    """Read a site's log from `after` (None: from where its slot begins) to its end."""
    tail, known = Tail(), frozenset(elsewhere)
    end = (await parts.sites[site].look()).end
    log = parts.logs[site]()
    items = log.read()
    try:
        async for item in items:
            if isinstance(item, Transaction):
                _take_in(parts, tail, item, after, known)
            tail.end = item.position
            if item.position.reaches(end):
                break
    finally:
        if isinstance(items, AsyncGenerator):
            await items.aclose()
        await log.close()
    return tail


def _take_in(
    parts: Parts, tail: Tail, item: Transaction, after: Position | None, known: frozenset[str]
) -> None:
    if item.foreign or not item.changes or (after is not None and after.reaches(item.position)):
        return
    emptied = [name for change in item.changes if isinstance(change, Truncate) for name in change.tables]
    if emptied:
        raise Refused(
            f"transaction {item.xid} at {item.position} empties {', '.join(emptied)}: what is stranded "
            f"cannot be merged row by row. Nothing was changed. Look at both sites, then `cutover abandon`."
        )
    tail.transactions += 1
    if item.request is not None:
        tail.requests.add(item.request)
        if item.request in known:
            tail.twice |= {(change.table, change.key): None for change in item.changes}  # type: ignore[union-attr]
            return
    fold(parts.plan, tail.rows, item)


async def _differing(parts: Parts, left: str) -> Tail:
    """Every row that differs at a site which has forgotten where it was: what it has is kept, not taken."""
    tail, survivor = Tail(), parts.plan.peer(left)
    for table in parts.plan.tables:
        for reference, other in ((survivor, left), (left, survivor)):
            after: Key | None = None
            while True:
                page = await parts.rows[reference].digests(table.qualified, after, PAGE)
                mirror = await parts.rows[other].digests_of(table.qualified, list(page.rows))
                keys = [key for key, digest in page.rows.items() if mirror.get(key) != digest]
                rows = await parts.rows[left].rows_of(table.qualified, keys)
                for key in keys:
                    if (row := rows.get(key)) is not None:
                        tail.rows[table.qualified, key] = Divergence(
                            table=table.qualified, key=key, made=True, row=row
                        )
                    else:
                        tail.twice[table.qualified, key] = None
                if page.last is None:
                    break
                after = page.last
    tail.end = (await parts.sites[left].look()).end
    return tail


# -- what a merge decides on -------------------------------------------------------------------


async def _scene(
    parts: Parts, left: str, references: tuple[Reference, ...], tails: Mapping[str, Tail], supply: Supply
) -> Scene:
    survivor = parts.plan.peer(left)
    theirs = await _made_whole(parts, left, tails[left].rows)
    wanted = dict.fromkeys([*theirs, *tails[left].twice])
    for (table, _), one in theirs.items():
        wanted |= dict.fromkeys(parents_of(references, table, one.row or {}))
    return Scene(
        plan=parts.plan,
        left=left,
        references=references,
        theirs=theirs,
        ours=tails[survivor].rows,
        here=await _rows(parts, survivor, wanted),
        children=await _children(parts, survivor, references, theirs),
        dragged=await _dragged(parts, left, references, theirs, tails[survivor].rows),
        objects=await _without_objects(parts, theirs, supply),
    )


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
    return found | _known_gone(references, contested, ours, found)


def _known_gone(
    references: Sequence[Reference],
    contested: Mapping[Place, int],
    ours: Divergences,
    found: dict[Place, dict[Place, Row]],
) -> dict[Place, dict[Place, Row]]:
    """Rows that only the survivor ever had: made there after the fork, and deleted with their parent."""
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
