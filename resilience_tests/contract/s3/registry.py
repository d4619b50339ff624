"""The list of capabilities: what an S3 server must do for a migration to rest on it."""

import importlib
from collections.abc import Callable, Mapping

from resilience_tests.contract.s3.place import Place

Check = Callable[[Place], None]

ROOMS = (
    "objects",
    "listings",
    "conditions",
    "races",
    "multipart",
    "copies",
    "integrity",
    "signatures",
    "buckets",
)
"""The modules `check_ROOM` in this folder, in the order of the matrix."""


def capabilities() -> Mapping[str, Check]:
    """Return every function `check_NAME`, by `ROOM: NAME in words`."""
    found: dict[str, Check] = {}
    for room in ROOMS:
        module = importlib.import_module(f"resilience_tests.contract.s3.check_{room}")
        for name, value in vars(module).items():
            if name.startswith("check_") and callable(value):
                found[f"{room}: {name.removeprefix('check_').replace('_', ' ')}"] = value
    return found
