"""What two sites may do to one row apart, and the merge of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import product

from cutover.model.change import Change, Delete, Insert, Row, Transaction, Update
from cutover.model.merge import Settled
from cutover.model.plan import MergeRule, Order, Plan, Table
from cutover.model.position import Position
from cutover.protocol.merging import Divergences, Place, Scene, fold, settle

NAME = "public.things"
PLACE: Place = (NAME, ("1",))
BASE: Row = {"id": "1", "text": "at the fork", "state": "waiting", "n": "5"}
VERBS = ("edit", "count", "move", "delete", "make")
STATES = ("waiting", "sent", "done")


def plan_with(rule: MergeRule, *, counters: bool) -> Plan:
    """One table under one rule."""
    order = Order(column="state", values=STATES) if rule is MergeRule.QUEUE else None
    table = Table(name="things", key=("id",), merge=rule, counters=("n",) if counters else (), order=order)
    return Plan(name="merge", source="east", target="west", tables=(table,))


@dataclass(frozen=True, slots=True)
class Deed:
    """One transaction on the row."""

    verb: str
    by_user: bool

    def __str__(self) -> str:
        return f"{self.verb} by a {'user' if self.by_user else 'job'}"


@dataclass(frozen=True, slots=True)
class Side:
    """What one site did since the fork."""

    name: str
    deeds: tuple[Deed, ...]

    def transactions(self, base: Row | None, *, whole: bool) -> tuple[list[Transaction], Row | None]:
        """Its log, and the row as it left it; `whole`: the log carries what stood there before."""
        row, log = base, []
        for number, deed in enumerate(self.deeds, start=1):
            change, row = self._done(deed, number, row, whole=whole)
            request = f"{self.name}-{number}" if deed.by_user else None
            position = Position(self.name, 1, number)
            log.append(Transaction(xid=number, position=position, changes=(change,), request=request))
        return log, row

    def _done(self, deed: Deed, number: int, row: Row | None, *, whole: bool) -> tuple[Change, Row | None]:
        told = f"{self.name} {number}"
        if deed.verb == "make":
            made: Row = {"id": "1", "text": f"made by {told}", "state": "waiting", "n": "0"}
            return Insert(NAME, ("1",), made), made
        assert row is not None, self
        old = dict(row) if whole else None
        if deed.verb == "delete":
            return Delete(NAME, ("1",), old), None
        new = dict(row)
        if deed.verb == "edit":
            new["text"] = told
        if deed.verb == "count":
            new["n"] = str(int(str(row["n"])) + (1 if self.name == "east" else 10))
        if deed.verb == "move":
            new["state"] = STATES[STATES.index(str(row["state"])) + 1]
        return Update(NAME, ("1",), new, old=old), new


def every_side(name: str, base: Row | None, most: int, verbs: Sequence[str] = VERBS) -> Iterator[Side]:
    """All that can be done in so many transactions."""
    for length in range(most + 1):
        for deeds in product(verbs, (True, False), repeat=length):
            pairs = tuple(Deed(str(verb), bool(by)) for verb, by in zip(deeds[::2], deeds[1::2], strict=True))
            if _possible(pairs, there=base is not None):
                yield Side(name, pairs)


def _possible(deeds: Sequence[Deed], *, there: bool) -> bool:
    for deed in deeds:
        if (deed.verb == "make") == there:
            return False
        there = deed.verb != "delete"
    return True


@dataclass(frozen=True, kw_only=True)
class Case:
    """Both sides of one row that the left site touched."""

    plan: Plan
    base: Row | None
    left: Side
    survivor: Side
    whole: bool

    def __str__(self) -> str:
        table = self.plan.tables[0]
        told = [
            f"{side.name}: {', '.join(str(deed) for deed in side.deeds)}"
            for side in (self.left, self.survivor)
        ]
        there = "there" if self.base else "not there"
        return (
            f"{table.merge.value} {table.counters} whole={self.whole} {there} at the fork; {'; '.join(told)}"
        )

    @cached_property
    def left_row(self) -> Row | None:
        """The row as the left site left it."""
        return self.left.transactions(self.base, whole=self.whole)[1]

    @cached_property
    def survivor_row(self) -> Row | None:
        """The row as the survivor left it."""
        return self.survivor.transactions(self.base, whole=self.whole)[1]

    @cached_property
    def one(self) -> Settled:
        """What becomes of the row."""
        theirs: Divergences = {}
        ours: Divergences = {}
        for seen, side in ((theirs, self.left), (ours, self.survivor)):
            for transaction in side.transactions(self.base, whole=self.whole)[0]:
                fold(self.plan, seen, transaction)
        here = {} if self.survivor_row is None else {PLACE: self.survivor_row}
        scene = Scene(plan=self.plan, left="east", references=(), theirs=theirs, ours=ours, here=here)
        (found,) = settle(scene)
        return found

    def row_of(self, side: Side) -> Row | None:
        """The row as that side left it."""
        return self.left_row if side is self.left else self.survivor_row

    def edited(self, side: Side, *, by_user: bool) -> bool:
        """Whether what it did to other columns than counters still stands there, and who did it."""
        counted = ("count",) if self.plan.tables[0].counters else ()
        for deed in reversed(side.deeds):
            if deed.verb == "delete":
                return False
            if deed.verb not in counted and deed.by_user == by_user:
                return True
        return False


@cache
def every_case(rule: MergeRule, *, counters: bool, whole: bool) -> tuple[Case, ...]:
    """All cases of one rule, with three transactions at most."""
    cases = []
    plan = plan_with(rule, counters=counters)
    for base in (BASE, None):
        verbs = VERBS if rule is MergeRule.QUEUE else tuple(verb for verb in VERBS if verb != "move")
        sides = [list(every_side(name, base, 2, verbs)) for name in ("east", "west")]
        for left, survivor in product(*sides):
            if left.deeds and len(left.deeds) + len(survivor.deeds) <= 3:
                case = Case(plan=plan, base=base, left=left, survivor=survivor, whole=whole)
                cases.append(case)
    return tuple(cases)
