"""Reads a plan file; what is wrong in it is said with its line, and all at once."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from cutover.cli.plan_schema import (
    IDENTIFIER_BYTES_MAX,
    GatesKeys,
    LeaseKeys,
    ObjectKeys,
    PlanKeys,
    TableKeys,
)
from cutover.cli.yaml_marks import Marked, Place, read_marked
from cutover.errors import BadInput
from cutover.model.plan import Deletes, Gates, Lease, MergeRule, ObjectOf, Order, Plan, Table
from cutover.model.plan_json import plan_from_json

Problem = tuple[Place, str]

BYTES_MAX = 4 << 20
"""Largest plan file that is read (bytes): ten thousand tables fit in it."""

_SECRET_KEY = re.compile(
    r"passw|passphrase|secret|token|credential|access_?key|private_?key|api_?key|dsn", re.I
)
_SECRET_VALUE = re.compile(r"://[^/\s:@]*:[^@/\s]+@|PRIVATE KEY-----")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanFile:
    """A plan and what its file says beside it."""

    plan: Plan
    path: Path
    stack: str | None  #: as written


def read_plan(path: Path) -> PlanFile:
    """Read a plan file (YAML), or a plan as the journal keeps it (.json); BadInput when it is wrong."""
    text = _text_of(path)
    if path.suffix == ".json":
        return PlanFile(plan=_from_journal(text, path.name), path=path, stack=None)
    return parse_plan(text, path)


def parse_plan(text: str, path: Path) -> PlanFile:
    """Read the text of a plan file; `path` is for messages and for what is relative to it."""
    marked = read_marked(text, path.name)
    _refuse(path.name, marked, list(_secrets(marked)))
    keys = _validate(path.name, marked)
    _refuse(path.name, marked, list(_contradictions(keys)))
    return PlanFile(plan=_plan(keys), path=path, stack=keys.stack)


def split_name(table: str) -> tuple[str, str]:
    """Schema and name of a table as the plan writes it."""
    schema, dot, name = table.rpartition(".")
    return (schema, name) if dot else ("public", table)


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise BadInput(
            f"plan {str(path)!r} cannot be read: {error.strerror}. Give the path of a plan file."
        ) from None
    if len(content) > BYTES_MAX:
        raise BadInput(f"plan {str(path)!r} has more than {BYTES_MAX} bytes: this is not a plan file.")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(
            f"plan {str(path)!r} is not UTF-8 (byte {error.start}): this is not a plan file."
        ) from None


def _from_journal(text: str, name: str) -> Plan:
    try:
        return plan_from_json(json.loads(text))
    except ValueError as error:
        raise BadInput(f"{name}: {error}. Take the plan as it was written.") from None


def _secrets(marked: Marked) -> Iterator[Problem]:
    """Anything that looks like a secret. The value is never shown."""
    for place in marked.lines:
        if place and isinstance(place[-1], str) and _SECRET_KEY.search(place[-1]):
            yield place, f"key {place[-1]!r} looks like a secret, {_NO_SECRETS}"
    for place, text in marked.scalars():
        if _SECRET_VALUE.search(text):
            yield place, f"the value of {_dotted(place)} looks like a secret, {_NO_SECRETS}"


_NO_SECRETS = (
    "and a plan holds none, since it is written whole into the journal. Take it out: "
    "secrets are read from the credentials_file that the stack's outputs name"
)


def _validate(name: str, marked: Marked) -> PlanKeys:
    try:
        return PlanKeys.model_validate(marked.value)
    except ValidationError as error:
        _refuse(name, marked, [_problem(item) for item in error.errors()])
        raise AssertionError("a validation error without errors") from error


def _problem(error: Any) -> Problem:
    place = tuple(error["loc"])
    match error["type"]:
        case "extra_forbidden":
            return place, _unknown_key(place)
        case "missing":
            return place, f"key {place[-1]!r} is missing{_inside(place)} ({_meaning(place)})"
        case "literal_error":
            return place, _no_such_word(place, error["input"])
        case _:
            found = _shown(error["input"])
            return place, f"{_dotted(place)}: {_wanted(error)} is needed, found {found} ({_meaning(place)})"


def _unknown_key(place: Place) -> str:
    known = list(keys_of(_model_at(place[:-1])))
    near = get_close_matches(str(place[-1]), known, 1, 0.5)
    advice = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
    return f"unknown key {str(place[-1])!r}{_inside(place)}; {advice}"


def _no_such_word(place: Place, found: object) -> str:
    words = [str(word) for word in get_args(_field(place).annotation)]
    near = get_close_matches(str(found), words, 1, 0.5)
    advice = f"; did you mean {near[0]!r}?" if near and near[0] != str(found) else ""
    return f"{_dotted(place)}: one of {', '.join(words)} is needed, found {_shown(found)}{advice}"


def _wanted(error: Mapping[str, Any]) -> str:
    context = error.get("ctx", {})
    match error["type"]:
        case "greater_than":
            return f"more than {context['gt']:g}"
        case "greater_than_equal":
            return f"{context['ge']:g} or more"
        case "too_short" | "string_too_short":
            return "at least one"
        case "string_pattern_mismatch":
            return "a name of small letters, digits and hyphens"
        case kind:
            return _WANTED.get(kind, "another value")


_WANTED = {
    "string_type": "text (put it into quotes)",
    "list_type": "a list",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "model_type": "a set of keys",
}


def keys_of(model: type[BaseModel]) -> Iterator[str]:
    """The keys of a part of the plan file, as they are written."""
    for name, field in model.model_fields.items():
        yield field.alias or name


_PARTS: dict[str, type[BaseModel]] = {
    "lease": LeaseKeys,
    "gates": GatesKeys,
    "tables": TableKeys,
    "objects": ObjectKeys,
}


def _model_at(place: Place) -> type[BaseModel]:
    words = [part for part in place if part in _PARTS]
    return _PARTS[str(words[-1])] if words else PlanKeys


def _field(place: Place) -> Any:
    """The field that a place belongs to; an item of a list belongs to the list's field."""
    while isinstance(place[-1], int):
        place = place[:-1]
    model = _model_at(place[:-1])
    return next(field for name, field in model.model_fields.items() if (field.alias or name) == place[-1])


