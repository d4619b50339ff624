"""What becomes of rows that two sites changed apart: the three-way merge (S4, S7).

`theirs` is what the site that was left did after the fork, `ours` what the
survivor did, `here` what stands at the survivor now. Nothing is lost: what does
not become visible is kept whole in quarantine. The order between two versions
is total: the survivor's epoch is the newer one, so its version stays, except
that a user's edit beats a concurrent delete.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal, InvalidOperation

from cutover.model.change import UNCHANGED, Change, Delete, Insert, Key, Row, Transaction, Truncate, Update
from cutover.model.merge import Divergence, Kept, Reference, Settled
from cutover.model.plan import MergeRule, Order, Plan, Table

Place = tuple[str, Key]
"""A row: its table, qualified, and its key."""
Divergences = dict[Place, Divergence]

EXACT = Context(prec=200_000)
"""Sums of counters keep every digit: a number of PostgreSQL's has at most 147,455 (its documentation)."""


def fold(plan: Plan, seen: Divergences, transaction: Transaction, *, twice: Container[Place] = ()) -> None:
    """Take one transaction of a site's own into what it did to each row.

    Of rows that were made `twice`, once at each site, what they begin with is
    counted, too: at the fork it was nothing.
    """
    for change in transaction.changes:
        if isinstance(change, Truncate):
            continue
        if isinstance(change, Update) and change.old_key not in (None, change.key):
            assert change.old_key is not None  # the test above says so
            _take(plan, seen, Delete(change.table, change.old_key, change.old), transaction, twice)
            _take(plan, seen, Insert(change.table, change.key, change.row), transaction, ())
        else:
            _take(plan, seen, change, transaction, twice)


def is_same_thing(plan: Plan, transaction: Transaction, made: Mapping[Place, str | None]) -> bool:
    """Whether it made a row that the other site `made`, too, by the same deed: a post, or who likes it.

    A row that carries counters may be made by whoever counts first. Those are two
    deeds where each site names its request, or where the row begins with an amount.
    """
    return any(
        isinstance(change, Insert)
        and (change.table, change.key) in made
        and not _counts_apart(plan.table(change.table), transaction, change, made)
        for change in transaction.changes
    )


def _counts_apart(
    table: Table, transaction: Transaction, made_here: Insert, made: Mapping[Place, str | None]
) -> bool:
    if not table.counters:
        return False
    place = made_here.table, made_here.key
    if transaction.request is not None and made[place] is not None:
        return True  # two requests: what both carried out under one is told apart before
    return any(
        isinstance(change, Insert | Update)
        and (change.table, change.key) == place
        and any(_number(change.row, column) for column in table.counters)
        for change in transaction.changes
    )


def _take(
    plan: Plan, seen: Divergences, change: Change, transaction: Transaction, twice: Container[Place]
) -> None:
    assert not isinstance(change, Truncate)  # `fold` leaves them out
    place = (change.table, change.key)
    before = seen.get(place)
    old = None if isinstance(change, Insert) else change.old
    if before is None:
        made = isinstance(change, Insert)
        before = Divergence(table=change.table, key=change.key, made=made, row=old, base=old)
    seen[place] = replace(
        before,
        row=None if isinstance(change, Delete) else _whole(change.row, before.row),
        gone=(before.row or old) if isinstance(change, Delete) else None,
        deltas=_added(plan.table(change.table), before, change, begins=before.made and place in twice),
        request=_asked_by(plan.table(change.table), before, change, transaction.request),
        transaction=transaction.xid,
    )


def _asked_by(
    table: Table, before: Divergence, change: Insert | Update | Delete, request: str | None
) -> str | None:
    """Whose wish the row expresses: a user's edit stays a user's when a job comes by later.

    Who only counted has not edited; a delete is asked for by itself.
    """
    if isinstance(change, Delete) or before.row is None:
        return request
    edited = before.request if _edited(table, before) else None
    if isinstance(change, Update) and change.old is not None and not _edits(table, change.row, change.old):
        return edited or (request if not _edited(table, before) else None)
    return request or edited


