"""What a container is told to run: the file `service.json` that is put into it.

{"entry": "module:function", "settings": {...}}
{"postgres": {"version": 18, "port": 5432, "hosts": ["198.18.16.0/26"], "settings": {...},
              "passwords_file": PATH, "schema": PATH or null, "database": NAME or null}}
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

FAST = ("infra.", "sample_platform.")
"""Whose entries run on uvloop unless told otherwise; the engine runs on the loop that it is simulated on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceTask:
    """A service of ours, run by its entry."""

    entry: str  #: "module:function"
    settings: Mapping[str, object]
    fast: bool  #: on uvloop


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresTask:
    """A database server."""

    version: int  #: major
    port: int
    passwords_file: str  #: JSON object {role: password}
    hosts: tuple[str, ...]  #: networks whose clients may log in with a password
    settings: Mapping[str, object] = field(default_factory=dict)  #: stronger than our own
    schema: str | None = None  #: SQL file that the role platform runs in the template
    database: str | None = None  #: made at the first start, as a copy of the template


def read_task(path: Path) -> ServiceTask | PostgresTask:
    """Read what to run; ValueError says what is wrong with the file."""
    try:
        told = json.loads(path.read_text())
        return _postgres(told["postgres"]) if "postgres" in told else _service(told)
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say what to run: {type(error).__name__}: {error}") from error


def _service(told: Mapping[str, Any]) -> ServiceTask:
    _refuse_unknown(told, {"entry", "settings", "fast"})
    entry = str(told["entry"])
    return ServiceTask(entry=entry, settings=told["settings"], fast=told.get("fast", entry.startswith(FAST)))


def _postgres(told: Mapping[str, Any]) -> PostgresTask:
    _refuse_unknown(told, {one.name for one in fields(PostgresTask)})
    return PostgresTask(**{**told, "hosts": tuple(told["hosts"])})


def _refuse_unknown(told: Mapping[str, Any], known: set[str]) -> None:
    if unknown := told.keys() - known:
        raise ValueError(f"nobody reads {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
