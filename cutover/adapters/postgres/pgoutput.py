"""Read the messages of PostgreSQL's `pgoutput` plugin, protocol version 1.

Nothing here waits or looks anything up: bytes go in, transactions come out.
Values stay in the server's own text form. The format is in PostgreSQL's
manual under "Logical Replication Message Formats".
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import NamedTuple

from cutover.model.change import (
    UNCHANGED,
    Change,
    Delete,
    Insert,
    Key,
    Row,
    Transaction,
    Truncate,
    Unchanged,
    Update,
)
from cutover.model.plan import Plan, Table
from cutover.model.position import Position

REQUEST = "cutover.request"
"""Prefix of the message in which the fence says who asked for a transaction."""

MARK = "cutover.mark"
"""Prefix of the message which says that a chunk was read before this place."""

_BEGIN = Struct(">xQqI")  # end of the transaction, time, xid
_COMMIT = Struct(">xxQQq")  # flags; start and end of the commit record, time
_U32 = Struct(">I")
_U16 = Struct(">H")

_NULL, _SAME, _TEXT = b"nut"
_NEW, _OLD_ROW = b"NO"

Values = list[str | Unchanged | None]


class _Relation(NamedTuple):
    """One planned table, as the log last described it."""

    table: str
    columns: tuple[str, ...]
    keys: tuple[int, ...]  #: where the plan's key columns stand

    def key(self, values: Values) -> Key:
        """The key of a row; ValueError when the log left a part of it out."""
        key = tuple([values[at] for at in self.keys])
        if None in key or UNCHANGED in key:
            raise ValueError(
                f"the log of {self.table} left a key column out: is its replica identity the key?"
            )
        return key  # type: ignore[return-value]  # just checked

    def row(self, values: Values) -> Row:
        """The row, column by column."""
        return dict(zip(self.columns, values, strict=True))


class Decoder:
    """Puts the messages of one stream together to transactions of planned tables.

    What was applied from the peer, under `origin`, is not read: such a
    transaction comes out `foreign` and without changes. Whatever else has an
    origin (an import, another replication) is the users' own.
    """

    def __init__(self, plan: Plan, system: str, timeline: int, *, origin: str) -> None:
        self._peer = origin
        self._planned = {table.qualified: table for table in plan.tables}
        self._system, self._timeline = system, timeline
        self._relations: dict[int, _Relation | None] = {}
        self._start(0)
        self._handlers: dict[int, Callable[[bytes], Transaction | None]] = {
            ord("B"): self._begin,
            ord("C"): self._commit,
            ord("O"): self._origin,
            ord("R"): self._relation,
            ord("Y"): _ignore,
            ord("I"): self._insert,
            ord("U"): self._update,
            ord("D"): self._delete,
            ord("T"): self._truncate,
            ord("M"): self._message,
        }

    def feed(self, lsn: int, payload: bytes) -> Transaction | None:
        """Take the next message; returns the transaction that it ended, if it did.

        ValueError, with the place, for a message that we cannot have asked for.
        """
        handler = self._handlers.get(payload[0]) if payload else None
        if handler is None:
            raise ValueError(f"pgoutput message {payload[:1]!r} at {lsn:X} is not of protocol version 1")
        return handler(payload)

    def _start(self, xid: int) -> None:
        self._xid = xid
        self._changes: list[Change] = []
        self._request: str | None = None
        self._mark: str | None = None
        self._foreign = False

    def _begin(self, payload: bytes) -> None:
        self._start(_BEGIN.unpack_from(payload)[2])

    def _commit(self, payload: bytes) -> Transaction:
        ended = Transaction(
            xid=self._xid,
            position=Position(self._system, self._timeline, _COMMIT.unpack_from(payload)[1]),
            changes=tuple(self._changes),
            request=self._request,
            foreign=self._foreign,
            mark=self._mark,
        )
        self._start(0)
        return ended

    def _origin(self, payload: bytes) -> None:
        self._foreign = _string(payload, 9)[0] == self._peer

    def _relation(self, payload: bytes) -> None:
        schema, at = _string(payload, 5)
        name, at = _string(payload, at)
        table = self._planned.get(f"{schema}.{name}")
        number = _U32.unpack_from(payload, 1)[0]
        self._relations[number] = None if table is None else _described(table, _columns(payload, at + 1))

    def _insert(self, payload: bytes) -> None:
        relation = self._wanted(payload)
        if relation is not None:
            values, _ = _values(payload, 6, ())
            self._changes.append(Insert(relation.table, relation.key(values), relation.row(values)))

    def _update(self, payload: bytes) -> None:
        relation = self._wanted(payload)
        if relation is None:
            return
        if payload[5] == _NEW:
            values, _ = _values(payload, 6, ())
            self._changes.append(Update(relation.table, relation.key(values), relation.row(values)))
            return
        old, at = _values(payload, 6, ())
        whole = payload[5] == _OLD_ROW
        known: Sequence[object] = old if whole else _only(relation.keys, old)
        values, _ = _values(payload, at + 1, known)
        key, old_key = relation.key(values), relation.key(old)
        moved = None if old_key == key else old_key
        before = relation.row(old) if whole else None
        self._changes.append(Update(relation.table, key, relation.row(values), moved, before))

    def _delete(self, payload: bytes) -> None:
        relation = self._wanted(payload)
        if relation is not None:
            values, _ = _values(payload, 6, ())
            before = relation.row(values) if payload[5] == _OLD_ROW else None
            self._changes.append(Delete(relation.table, relation.key(values), before))

    def _truncate(self, payload: bytes) -> None:
        count = _U32.unpack_from(payload, 1)[0]
        numbers = [_U32.unpack_from(payload, 6 + 4 * n)[0] for n in range(count)]
        found = [self._relations.get(number) for number in numbers]
        tables = tuple(relation.table for relation in found if relation is not None)
        if tables and not self._foreign:
            self._changes.append(Truncate(tables))

    def _message(self, payload: bytes) -> None:
        if not payload[1] & 1:
            return
        prefix, at = _string(payload, 10)
        text = payload[at + 4 : at + 4 + _U32.unpack_from(payload, at)[0]].decode()
        if prefix == REQUEST:
            self._request = text
        elif prefix == MARK:
            self._mark = text

    def _wanted(self, payload: bytes) -> _Relation | None:
        return None if self._foreign else self._relations.get(_U32.unpack_from(payload, 1)[0])


def _ignore(payload: bytes) -> None:
    """A type's name: values come as text, so that nobody needs it."""