def _meaning(place: Place) -> str:
    return str(_field(place).description) if place else "a plan is a set of keys"


def _contradictions(keys: PlanKeys) -> Iterator[Problem]:
    """What the types cannot say."""
    if keys.source == keys.target:
        yield ("target",), f"target: {keys.target!r} is the source too; name two sites"
    first: dict[str, int] = {}
    for n, table in enumerate(keys.tables):
        place: Place = ("tables", n)
        qualified = ".".join(split_name(table.name))
        if first.setdefault(qualified, n) != n:
            yield (*place, "name"), f"table {qualified!r} stands here twice; take one of the two out"
        yield from _wrong_in_table(table, place)


def _wrong_in_table(table: TableKeys, place: Place) -> Iterator[Problem]:
    schema, name = split_name(table.name)
    if not schema or not name or "." in schema:
        yield (*place, "name"), f"{table.name!r} is not `table` or `schema.table`"
    if table.merge == "counter" and not table.counters:
        yield (
            (*place, "merge"),
            f"table {table.name!r} merges as a counter; name its columns under `counters`",
        )
    if table.order is not None and table.merge != "queue":
        yield (*place, "order"), f"table {table.name!r} is no queue; take `order` out, or say `merge: queue`"
    for column in table.counters:
        if column in table.key:
            yield (*place, "counters"), f"column {column!r} is in the key, so it cannot be a counter"
    for what, columns in (("key", table.key), ("counters", table.counters)):
        if twice := sorted({column for column in columns if columns.count(column) > 1}):
            yield (*place, what), f"column {twice[0]!r} stands twice under {what}; take one of the two out"
    for word in (schema, name, *table.key, *table.counters, *_object_columns(table)):
        if len(word.encode()) > IDENTIFIER_BYTES_MAX or "\0" in word:
            yield (
                place,
                f"{word!r} is not a name: PostgreSQL keeps {IDENTIFIER_BYTES_MAX} bytes of it at most",
            )


def _object_columns(table: TableKeys) -> Iterator[str]:
    for owned in table.objects:
        yield owned.key
        if owned.digest is not None:
            yield owned.digest


def _plan(keys: PlanKeys) -> Plan:
    return Plan(
        name=keys.name,
        source=keys.source,
        target=keys.target,
        deletes=Deletes(keys.deletes),
        gates=Gates(**keys.gates.model_dump()),
        lease=Lease(**keys.lease.model_dump()),
        tables=tuple(_table(table) for table in keys.tables),
    )


def _table(table: TableKeys) -> Table:
    schema, name = split_name(table.name)
    return Table(
        schema=schema,
        name=name,
        key=tuple(table.key),
        merge=MergeRule(table.merge),
        counters=tuple(table.counters),
        order=_order(table),
        objects=tuple(
            ObjectOf(key_column=owned.key, bucket=owned.bucket, digest_column=owned.digest)
            for owned in table.objects
        ),
    )


def _order(table: TableKeys) -> Order | None:
    if table.order is None:
        return None
    return Order(column=table.order.column, values=tuple(table.order.values))


def _refuse(name: str, marked: Marked, problems: Sequence[Problem]) -> None:
    if not problems:
        return
    lines = sorted({(marked.line(place), what) for place, what in problems})
    if len(lines) == 1:
        raise BadInput(f"{name}, line {lines[0][0]}: {lines[0][1]}. Nothing was changed.")
    listed = "\n".join(f"  line {line}: {what}" for line, what in lines)
    raise BadInput(f"{name}: {len(lines)} things are wrong; nothing was changed.\n{listed}")


def _dotted(place: Place) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return text.lstrip(".") or "the plan"


def _inside(place: Place) -> str:
    return f" in {_dotted(place[:-1])}" if place[:-1] else ""


def _shown(value: object) -> str:
    text = json.dumps(value, default=str) if not isinstance(value, str) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
