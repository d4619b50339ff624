"""Changes put together to few statements, and the SQL of these.

Within one commit only the order of changes to one table matters (foreign keys
and triggers are off), and of a row written twice only the second writing.
What that can disturb is another unique constraint; then a batch is done again
change by change.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

from cutover.adapters.postgres.catalog import ALWAYS, Column, Described, quoted
from cutover.errors import Refused
from cutover.model.change import UNCHANGED, Change, Delete, Insert, Key, Truncate, Update

Values = Sequence[str | None]


class Kind(Enum):
    """What a run does to its rows."""

    WRITE = "write"  #: the whole row, whether it is there or not
    MAKE = "make"  #: a row that must not be there
    PATCH = "patch"  #: some columns of a row that must be there
    REMOVE = "remove"
    EMPTY = "empty"  #: every row


@dataclass(slots=True)
class Run:
    """Rows of one table that one statement can do."""

    table: str
    kind: Kind
    shape: tuple[str, ...] = ()  #: columns that are written
    rows: dict[Key, Values] = field(default_factory=dict)  #: by the key that they have now
    moving: bool = False  #: the rows get other keys
    optional: bool = False  #: nobody minds if the rows are not there

    def takes(self, kind: Kind, shape: tuple[str, ...]) -> bool:
        """Whether a change can be put into this run instead of a new one."""
        return self.kind is kind and self.shape == shape and not self.moving and kind is not Kind.EMPTY

    @property
    def may_miss(self) -> bool:
        """Whether a row that is not there must be known."""
        return self.kind is Kind.PATCH and not self.optional

    def missing(self, table: Described, found: Collection[int]) -> list[Key]:
        """The new keys of rows that a PATCH should have found; `found` are ordinals from 1."""
        if not self.may_miss or len(found) == len(self.rows):
            return []
        at = [self.shape.index(name) for name in table.table.key]
        rows = enumerate(self.rows.values(), 1)
        return [tuple(values[n] or "" for n in at) for place, values in rows if place not in found]


class Runs:
    """The runs of some changes, in order within each table."""

    def __init__(self) -> None:
        self._tables: dict[str, list[Run]] = {}

    def __iter__(self) -> Iterator[Run]:
        for runs in self._tables.values():
            yield from runs

    def add(self, change: Change) -> None:
        """Append a change."""
        if isinstance(change, Truncate):
            for table in change.tables:
                self._runs(table).append(Run(table, Kind.EMPTY))
        elif isinstance(change, Delete):
            self._row(change.table, Kind.REMOVE, (), change.key, ())
        elif UNCHANGED in change.row.values():
            self._patch(change)
        else:
            self._write(change)

    def rename(self, table: str, described: Described, old: Key, new: Key) -> None:
        """Give a row another key and leave the rest of it; one whose key cannot change is removed."""
        if any(column.identity == ALWAYS for column in described.keys):
            self.add(Delete(table, old))
            return
        columns = described.table.key
        self._runs(table).append(Run(table, Kind.PATCH, columns, {old: new}, moving=True, optional=True))

    def _write(self, change: Insert | Update) -> None:
        if isinstance(change, Update) and change.old_key is not None:
            self._row(change.table, Kind.REMOVE, (), change.old_key, ())
        values: Values = tuple(change.row.values())  # type: ignore[arg-type]  # nothing is left out
        self._row(change.table, Kind.WRITE, tuple(change.row), change.key, values)

    def _patch(self, change: Insert | Update) -> None:
        known = {name: value for name, value in change.row.items() if value is not UNCHANGED}
        shape, values = tuple(known), tuple(known.values())
        old_key = change.old_key if isinstance(change, Update) else None
        if old_key is None:
            self._row(change.table, Kind.PATCH, shape, change.key, values)
        else:
            self._runs(change.table).append(
                Run(change.table, Kind.PATCH, shape, {old_key: values}, moving=True)
            )

    def _row(self, table: str, kind: Kind, shape: tuple[str, ...], key: Key, values: Values) -> None:
        """Put a row to the table's last run, if it is of its kind; the last writing of a key counts."""
        runs = self._runs(table)
        if not runs or not runs[-1].takes(kind, shape):
            runs.append(Run(table, kind, shape))
        runs[-1].rows[key] = values

    def _runs(self, table: str) -> list[Run]:
        return self._tables.setdefault(table, [])