def _whole(new: Row, before: Row | None) -> Row:
    """A large value that did not change is taken from what stood there, if that is known."""
    known = before or {}
    return {
        column: known.get(column, value) if value is UNCHANGED else value for column, value in new.items()
    }


def _added(
    table: Table, before: Divergence, change: Insert | Update | Delete, *, begins: bool
) -> tuple[tuple[str, Decimal], ...]:
    if isinstance(change, Insert) and begins:
        return tuple((column, _number(change.row, column)) for column in table.counters)
    if not isinstance(change, Update) or change.old is None:
        return before.deltas
    sums = dict(before.deltas)
    for column in table.counters:
        difference = EXACT.subtract(_number(change.row, column), _number(change.old, column))
        sums[column] = EXACT.add(sums.get(column, Decimal(0)), difference)
    return tuple(sums.items())


def _number(row: Row, column: str) -> Decimal:
    """What a counter shows; 0 for what cannot be added to: null, infinity, not a number."""
    value = row.get(column)
    try:
        number = Decimal(value) if isinstance(value, str) else Decimal(0)
    except InvalidOperation:
        return Decimal(0)
    return number if number.is_finite() else Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that a merge decides on."""

    plan: Plan
    left: str  #: the site that was left
    references: Sequence[Reference]
    theirs: Mapping[Place, Divergence]
    ours: Mapping[Place, Divergence]
    here: Mapping[Place, Row]  #: rows of `theirs`, and parents that they refer to; absent: not there
    children: Mapping[Place, Sequence[Place]] = field(default_factory=dict)  #: who refers to a row, here
    dragged: Mapping[Place, Mapping[Place, Row]] = field(default_factory=dict)
    """By a row that the survivor deleted: what went with it, in the same transaction, and can be restored."""
    objects: Mapping[Place, str] = field(default_factory=dict)  #: why the objects of a row cannot be had


def settle(scene: Scene) -> list[Settled]:
    """Say for every row that the left site changed what becomes of it: parents first."""
    decided = {place: _settle(scene, place, theirs) for place, theirs in scene.theirs.items()}
    _agree_with_families(scene, decided)
    _restore_what_went_along(scene, decided)
    _bring_back_what_hung_on_it(scene, decided)
    ranks = {table: rank for rank, table in enumerate(_parents_first(scene.plan, scene.references))}
    return sorted(decided.values(), key=lambda one: ranks[one.table])


def keep_all(scene: Scene) -> list[Settled]:
    """Nobody knows who changed what: the survivor's rows stay, and the others are kept."""
    settled = []
    for (table, key), theirs in scene.theirs.items():
        here = scene.here.get((table, key))
        stays = Settled(table=table, key=key, expected=here, row=here)
        settled.append(_kept(scene, stays, theirs, f"{scene.left} has forgotten where it was, and differs"))
    return settled


def taken(plan: Plan, kept: Kept, here: Row | None) -> Row | None:
    """What stands there once a kept version is taken: its counters hold what both sites counted already."""
    if kept.row is None or here is None:
        return kept.row
    counters = plan.table(kept.table).counters
    return {**kept.row, **{name: here[name] for name in counters if name in here}}


def _restore_what_went_along(scene: Scene, decided: dict[Place, Settled]) -> None:
    """A delete that was not taken took along, there, what had been made there: that was acknowledged too."""
    for place, theirs in scene.theirs.items():
        one = decided[place]
        if not theirs.made or theirs.row is not None or theirs.gone is None or one.expected is not None:
            continue
        for parent in _parents(scene, theirs.table, theirs.gone):
            cause, there = scene.theirs.get(parent), decided.get(parent)
            dragged = cause is not None and cause.row is None and cause.transaction == theirs.transaction
            if dragged and there is not None and there.row is not None:
                because = f"it went with {parent[0]} {'/'.join(parent[1])}, which stays"
                decided[place] = replace(one, row=theirs.gone, because=because)


