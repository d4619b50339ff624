"""A plan as entry 0 of its journal keeps it, and the digest that names it.

Reading is strict both ways: a plan that lost a key or gained one is not the
plan that the migration was started with.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from enum import Enum
from math import isfinite
from typing import TypeVar

from cutover.model.plan import Deletes, Gates, Lease, MergeRule, ObjectOf, Order, Plan, Table

SCHEMA = 1
"""Raised when a reader of the older form would misread the newer one."""

_Value = TypeVar("_Value")
_Enum = TypeVar("_Enum", bound=Enum)


def plan_to_json(plan: Plan) -> dict[str, object]:
    """The plan as JSON-ready values; equal plans give equal values."""
    return {
        "schema": SCHEMA,
        "name": plan.name,
        "source": plan.source,
        "target": plan.target,
        "deletes": plan.deletes.value,
        "gates": _gates_to_json(plan.gates),
        "lease": _lease_to_json(plan.lease),
        "tables": [_table_to_json(table) for table in plan.tables],
    }


def plan_from_json(data: object) -> Plan:
    """Read what `plan_to_json` wrote; ValueError, naming the place, when it is foreign."""
    top = _Object(data, "plan")
    if (schema := top.whole("schema")) != SCHEMA:
        raise ValueError(
            f"plan.schema: this version reads schema {SCHEMA}, found {schema}; "
            f"use the version of cutover that wrote it"
        )
    plan = Plan(
        name=top.text("name"),
        source=top.text("source"),
        target=top.text("target"),
        deletes=top.one_of("deletes", Deletes),
        gates=_read_gates(top.child("gates")),
        lease=_read_lease(top.child("lease")),
        tables=top.each("tables", _read_table),
    )
    top.nothing_else()
    return plan


def plan_digest(plan: Plan) -> str:
    """Name the plan by its content: sha256, in hex, of its canonical JSON."""
    canonical = json.dumps(plan_to_json(plan), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _lease_to_json(lease: Lease) -> dict[str, object]:
    asked = {"lending": True} if lease.lending else {}  # what came later is left out unless used
    return asked | {"seconds": float(lease.seconds), "margin": float(lease.margin)}


def _gates_to_json(gates: Gates) -> dict[str, object]:
    asked = {"approve_merge": True} if gates.approve_merge else {}  # what came later is left out unless used
    return asked | {
        "lag_seconds": float(gates.lag_seconds),
        "drain_seconds": float(gates.drain_seconds),
        "drain_attempts": gates.drain_attempts,
        "approve_cutover": gates.approve_cutover,
        "delete_rows": gates.delete_rows,
    }


def _table_to_json(table: Table) -> dict[str, object]:
    order = {} if table.order is None else {"order": _order_to_json(table.order)}
    return order | {
        "schema": table.schema,
        "name": table.name,
        "key": list(table.key),
        "merge": table.merge.value,
        "counters": list(table.counters),
        "objects": [_object_to_json(owned) for owned in table.objects],
    }


def _order_to_json(order: Order) -> dict[str, object]:
    return {"column": order.column, "values": list(order.values)}


def _object_to_json(owned: ObjectOf) -> dict[str, object]:
    return {"key": owned.key_column, "bucket": owned.bucket, "digest": owned.digest_column}


def _read_gates(gates: "_Object") -> Gates:
    read = Gates(
        lag_seconds=gates.number("lag_seconds"),
        drain_seconds=gates.number("drain_seconds"),
        drain_attempts=gates.whole("drain_attempts"),
        approve_cutover=gates.flag("approve_cutover"),
        approve_merge=gates.has("approve_merge") and gates.flag("approve_merge"),
        delete_rows=gates.whole("delete_rows"),
    )
    gates.nothing_else()
    return read


def _read_lease(lease: "_Object") -> Lease:
    lending = lease.has("lending") and lease.flag("lending")
    read = Lease(seconds=lease.number("seconds"), margin=lease.number("margin"), lending=lending)
    lease.nothing_else()
    return read


def _read_table(table: "_Object") -> Table:
    read = Table(
        schema=table.text("schema"),
        name=table.text("name"),
        key=table.texts("key"),
        merge=table.one_of("merge", MergeRule),
        counters=table.texts("counters"),
        order=_read_order(table.child("order")) if table.has("order") else None,
        objects=table.each("objects", _read_object),
    )
    table.nothing_else()
    return read


def _read_order(order: "_Object") -> Order:
    read = Order(column=order.text("column"), values=order.texts("values"))
    order.nothing_else()
    return read


def _read_object(owned: "_Object") -> ObjectOf:
    read = ObjectOf(
        key_column=owned.text("key"),
        bucket=owned.text_or_none("bucket"),
        digest_column=owned.text_or_none("digest"),
    )
    owned.nothing_else()
    return read


class _Object:
    """One JSON object being read: what is not asked for is foreign."""

    def __init__(self, data: object, place: str) -> None:
        if not isinstance(data, Mapping):
            raise ValueError(f"{place}: an object is needed, found {_kind(data)}")
        self._data: Mapping[str, object] = data
        self._place = place
        self._asked: set[str] = set()

    def text(self, key: str) -> str:
        return self._typed(key, str, "text")

    def text_or_none(self, key: str) -> str | None:
        return None if self._get(key) is None else self.text(key)

    def whole(self, key: str) -> int:
        return self._typed(key, int, "a whole number")

    def flag(self, key: str) -> bool:
        return self._typed(key, bool, "true or false")

    def number(self, key: str) -> float:
        value = self._get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise ValueError(f"{self._place}.{key}: a finite number is needed, found {value!r}")
        return float(value)

    def one_of(self, key: str, kind: type[_Enum]) -> _Enum:
        value = self.text(key)
        try:
            return kind(value)
        except ValueError:
            known = ", ".join(str(item.value) for item in kind)
            raise ValueError(f"{self._place}.{key}: one of {known} is needed, found {value!r}") from None

    def texts(self, key: str) -> tuple[str, ...]:
        values = self._typed(key, list, "a list")
        if not all(isinstance(value, str) for value in values):
            raise ValueError(f"{self._place}.{key}: a list of text is needed, found {values!r}")
        return tuple(values)

    def child(self, key: str) -> "_Object":
        return _Object(self._get(key), f"{self._place}.{key}")

    def has(self, key: str) -> bool:
        """Whether a key that came later is there."""
        return key in self._data

    def each(self, key: str, read: Callable[["_Object"], _Value]) -> tuple[_Value, ...]:
        values = self._typed(key, list, "a list")
        return tuple(read(_Object(value, f"{self._place}.{key}[{n}]")) for n, value in enumerate(values))

    def nothing_else(self) -> None:
        unknown = sorted(set(self._data) - self._asked)
        if unknown:
            raise ValueError(f"{self._place}: unknown key {unknown[0]!r}")

    def _typed(self, key: str, kind: type[_Value], wanted: str) -> _Value:
        value = self._get(key)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"{self._place}.{key}: {wanted} is needed, found {_kind(value)}")
        return value

    def _get(self, key: str) -> object:
        self._asked.add(key)
        if key not in self._data:
            raise ValueError(f"{self._place}: key {key!r} is missing")
        return self._data[key]


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__
