"""What two sites may do apart to rows that refer to each other, and the merge of it.

Authors have posts, posts have comments and may answer another post, and an
author may have a favourite post: so there is a chain, a row that refers to its
own table, and a circle. Deletes cascade, as the platform's own keys do.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import product

from cutover.model.change import Change, Delete, Insert, Row, Transaction, Update
from cutover.model.merge import Kept, Reference, Settled
from cutover.model.plan import MergeRule, Plan, Table
from cutover.model.position import Position
from cutover.protocol.merging import Divergences, Place, Scene, fold, parents_of, settle

AUTHORS, POSTS, COMMENTS = "public.authors", "public.posts", "public.comments"
REFERENCES = (
    Reference(child=POSTS, columns=("author",), parent=AUTHORS),
    Reference(child=POSTS, columns=("answers",), parent=POSTS),
    Reference(child=COMMENTS, columns=("post",), parent=POSTS),
    Reference(child=AUTHORS, columns=("likes",), parent=POSTS),
)
PLAN = Plan(
    name="families",
    source="east",
    target="west",
    tables=tuple(
        Table(name=name, key=("id",), merge=MergeRule.RECORD, counters=("n",))
        for name in ("comments", "posts", "authors")
    ),
)
Rows = dict[Place, Row]


def author(number: str, likes: str | None = None) -> tuple[Place, Row]:
    """An author, who may have a favourite post."""
    return (AUTHORS, (number,)), {"id": number, "text": "", "n": "0", "likes": likes}


def post(number: str, by: str | None, answers: str | None = None) -> tuple[Place, Row]:
    """A post, whose author may be gone."""
    return (POSTS, (number,)), {"id": number, "text": "", "n": "0", "author": by, "answers": answers}


def comment(number: str, on: str) -> tuple[Place, Row]:
    """A comment on a post."""
    return (COMMENTS, (number,)), {"id": number, "text": "", "n": "0", "post": on}


FORK: Rows = dict(
    [author("a"), author("b"), post("p", "a"), post("q", "b"), post("r", None, "q"), comment("c", "p")]
)


@dataclass(frozen=True, slots=True)
class Deed:
    """One transaction: rows are made, columns set, or a row is deleted with all that hangs on it."""

    name: str
    make: tuple[tuple[Place, Row], ...] = ()
    put: tuple[tuple[Place, str, str | None], ...] = ()
    drop: Place | None = None

    def possible(self, rows: Rows) -> bool:
        """Whether the database would take it."""
        touched = [place for place, _, _ in self.put] + ([self.drop] if self.drop else [])
        return (
            all(place in rows for place in touched)
            and all(place not in rows for place, _ in self.make)
            and not dangling(self.done(rows)[1])
        )

    def done(self, rows: Rows) -> tuple[tuple[Change, ...], Rows]:
        """What it does, as the log tells it, and the rows behind it."""
        after = dict(rows)
        changes: list[Change] = []
        for place, row in self.make:
            after[place] = row
            changes.append(Insert(*place, row))
        for place, column, value in self.put:
            if place in after:
                old, after[place] = after[place], {**after[place], column: value}
                changes.append(Update(*place, after[place], old=old))
        if self.drop is not None:
            for place in _cascade(after, self.drop):
                changes.append(Delete(*place, after.pop(place)))
        return tuple(changes), after


def _cascade(rows: Rows, first: Place) -> list[Place]:
    gone = [first] if first in rows else []
    for parent in gone:
        for place, row in rows.items():
            if place not in gone and parent in parents_of(REFERENCES, place[0], row):
                gone.append(place)
    return gone


DEEDS = (
    Deed("edit a", put=(((AUTHORS, ("a",)), "text", "new"),)),
    Deed("edit p", put=(((POSTS, ("p",)), "text", "new"),)),
    Deed("count p", put=(((POSTS, ("p",)), "n", "1"),)),
    Deed("edit c", put=(((COMMENTS, ("c",)), "text", "new"),)),
    Deed("give p to b", put=(((POSTS, ("p",)), "author", "b"),)),
    Deed("move c to q", put=(((COMMENTS, ("c",)), "post", "q"),)),
    Deed("a likes p", put=(((AUTHORS, ("a",)), "likes", "p"),)),
    Deed("p answers itself", put=(((POSTS, ("p",)), "answers", "p"),)),
    Deed("comment on p", make=(comment("d", "p"),)),
    Deed("answer p", make=(post("s", "b", "p"),)),
    Deed("new author and post", make=(post("t", "z"), author("z", "t"))),
    Deed("new author of p", make=(author("z"),), put=(((POSTS, ("p",)), "author", "z"),)),
    Deed("delete a", drop=(AUTHORS, ("a",))),
    Deed("delete b", drop=(AUTHORS, ("b",))),
    Deed("delete p", drop=(POSTS, ("p",))),
    Deed("delete c", drop=(COMMENTS, ("c",))),
)


def dangling(rows: Mapping[Place, Row]) -> list[tuple[Place, Place]]:
    """Rows that refer to nothing, with what they refer to."""
    return [
        (place, parent)
        for place, row in rows.items()
        for parent in parents_of(REFERENCES, place[0], row)
        if parent not in rows
    ]


@dataclass(frozen=True, kw_only=True)
class Story:
    """What both sites did, each by users or by jobs."""

    left: tuple[Deed, ...]
    survivor: tuple[Deed, ...]
    by_users: bool = True

    def __str__(self) -> str:
        told = [", ".join(deed.name for deed in deeds) for deeds in (self.left, self.survivor)]
        return f"east: {told[0]}; west: {told[1]}; by {'users' if self.by_users else 'jobs'}"

    def _side(self, name: str, deeds: tuple[Deed, ...]) -> tuple[Divergences, Rows]:
        seen: Divergences = {}
        rows = dict(FORK)
        for number, deed in enumerate(deeds, start=1):
            changes, rows = deed.done(rows)
            request = f"{name}-{number}" if self.by_users else None
            at = Position(name, 1, number)
            fold(PLAN, seen, Transaction(xid=number, position=at, changes=changes, request=request))
        return seen, rows

    @cached_property
    def there(self) -> tuple[Divergences, Rows]:
        """What the left site did, and its rows."""
        return self._side("east", self.left)

    @cached_property
    def here(self) -> tuple[Divergences, Rows]:
        """What the survivor did, and its rows."""
        return self._side("west", self.survivor)

    @cached_property
    def settled(self) -> list[Settled]:
        """What the merge says."""
        (theirs, _), (ours, here) = self.there, self.here
        wanted = {*theirs} | {
            parent
            for (table, _), one in theirs.items()
            for parent in parents_of(REFERENCES, table, one.row or {})
        }
        children = {
            place: [child for child, row in here.items() if place in parents_of(REFERENCES, child[0], row)]
            for place, one in theirs.items()
            if one.row is None
        }
        return settle(
            Scene(
                plan=PLAN,
                left="east",
                references=REFERENCES,
                theirs=theirs,
                ours=ours,
                here={place: row for place, row in here.items() if place in wanted},
                children=children,
            )
        )

    @property
    def after(self) -> Rows:
        """The survivor's rows once it is written."""
        rows = dict(self.here[1])
        for one in self.settled:
            rows.pop((one.table, one.key), None)
            if one.row is not None:
                rows[one.table, one.key] = one.row
        return rows

    @property
    def kept(self) -> list[Kept]:
        """What went to quarantine."""
        return [lost for one in self.settled for lost in one.kept]


def every_story(left: int, survivor: int) -> Iterator[Story]:
    """All stories with so many transactions at each site."""
    sides = [
        [
            deeds
            for length in range(least, most + 1)
            for deeds in product(DEEDS, repeat=length)
            if _told(deeds)
        ]
        for least, most in ((1, left), (0, survivor))
    ]
    for theirs, ours in product(*sides):
        for by_users in (True, False):
            yield Story(left=theirs, survivor=ours, by_users=by_users)


def _told(deeds: tuple[Deed, ...]) -> bool:
    rows = dict(FORK)
    for deed in deeds:
        if not deed.possible(rows):
            return False
        rows = deed.done(rows)[1]
    return True