def _bring_back_what_hung_on_it(scene: Scene, decided: dict[Place, Settled]) -> None:
    """A delete that an edit beat is undone whole: with the rows that it dragged along here."""
    for place, dragged in scene.dragged.items():
        back = decided.get(place)
        if back is None or back.expected is not None or back.row is None:
            continue
        for child, row in dragged.items():
            there = decided.get(child, Settled(table=child[0], key=child[1], expected=None, row=None))
            if there.row is None:
                because = f"it went with {place[0]} {'/'.join(place[1])}, which is back"
                decided[child] = replace(there, row=dict(row), because=because)


def _parents_first(plan: Plan, references: Sequence[Reference]) -> list[str]:
    """Table names in an order in which no child comes before its parent; a circle keeps the plan's order."""
    left = [table.qualified for table in plan.tables]
    ordered: list[str] = []
    while left:
        free = [
            name
            for name in left
            if all(one.parent in ordered or one.parent == name for one in references if one.child == name)
        ]
        ordered += free or left[:1]
        left = [name for name in left if name not in ordered]
    return ordered


def _settle(scene: Scene, place: Place, theirs: Divergence) -> Settled:
    """One row by itself."""
    here, ours, table = scene.here.get(place), scene.ours.get(place), scene.plan.table(place[0])
    stays = Settled(table=place[0], key=place[1], expected=here, row=here)
    if theirs.made and theirs.row is None:
        return replace(stays, because=f"{scene.left} made it, and deleted it again")
    if ours is None:
        return _only_theirs(scene, stays, theirs)
    if theirs.row is None:
        return _their_delete(scene, stays, theirs, ours)
    if here is None:
        return _our_delete(scene, table, stays, theirs, ours)
    if table.merge is MergeRule.QUEUE:
        return _further(scene, table, stays, theirs, ours)
    return _both_wrote(scene, table, stays, theirs, ours)


def _only_theirs(scene: Scene, stays: Settled, theirs: Divergence) -> Settled:
    """The only side that changed is taken."""
    if theirs.row is None:
        return replace(stays, row=None, because=f"only {scene.left} changed it: it was deleted")
    if not theirs.made and stays.expected is None:
        return _kept(scene, stays, theirs, "it was there at the fork, and it is not here")
    if theirs.made and stays.expected is not None and stays.expected != theirs.row:
        return _kept(scene, stays, theirs, "another row has its key here")
    return replace(stays, row=_whole(theirs.row, stays.expected), because=f"only {scene.left} changed it")


def _their_delete(scene: Scene, stays: Settled, theirs: Divergence, ours: Divergence) -> Settled:
    """A user's edit beats a concurrent delete, and the delete is kept; a job's edit does not."""
    if stays.expected is None:
        return replace(stays, because="both deleted it")
    if ours.request is not None and _edited(scene.plan.table(stays.table), ours):
        stays = replace(stays, row=_sum(stays.expected, theirs))  # what was counted before the delete
        return _kept(scene, stays, theirs, "a user edited it here while it was deleted there")
    lost = _ours_kept(scene, stays, ours, f"{scene.left} deleted it, and no user edited it here meanwhile")
    return replace(stays, row=None, kept=(lost,), because=lost.reason)


def _our_delete(scene: Scene, table: Table, stays: Settled, theirs: Divergence, ours: Divergence) -> Settled:
    if theirs.made and ours.made:
        return _kept(scene, stays, theirs, "both sites made it, and it was deleted here")
    if theirs.request is None or not _edited(table, theirs) or theirs.row is None:
        return _kept(scene, stays, theirs, "it was deleted here, and no user edited it there meanwhile")
    lost = _ours_kept(scene, stays, ours, f"a user edited it at {scene.left} while it was deleted here")
    counted = _sum(_counted_from(table, theirs), ours)
    return replace(stays, row=counted, kept=(lost,), because=lost.reason)


def _counted_from(table: Table, theirs: Divergence) -> Row:
    """The row as it was left there, with what counts of its counters: not what both sites did."""
    assert theirs.row is not None
    if theirs.base is None:
        return theirs.row
    return _sum({**theirs.row, **{name: theirs.base.get(name) for name in table.counters}}, theirs)


