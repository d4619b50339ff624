"""What is to be moved, and under which conditions."""

from dataclasses import dataclass, field
from enum import Enum

from cutover.model.stage import Direction


class MergeRule(Enum):
    """How a row that changed at both sites since they parted becomes one again."""

    RECORD = "record"  #: the only side that changed wins; both: total order, the loser to quarantine
    APPEND = "append"  #: rows are only added; the union is taken
    COUNTER = "counter"  #: both differences from the fork are added
    QUEUE = "queue"  #: a row only moves forward


class Deletes(Enum):
    """What a delete in the log must carry so that the brake lets it pass."""

    REQUIRE_REQUEST = "require_request"  #: the request id of the user who asked for it
    RECORD_TRANSACTION = "record_transaction"  #: without one, transaction and role are recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectOf:
    """The object that a row owns."""

    key_column: str
    bucket: str | None = None  #: None: the bucket that the outputs name for the site
    digest_column: str | None = None  #: sha256 in hex; None: the engine records it itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """How the rows of a queue move forward."""

    column: str
    values: tuple[str, ...]  #: of that column, from first to last


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One planned table."""

    name: str
    key: tuple[str, ...]
    merge: MergeRule
    schema: str = "public"
    counters: tuple[str, ...] = ()
    order: Order | None = None  #: of a queue; None: two versions cannot be told apart, and one is kept
    objects: tuple[ObjectOf, ...] = ()

    @property
    def qualified(self) -> str:
        """Schema and name, for messages and as the table's name in our own records."""
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """What must hold before writes are stopped, and for how long they may be."""

    lag_seconds: float = 2.0  #: longest lag at which a drain may start
    drain_seconds: float = 20.0  #: after this a drain gives the leaving site its writes back
    drain_attempts: int = 3  #: drains given up in a row before the operator is asked
    approve_cutover: bool = False  #: a drain waits for `cutover approve`
    approve_merge: bool = False  #: stranded writes wait for `cutover stranded merge`
    delete_rows: int = 10_000  #: most rows that one transaction may delete before the brake stops it


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """How long a site may serve without hearing from the witness (seconds)."""

    seconds: float = 3.0
    margin: float = 1.0  #: clock jump of a database server that we bear
    lending: bool = False  #: while only the witness is gone, the peer lends leases


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One migration: entry 0 of its journal holds it whole, with its digest."""

    name: str
    source: str
    target: str
    tables: tuple[Table, ...]
    deletes: Deletes = Deletes.RECORD_TRANSACTION
    gates: Gates = field(default_factory=Gates)
    lease: Lease = field(default_factory=Lease)

    def leaving(self, direction: Direction) -> str:
        """The site that a drain in this direction closes."""
        return self.source if direction is Direction.FORWARD else self.target

    def arriving(self, direction: Direction) -> str:
        """The site that a cutover in this direction opens."""
        return self.target if direction is Direction.FORWARD else self.source

    def peer(self, site: str) -> str:
        """The other site."""
        return self.target if site == self.source else self.source

    def table(self, qualified: str) -> Table:
        """The planned table of that qualified name; KeyError when the plan has none."""
        for table in self.tables:
            if table.qualified == qualified:
                return table
        raise KeyError(qualified)
