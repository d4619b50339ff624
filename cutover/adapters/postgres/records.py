"""What a batch leaves in our own records beside the rows that it writes."""

import json
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

from cutover.adapters.postgres.catalog import Described
from cutover.adapters.postgres.runs import Runs, array
from cutover.model.change import UNCHANGED, Change, Delete, Insert, Key, Row, Truncate, Update
from cutover.model.position import Position
from cutover.ports.database import READ_AGAIN, Aside

Place = tuple[str, Key]  #: table and key of a row
Command = tuple[str, list[str]]  #: SQL and its parameters

_SET_ASIDE = """
insert into cutover.set_aside (table_name, key, reason, row)
select * from unnest($1::text[], $2::jsonb[], $3::text[], $4::jsonb[])
on conflict (table_name, key) do update set reason = excluded.reason, row = excluded.row, at = now()
"""
TAKE_OUT = """
delete from cutover.set_aside using unnest($1::text[], $2::jsonb[]) as u (name, key)
where set_aside.table_name = u.name and set_aside.key = u.key
"""
"""Takes rows off the list of those that are set aside; by their tables and keys."""
_TOUCH = "insert into cutover.touched (table_name, key) select * from unnest($1::text[], $2::jsonb[])"
_POSITION = """
insert into cutover.applied (position) values ($1)
on conflict ("only") do update set position = excluded.position
"""
_ORIGIN = "select pg_replication_origin_xact_setup($1::pg_lsn, now())"


@dataclass(slots=True)
class Records:
    """Kept up while changes are put to runs; `known` are the rows that are set aside already."""

    known: frozenset[Place]
    reasons: dict[Place, str] = field(default_factory=dict)  #: rows that must not become visible
    aside: dict[Place, tuple[str, str | None]] = field(default_factory=dict)  #: reason, row as JSON
    taken_out: dict[Place, None] = field(default_factory=dict)
    touched: dict[Place, None] = field(default_factory=dict)
    again: list[Aside] = field(default_factory=list)

    def sort(self, change: Change, runs: Runs, describe: Callable[[str], Described]) -> None:
        """Put a change to the runs, or aside."""
        if isinstance(change, Truncate):
            self._emptied(change)
            runs.add(change)
            return
        self.touch(change)
        if isinstance(change, Delete):
            self.written((change.table, change.key))
            runs.add(change)
        else:
            self._sort_row(change, runs, describe)

    def _sort_row(self, change: Insert | Update, runs: Runs, describe: Callable[[str], Described]) -> None:
        reason = self._reason(change)
        old_key = change.old_key if isinstance(change, Update) else None
        if old_key is not None:
            self.written((change.table, old_key))
        if reason is None:
            self.written((change.table, change.key))
            runs.add(change)
            return
        self.refuse(change, reason)
        if old_key is not None:  # what is visible of it stays, under its new name
            runs.rename(change.table, describe(change.table), old_key, change.key)

    def _reason(self, change: Insert | Update) -> str | None:
        """Why a row must not become visible now.

        Of a row that is set aside the log may leave out values that the visible
        row never had: it must be read again as a whole.
        """
        place = (change.table, change.key)
        if place in self.reasons:
            return self.reasons[place]
        old_key = change.old_key if isinstance(change, Update) and change.old_key else change.key
        before = (change.table, old_key)
        if UNCHANGED in change.row.values() and self._is_aside(before):
            self.again.append(Aside(table=change.table, key=change.key, reason=READ_AGAIN))
            return READ_AGAIN
        return None

    def read_again(self, place: Place) -> None:
        """Set a row aside until it was read as a whole."""
        self.put_aside(place, READ_AGAIN, None)
        self.again.append(Aside(table=place[0], key=place[1], reason=READ_AGAIN))

    def refuse(self, change: Insert | Update | Delete, reason: str) -> None:
        """Set a row aside."""
        row = None if isinstance(change, Delete) else row_json(change.row)
        self.put_aside((change.table, change.key), reason, row)

    def put_aside(self, place: Place, reason: str, row: str | None) -> None:
        """Set aside a row whose JSON is at hand."""
        self.taken_out.pop(place, None)
        self.aside[place] = (reason, row)

    def copy(self) -> "Records":
        """What is noted so far, to come back to."""
        noted = (dict(self.aside), dict(self.taken_out), dict(self.touched), list(self.again))
        return Records(self.known, self.reasons, *noted)

    def restore(self, before: "Records") -> None:
        """Forget what was noted since."""
        self.aside, self.taken_out = before.aside, before.taken_out
        self.touched, self.again = before.touched, before.again

    def now_aside(self) -> frozenset[Place]:
        """The rows that are set aside once this is committed."""
        return (self.known - self.taken_out.keys()) | self.aside.keys()

    def commands(self, position: Position, *, watching: bool) -> Iterator[Command]:
        """What writes all this, and the position that the peer's log is now in to."""
        if self.aside:
            names, keys = _columns(self.aside)
            reasons = array(reason for reason, _ in self.aside.values())
            yield _SET_ASIDE, [names, keys, reasons, array(row for _, row in self.aside.values())]
        if self.taken_out:
            yield TAKE_OUT, [*_columns(self.taken_out)]
        if watching and self.touched:
            yield _TOUCH, [*_columns(self.touched)]
        yield note_position(position)
        if position.offset:
            yield _ORIGIN, [f"{position.offset >> 32:X}/{position.offset & 0xFFFFFFFF:X}"]

    def touch(self, change: Insert | Update | Delete) -> None:
        """Note a row for the next compare."""
        self.touched[change.table, change.key] = None
        if isinstance(change, Update) and change.old_key is not None:
            self.touched[change.table, change.old_key] = None

    def written(self, place: Place) -> None:
        """A row became as it must be: it is no longer set aside."""
        self.aside.pop(place, None)
        if place in self.known:
            self.taken_out[place] = None

    def _emptied(self, change: Truncate) -> None:
        for place in [*self.known, *self.aside]:
            if place[0] in change.tables:
                self.written(place)

    def _is_aside(self, place: Place) -> bool:
        return place in self.aside or (place in self.known and place not in self.taken_out)


def note_position(position: Position) -> Command:
    """What notes that the peer's log is in up to here."""
    return _POSITION, [str(position)]


def key_json(key: Key) -> str:
    """A key as our records have it: an array of texts."""
    return json.dumps(key)


def key_from_json(text: str) -> Key:
    """Read what `key_json` wrote."""
    return tuple(json.loads(text))


def row_json(row: Row) -> str:
    """A row as our records have it, without values that the log left out."""
    return json.dumps({name: value for name, value in row.items() if value is not UNCHANGED})


def row_from_json(text: str) -> Row:
    """Read what `row_json` wrote."""
    row: Row = json.loads(text)
    return row


def _columns(places: Collection[Place]) -> tuple[str, str]:
    return array(table for table, _ in places), array(key_json(key) for _, key in places)