def _further(scene: Scene, table: Table, stays: Settled, theirs: Divergence, ours: Divergence) -> Settled:
    """A queue only moves forward; what the other site wrote beside that is kept."""
    assert stays.expected is not None
    assert theirs.row is not None
    added = _sum(stays.expected, theirs)
    if table.order is None:
        if stays.expected == theirs.row:
            return replace(stays, because="both sites left it alike")
        lost = _kept(scene, stays, theirs, "both sites moved it, and the plan names no `order`")
        return replace(lost, row=added)
    if _rank(table.order, theirs.row) <= _rank(table.order, stays.expected):
        ahead = replace(stays, row=added, because="it is as far here")
        if _says_more(table, table.order, theirs, stays.expected):
            return replace(_kept(scene, stays, theirs, "it is as far here"), row=added)
        return ahead
    row = _whole({**added, **_text(table, theirs.row)}, added)
    ahead = replace(stays, row=row, because=f"it came further at {scene.left}")
    if not _says_more(table, table.order, replace(ours, row=stays.expected), theirs.row):
        return ahead
    return replace(ahead, kept=(_ours_kept(scene, stays, ours, ahead.because),))


def _rank(order: Order, row: Row) -> int:
    """How far a row of a queue has come; -1 where the plan does not know its state."""
    value = row.get(order.column)
    return order.values.index(value) if value in order.values else -1


def _says_more(table: Table, order: Order, loser: Divergence, winner: Row) -> bool:
    """Whether the version that is behind holds anything that the other does not."""
    assert loser.row is not None
    if _rank(order, loser.row) < 0 and loser.row.get(order.column) != winner.get(order.column):
        return True
    before = loser.base if loser.base is not None else winner
    apart = {
        column: value
        for column, value in _text(table, loser.row).items()
        if column != order.column and value != winner.get(column)
    }
    return _edits(table, apart, before)


def _text(table: Table, row: Row) -> Row:
    """All columns but the counters."""
    return {column: value for column, value in row.items() if column not in table.counters}


def _both_wrote(scene: Scene, table: Table, stays: Settled, theirs: Divergence, ours: Divergence) -> Settled:
    """Counters add up; other columns are taken from the only side that changed any of them."""
    assert stays.expected is not None
    assert theirs.row is not None
    added = _sum(stays.expected, theirs)
    if not _edited(table, theirs, against=stays.expected):
        return replace(stays, row=added, because="what was counted at both sites is added up")
    if ours.base is not None and not _edited(table, ours):
        row = _whole({**added, **_text(table, theirs.row)}, added)
        return replace(stays, row=row, because=f"only {scene.left} edited it; what was counted is added up")
    lost = _kept(scene, stays, theirs, "both sites changed it, and the newer epoch's version stays")
    return replace(lost, row=added)


def _edited(table: Table, one: Divergence, against: Row | None = None) -> bool:
    """Whether more than counters differs from the fork; without the fork's row, from what stands here."""
    before = one.base if one.base is not None else against
    if one.row is None or before is None:
        return True
    return _edits(table, one.row, before)


def _edits(table: Table, row: Row, before: Row) -> bool:
    """Whether a row says something else than another, counters apart."""
    return any(
        value != before.get(column) and value is not UNCHANGED for column, value in _text(table, row).items()
    )


def _sum(here: Row, other: Divergence) -> Row:
    """A row with what the other site added to its counters."""
    row = dict(here)
    for column, delta in other.deltas:
        if delta:
            row[column] = format(EXACT.add(_number(here, column), delta), "f")
    return row


def _agree_with_families(scene: Scene, decided: dict[Place, Settled]) -> None:
    """No row without its parent, and no delete of a row that others hang on: that would be a cascade.

    What is taken back can be what others relied on: so it is asked again until
    nothing more is taken back. Deletes first, for what they leave is a parent.
    """
    while any(_take_back(scene, decided, deletes=deletes) for deletes in (True, False)):
        pass


def _take_back(scene: Scene, decided: dict[Place, Settled], *, deletes: bool) -> bool:
    """Take back what does not agree with its family; whether there was any."""
    found = False
    for place, one in decided.items():
        if not one.changes or (one.row is None) is not deletes:
            continue
        reason = _against_delete(scene, decided, one) if deletes else _against_row(scene, decided, one)
        if reason is not None:
            decided[place] = _kept_instead(scene, one, reason)
            found = True
    return found