def statement(run: Run, table: Described) -> tuple[str, list[str]]:
    """A run as SQL with its parameters; Refused when this site's table lacks a column.

    A PATCH returns the ordinals, from 1, of the rows that were there.
    """
    match run.kind:
        case Kind.WRITE:
            return _write(run, table), _arrays(run.rows.values())
        case Kind.MAKE:
            columns = [_column(table, name) for name in run.shape]
            return _insert(table, columns), _arrays(run.rows.values())
        case Kind.PATCH:
            pairs = [(*key, *values) for key, values in run.rows.items()]
            return _patch(run, table), _arrays(pairs)
        case Kind.REMOVE:
            matching, arrays = by_key(table, run.rows)
            return f"delete from {table.sql} as t using {matching}", arrays
        case Kind.EMPTY:
            # Not TRUNCATE: that waits for every reader, makes all others wait meanwhile, and fails
            # where a table outside the plan refers to this one.
            return f"delete from {table.sql}", []


def _write(run: Run, table: Described) -> str:
    columns = [_column(table, name) for name in run.shape]
    return _upsert(table, columns, on_conflict(table, columns))


def _upsert(table: Described, columns: Sequence[Column], otherwise: str) -> str:
    return f"{_insert(table, columns)} on conflict ({table.key_list}) do {otherwise}"


def _insert(table: Described, columns: Sequence[Column]) -> str:
    names = ", ".join(quoted(column.name) for column in columns)
    given = ", ".join(f"u.{_value(column, n)}" for n, column in enumerate(columns, 1))
    return f"insert into {table.sql} ({names}) overriding system value select {given} from {_unnest(columns)}"


def insert_missing(table: Described, shape: Sequence[str], rows: Iterable[Values]) -> tuple[str, list[str]]:
    """What writes the rows whose key is not there, with its parameters."""
    return _upsert(table, [_column(table, name) for name in shape], "nothing"), _arrays(rows)


def on_conflict(table: Described, columns: Sequence[Column]) -> str:
    """What is written over a row that is there: an identity that is always generated cannot change."""
    changing = [c for c in columns if c.name not in table.table.key and c.identity != ALWAYS]
    sets = ", ".join(f"{quoted(column.name)} = excluded.{quoted(column.name)}" for column in changing)
    return f"update set {sets}" if sets else "nothing"


def _patch(run: Run, table: Described) -> str:
    columns = [_column(table, name) for name in run.shape]
    numbered = list(enumerate(columns, len(table.keys) + 1))
    changing = [(n, c) for n, c in numbered if run.moving or c.name not in table.table.key]
    sets = ", ".join(f"{quoted(c.name)} = u.{_value(c, n)}" for n, c in changing if c.identity != ALWAYS)
    given = f"{_unnest([*table.keys, *columns], ordinality=True)} where {_same_key(table)}"
    if not sets:
        return f"select u.n from {table.sql} as t, {given}"
    return f"update {table.sql} as t set {sets} from {given} returning u.n"


def by_key(table: Described, keys: Collection[Key]) -> tuple[str, list[str]]:
    """What picks these rows of a table `t` in USING and WHERE, with its parameters."""
    return f"{_unnest(table.keys)} where {_same_key(table)}", _arrays(keys)


def given(columns: Sequence[Column], rows: Iterable[Values]) -> tuple[str, list[str]]:
    """Values as a table `u` whose `n` is their ordinal from 1, with its parameters."""
    return _unnest(columns, ordinality=True), _arrays(rows)


def same(alias: str, names: Sequence[str], columns: Sequence[Column]) -> str:
    """The condition that these columns of a table equal what is `given` of others."""
    pairs = enumerate(zip(names, columns, strict=True), 1)
    return " and ".join(f"{alias}.{quoted(name)} = u.{_value(column, n)}" for n, (name, column) in pairs)


def _same_key(table: Described) -> str:
    return same("t", table.table.key, table.keys)


def _column(table: Described, name: str) -> Column:
    column = table.named.get(name)
    if column is None:
        raise Refused(
            f"{table.table.qualified} has no column {name!r} here, or generates it, and the peer writes it: "
            f"give both sites the same schema, then run this again"
        )
    return column


def _unnest(columns: Sequence[Column], *, ordinality: bool = False) -> str:
    """One array of texts a column, as rows of a table `u`."""
    given = ", ".join(f"${n}::{column.array or 'pg_catalog.text[]'}" for n, column in enumerate(columns, 1))
    named = ", ".join([*(f"c{n}" for n in range(1, len(columns) + 1)), *(["n"] if ordinality else [])])
    return f"unnest({given}) {'with ordinality ' if ordinality else ''}as u({named})"


def _value(column: Column, n: int) -> str:
    return f"c{n}" if column.array else f"c{n}::{column.type}"


def _arrays(rows: Iterable[Values]) -> list[str]:
    return [array(values) for values in zip(*rows, strict=True)]


def array(values: Iterable[str | None]) -> str:
    """An array of texts as PostgreSQL reads it."""
    return "{" + ",".join(["NULL" if value is None else _element(value) for value in values]) + "}"


def _element(value: str) -> str:
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'
