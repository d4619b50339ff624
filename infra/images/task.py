"""What a container is told to run: the file `service.json` that is put into it.

{"entry": "module:function", "settings": {...}}
{"postgres": {"version": 18, "port": 5432, "hosts": ["198.18.16.0/26"], "passwords_file": PATH,
              "settings": {...}, "schema": PATH, "database": NAME}}

What stands in the last line, and the version, may be left out or null.
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

    version: int | None = None  #: major; None: the newest of the image
    port: int
    passwords_file: str  #: JSON object {role: password}
    hosts: tuple[str, ...]  #: networks whose clients may log in with a password
    settings: Mapping[str, object] = field(default_factory=dict)  #: stronger than our own
    schema: str | None = None  #: SQL file that the role platform runs in the template; relative: of our code
    database: str | None = None  #: made by the start that first hears of it, as a copy of the template


def read_task(path: Path) -> ServiceTask | PostgresTask:
    """Read what to run; ValueError says what is wrong with the file."""
    try:
        told = json.loads(path.read_text())
        return _postgres(told["postgres"]) if "postgres" in told else _service(told)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} does not say what to run: {type(error).__name__}: {error}") from error


def _service(told: Mapping[str, Any]) -> ServiceTask:
    _refuse_unknown(told, {"entry", "settings", "fast"})
    entry = str(told["entry"])
    return ServiceTask(entry=entry, settings=told["settings"], fast=told.get("fast", entry.startswith(FAST)))


def _postgres(told: Mapping[str, Any]) -> PostgresTask:
    _refuse_unknown(told, {one.name for one in fields(PostgresTask)})
    return PostgresTask(**{**told, "hosts": tuple(told["hosts"]), "settings": told.get("settings") or {}})


def _refuse_unknown(told: Mapping[str, Any], known: set[str]) -> None:
    if unknown := told.keys() - known:
        raise ValueError(f"nobody reads {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