def _against_delete(scene: Scene, decided: Mapping[Place, Settled], one: Settled) -> str | None:
    place = (one.table, one.key)
    for parent in _parents(scene, one.table, one.expected or {}):
        theirs, there = scene.theirs.get(parent), decided.get(parent)
        if theirs is not None and theirs.row is None and there is not None and there.row is not None:
            return "what it hangs on was not deleted here"
    for child in scene.children.get(place, ()):
        if child != place and not _lets_go(scene, decided, child, place):
            return f"{child[0]} {'/'.join(child[1])} hangs on it, unknown to who deleted it"
    return None


def _lets_go(scene: Scene, decided: Mapping[Place, Settled], child: Place, parent: Place) -> bool:
    """Whether a row that hangs on another goes with it, or will hang on something else."""
    one = decided.get(child)
    return one is not None and (one.row is None or parent not in _parents(scene, child[0], one.row))


def _against_row(scene: Scene, decided: Mapping[Place, Settled], one: Settled) -> str | None:
    """What is referred to here already is here; only what a row refers to anew may be missing."""
    assert one.row is not None
    place, before = (one.table, one.key), one.expected or {}
    reason = scene.objects.get(place)
    if reason is not None and _edits(scene.plan.table(one.table), one.row, before):
        return reason
    known = {place, *_parents(scene, one.table, before)}
    for parent in _parents(scene, one.table, one.row):
        there = decided[parent].row if parent in decided else scene.here.get(parent)
        if parent not in known and there is None:
            return f"{parent[0]} {'/'.join(parent[1])}, which it refers to, is not here"
    return None


def _parents(scene: Scene, table: str, row: Row) -> Iterable[Place]:
    return parents_of(scene.references, table, row)


def parents_of(references: Sequence[Reference], table: str, row: Row) -> Iterable[Place]:
    """The rows that a row refers to; a reference with a null in it refers to none."""
    for reference in references:
        if reference.child == table:
            key = tuple(value for column in reference.columns if isinstance(value := row.get(column), str))
            if len(key) == len(reference.columns):
                yield reference.parent, key


def kept_apart(
    scene: Scene,
    settled: Sequence[Settled],
    reasons: Mapping[Place, str],
    *,
    uncounted: Container[Place] = (),
) -> list[Settled]:
    """The same, but rows that the database refuses stay as they are, with their rivals in quarantine.

    What was counted there is added all the same, but to rows whose sum is refused, too: `uncounted`.
    """
    return [
        one
        if (reason := reasons.get((one.table, one.key))) is None
        else _kept_instead(scene, one, reason, counted=(one.table, one.key) not in uncounted)
        for one in settled
    ]


def _kept_instead(scene: Scene, one: Settled, reason: str, *, counted: bool = True) -> Settled:
    """What stands there stays, with what was `counted` there, and what was to take its place is kept."""
    stays, theirs = replace(one, row=one.expected, kept=()), scene.theirs.get((one.table, one.key))
    if theirs is not None:
        if counted and one.expected is not None:
            stays = replace(stays, row=_sum(one.expected, theirs))
        return _kept(scene, stays, theirs, reason)
    lost = Kept(table=one.table, key=one.key, row=one.row, site=_survivor(scene), reason=reason)
    return replace(stays, kept=(lost,), because=reason)


def _kept(scene: Scene, stays: Settled, theirs: Divergence, reason: str) -> Settled:
    lost = Kept(
        table=stays.table,
        key=stays.key,
        row=theirs.row,
        site=scene.left,
        reason=reason,
        request=theirs.request,
    )
    return replace(stays, kept=(*stays.kept, lost), because=reason)


def _ours_kept(scene: Scene, stays: Settled, ours: Divergence, reason: str) -> Kept:
    """The survivor's own version, where the other site's takes its place."""
    return Kept(
        table=stays.table,
        key=stays.key,
        row=stays.expected,
        site=_survivor(scene),
        reason=reason,
        request=ours.request,
    )


def _survivor(scene: Scene) -> str:
    return scene.plan.peer(scene.left)