def _described(table: Table, columns: tuple[str, ...]) -> _Relation:
    missing = sorted(set(table.key) - set(columns))
    if missing:
        raise ValueError(
            f"the log of {table.qualified} carries no column {missing[0]!r}, which is in its key"
        )
    return _Relation(table.qualified, columns, tuple(columns.index(name) for name in table.key))


def _columns(payload: bytes, at: int) -> tuple[str, ...]:
    """The names of a relation's columns; each has a flag before and two numbers behind it."""
    names = []
    count = _U16.unpack_from(payload, at)[0]
    at += 2
    for _ in range(count):
        name, at = _string(payload, at + 1)
        names.append(name)
        at += 8
    return tuple(names)


def _string(payload: bytes, at: int) -> tuple[str, int]:
    """A text ended by a zero byte, and the place behind it."""
    end = payload.index(0, at)
    return payload[at:end].decode(), end + 1


def _only(keys: tuple[int, ...], old: Values) -> Sequence[object]:
    """An old key's values: in its other columns null means nothing."""
    return [value if at in keys else UNCHANGED for at, value in enumerate(old)]


def _values(payload: bytes, at: int, known: Sequence[object]) -> tuple[Values, int]:
    """The values of one tuple, and the place behind it; `known` fills in what was left out.

    The one loop whose speed matters here.
    """
    values: list[object] = []
    add, size_of = values.append, _U32.unpack_from
    (count,) = _U16.unpack_from(payload, at)
    at += 2
    for column in range(count):
        kind = payload[at]
        if kind == _TEXT:
            start = at + 5
            at = start + size_of(payload, at + 1)[0]
            add(payload[start:at].decode())
            continue
        if kind == _NULL:
            add(None)
        elif kind == _SAME:
            add(known[column] if known else UNCHANGED)
        else:
            raise ValueError(f"a value of the log is of kind {chr(kind)!r}, which we did not ask for")
        at += 1
    return values, at  # type: ignore[return-value]  # text, null or left out, by construction
