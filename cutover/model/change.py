"""What a database's log says, and what a reader of its tables gets."""

from dataclasses import dataclass, field
from enum import Enum

from cutover.model.position import Position, Snapshot


class Unchanged(Enum):
    """A value that the log left out because it is large and did not change."""

    VALUE = "unchanged"


UNCHANGED = Unchanged.VALUE

Key = tuple[str, ...]  #: a row's key, each column in the database's own text form
Row = dict[str, str | Unchanged | None]  #: column -> value in the database's own text form


@dataclass(frozen=True, slots=True)
class Insert:
    """A row that was added."""

    table: str  #: qualified
    key: Key
    row: Row


@dataclass(frozen=True, slots=True)
class Update:
    """A row that was changed; `old_key` is set when the key itself changed."""

    table: str
    key: Key
    row: Row
    old_key: Key | None = None
    old: Row | None = None  #: all that stood there before, where the log carries it


@dataclass(frozen=True, slots=True)
class Delete:
    """A row that a statement or a cascade removed: the only way in which rows disappear."""

    table: str
    key: Key
    old: Row | None = None  #: all that stood there, where the log carries it


@dataclass(frozen=True, slots=True)
class Truncate:
    """Tables that were emptied."""

    tables: tuple[str, ...]


Change = Insert | Update | Delete | Truncate


@dataclass(frozen=True, slots=True, kw_only=True)
class Transaction:
    """One whole transaction of the log, in commit order."""

    xid: int  #: 32 bits, as the log has it
    position: Position  #: the end of its commit record: what `applied` says once it is in
    changes: tuple[Change, ...] = ()
    request: str | None = None  #: who asked for it, if the transaction said so
    foreign: bool = False  #: it was applied here from the peer, and must not travel back
    mark: str | None = None  #: a chunk was read before this place


@dataclass(frozen=True, slots=True)
class Quiet:
    """The log holds nothing for us up to this position."""

    position: Position


LogItem = Transaction | Quiet


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectName:
    """The object that a row owns."""

    bucket: str | None
    key: str
    sha256: str | None  #: None where the plan names no digest column


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A row of a chunk and the objects that it owns."""

    key: Key
    objects: tuple[ObjectName, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Rows of one table, read in one snapshot, in the order of the key.

    `payload` is the adapter's own form: only the adapter of the same kind at
    the other site can place it.
    """

    table: str
    payload: object = field(repr=False)
    rows: int
    last: Key | None  #: where the next chunk starts; None: this was the table's end
    snapshot: Snapshot
    owners: tuple[Owner, ...] = ()
