"""What preflight finds at one site's database: facts only, judged elsewhere."""

from dataclasses import dataclass
from enum import Enum


class Kind(Enum):
    """What a relation is, in the database's own terms."""

    TABLE = "table"
    PARTITIONED = "partitioned table"
    FOREIGN = "foreign table"
    VIEW = "view"
    OTHER = "relation that holds no rows of its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column of a planned table."""

    name: str
    type: str  #: as the database prints it, with its modifiers
    nullable: bool
    generated: bool  #: computed from other columns


@dataclass(frozen=True, slots=True, kw_only=True)
class UniqueIndex:
    """An index that could name the rows."""

    columns: tuple[str, ...]
    primary: bool
    deferrable: bool
    partial: bool  #: over some rows, or over an expression


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignKey:
    """A reference between two tables."""

    name: str
    table: str  #: the one that refers, qualified
    refers_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class IdSequence:
    """What gives a planned table its ids."""

    name: str  #: qualified and quoted; ids move by it
    lowest: int
    highest: int
    step: int  #: below 0: it counts down
    usable: bool  #: our role may read and set it


@dataclass(frozen=True, slots=True, kw_only=True)
class TableSurvey:
    """One planned table, as it is at one site."""

    name: str  #: qualified, as the plan has it
    kind: Kind
    unlogged: bool
    inherits: bool  #: it has parents or children
    row_security: bool
    admin_owns: bool  #: our role has the rights of its owner
    applier_owns: bool
    has_rows: bool
    estimated_rows: int
    columns: tuple[Column, ...]
    indexes: tuple[UniqueIndex, ...]
    foreign_keys: tuple[ForeignKey, ...]  #: from it and to it
    rules: tuple[str, ...]
    always_triggers: tuple[str, ...]  #: the user's, those that fire for the applier too
    sequences: tuple[IdSequence, ...]
    publications: tuple[str, ...]  #: not ours
    subscriptions: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LongTransaction:
    """A transaction that holds up the start of a slot, in whichever database of the server."""

    pid: int
    database: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """One site's database server and the planned tables in it."""

    site: str
    version: int  #: major
    standby: bool = False
    encoding: str = "UTF8"
    wal_level: str = "logical"
    settings_off: tuple[str, ...] = ()  #: of those that durability rests on
    slots_free: int = 1
    slot_ours: bool = False
    walsenders_free: int = 1
    missing_rights: tuple[str, ...] = ()
    pooled: bool = False  #: two statements of one connection ran in two sessions
    foreign_schema: bool = False  #: there is a schema of our name that is not ours
    installed: bool = False  #: fence and records of ours are there, of an earlier migration
    prepared: tuple[str, ...] = ()  #: names of prepared transactions, in any database
    long_transactions: tuple[LongTransaction, ...] = ()
    large_objects: bool = False
    tables: tuple[TableSurvey, ...] = ()

    def table(self, qualified: str) -> TableSurvey | None:
        """The table of that name; None: this site has none."""
        return next((table for table in self.tables if table.name == qualified), None)
