"""What two sites wrote apart, and what becomes of it."""

from dataclasses import dataclass, field
from decimal import Decimal

from cutover.model.change import Key, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A foreign key between two planned tables, on the parent's planned key."""

    child: str  #: qualified
    columns: tuple[str, ...]  #: of the child, in the order of the parent's key
    parent: str  #: qualified


@dataclass(frozen=True, slots=True, kw_only=True)
class Divergence:
    """What one site did to one row after the fork, folded into one step."""

    table: str
    key: Key
    made: bool  #: the row was not there at the fork
    row: Row | None  #: as the site left it; None: deleted
    gone: Row | None = None  #: what a delete removed, where the log says so
    base: Row | None = None  #: at the fork, where the log says so
    deltas: tuple[tuple[str, Decimal], ...] = ()  #: sum of what was added to each counter
    request: str | None = None  #: of the last change, if a user asked for it
    transaction: int = 0  #: the last one that changed it


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The version that lost, whole, until a person decides."""

    table: str
    key: Key
    row: Row | None  #: None: what lost is a delete
    site: str  #: where it was written
    reason: str
    request: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What the serving site does about one row that its peer changed apart."""

    table: str
    key: Key
    expected: Row | None  #: the row as the decision saw it: nothing is done if it differs by now
    row: Row | None  #: what is to stand there; None: nothing
    kept: tuple[Kept, ...] = ()
    because: str = ""

    @property
    def changes(self) -> bool:
        """Whether anything is to be written over what stands there."""
        return self.row != self.expected


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """One kept version, as it lies in a site's quarantine."""

    number: int
    kept: Kept = field(repr=False)
