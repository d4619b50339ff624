"""Grants and entries as the JSON bodies that the witness keeps.

Reading is strict: a field that we do not know means that somebody else wrote
it, and going on would rest a decision on half of what it says.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any, TypeVar

from cutover.errors import Refused
from cutover.model.journal import SCHEMA, Entry, Kind
from cutover.model.register import Drain, Grant, Parting, Unsent

REGISTER_SCHEMA = 2
"""Newest form of the register that this version reads."""

REGISTER = "the register"

_Value = TypeVar("_Value")
_Fields = Mapping[str, type | tuple[type, ...]]

_DRAIN: _Fields = {"leaving": str, "seconds": (int, float), "term": int, "entry": int}
_UNSENT: _Fields = {
    "seconds": (int, float, type(None)),
    "transactions": (int, type(None)),
    "confirmed": str,
    "end": str,
}
_PARTING: _Fields = {"left": str, "epoch": int, "term": int, "unsent": dict, "by": str}
_GRANT: _Fields = {
    "schema": int,
    "migration": str,
    "revision": int,
    "nonce": str,
    "term": int,
    "epoch": int,
    "serving": str,
    "lease_holder": str,
    "lease_seconds": (int, float),
    "lease_count": int,
    "eligible": list,
    "drain": (dict, type(None)),
    "behind": list,
    "unsent": dict,
    "ceilings": list,
    "parted": (dict, type(None)),
}
_ENTRY: _Fields = {
    "schema": int,
    "n": int,
    "term": int,
    "kind": str,
    "nonce": str,
    "stage": (str, type(None)),
    "direction": (str, type(None)),
    "actions": list,
    "facts": dict,
    "because": str,
    "at": str,
}


class _Foreign(Exception):
    """A body departs from its form; the text says where."""


def grant_to_json(grant: Grant) -> bytes:
    """The register's body: equal bytes for equal grants."""
    parted = grant.parted
    nested = {
        "drain": None if grant.drain is None else _plain(grant.drain),
        "unsent": _plain(grant.unsent),
        "parted": None if parted is None else _plain(parted) | {"unsent": _plain(parted.unsent)},
    }
    return _dump(_plain(grant) | {"schema": REGISTER_SCHEMA} | nested)


def grant_from_json(body: bytes, *, place: str) -> Grant:
    """Read what `grant_to_json` wrote; raises Refused, naming `place`, for anything else."""
    return _read(body, place, REGISTER_SCHEMA, _grant)


def entry_to_json(entry: Entry) -> bytes:
    """The body of one journal entry: equal bytes for equal entries."""
    return _dump(_plain(entry) | {"kind": entry.kind.value})


def entry_from_json(body: bytes, *, n: int, place: str) -> Entry:
    """Read entry `n`; raises Refused, naming `place`, for anything that is not it."""
    entry = _read(body, place, SCHEMA, _entry)
    if entry.n != n:
        raise _refused(place, f"it says that it is entry {entry.n}, and entry {n} is kept there")
    return entry


def entry_place(n: int) -> str:
    """How messages name an entry."""
    return f"journal entry {n}"


def gap(missing: int, beyond: int) -> Refused:
    """What is said of a journal that has lost an entry: it must not be carried on from."""
    return Refused(
        f"{entry_place(missing)} is missing, and entry {beyond} is there: the journal has lost an entry. "
        f"Nothing was changed. Restore the witness's bucket before going on."
    )


def _plain(value: Any) -> dict[str, Any]:
    return {item.name: getattr(value, item.name) for item in fields(value)}


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False).encode()


def _read(body: bytes, place: str, newest: int, build: Callable[[dict[str, Any]], _Value]) -> _Value:
    try:
        document = _document(body)
        _check_schema(document, place, newest)
        return build(document)
    except _Foreign as why:
        raise _refused(place, str(why)) from None


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except ValueError as error:
        raise _Foreign(f"it is not JSON ({error})") from None
    if not isinstance(document, dict):
        raise _Foreign(f"it is not an object but a {type(document).__name__}")
    return document


def _check_schema(document: dict[str, Any], place: str, newest: int) -> None:
    schema = document.get("schema")
    if schema is None or not _is(schema, int):
        raise _Foreign("it has no schema number")
    if schema > newest:
        raise Refused(
            f"{place} was written by a newer cutover (schema {schema}; this one reads up to {newest}). "
            f"Go on with the version that wrote it."
        )


def _grant(document: dict[str, Any]) -> Grant:
    _check(document, _GRANT)
    read = {
        "eligible": _sites(document, "eligible"),
        "behind": _sites(document, "behind"),
        "drain": None if document["drain"] is None else Drain(**_checked(document["drain"], _DRAIN)),
        "unsent": Unsent(**_checked(document["unsent"], _UNSENT)),
        "ceilings": _ceilings(document["ceilings"]),
        "parted": None if document["parted"] is None else _parting(document["parted"]),
    }
    return Grant(**{name: value for name, value in document.items() if name != "schema"} | read)


def _sites(document: dict[str, Any], field: str) -> tuple[str, ...]:
    if not all(isinstance(site, str) for site in document[field]):
        raise _Foreign(f"its field {field!r} is not a list of site names")
    return tuple(document[field])


def _ceilings(pairs: list[Any]) -> tuple[tuple[str, int], ...]:
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and _is(pair[0], str) and _is(pair[1], int)):
            raise _Foreign("its field 'ceilings' is not a list of sequences with a number each")
    return tuple((name, value) for name, value in pairs)


def _parting(document: dict[str, Any]) -> Parting:
    _check(document, _PARTING)
    return Parting(**document | {"unsent": Unsent(**_checked(document["unsent"], _UNSENT))})


def _checked(document: dict[str, Any], form: _Fields) -> dict[str, Any]:
    _check(document, form)
    return document


def _entry(document: dict[str, Any]) -> Entry:
    _check(document, _ENTRY)
    if not all(isinstance(action, dict) for action in document["actions"]):
        raise _Foreign("its field 'actions' is not a list of objects")
    try:
        kind = Kind(document["kind"])
    except ValueError:
        raise _Foreign(f"its kind {document['kind']!r} is none of ours") from None
    return Entry(**document | {"kind": kind, "actions": tuple(document["actions"])})


def _check(document: dict[str, Any], form: _Fields) -> None:
    """Raise _Foreign unless the document has exactly the fields of `form`, each of its type."""
    for name in sorted(set(document) ^ set(form)):
        raise _Foreign(f"it {'has an unknown' if name in document else 'lacks the'} field {name!r}")
    for name, kind in form.items():
        if not _is(document[name], kind):
            raise _Foreign(f"its field {name!r} is a {type(document[name]).__name__}")


def _is(value: object, kind: type | tuple[type, ...]) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _refused(place: str, why: str) -> Refused:
    return Refused(
        f"{place} is foreign: {why}. Nothing was changed. "
        f"Check that the witness's bucket and prefix are this migration's own."
    )
