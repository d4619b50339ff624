"""Options that must be known before collection, and the order of the rooms."""

from pathlib import Path

import pytest

from resilience_tests.contract.s3.options import add_s3_options

ROOMS = ("style", "spec", "contract", "simulated", "planted", "live")
"""Cheapest first: what a rule of style or a pure function can tell needs no stack."""

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register what a conftest deeper down could register too late."""
    add_s3_options(parser)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests into the order of the rooms; within one, the gate's own drills come last."""
    items.sort(key=lambda item: (_room(item.path), item.path.name == "test_gate.py"))


def _room(path: Path) -> int:
    if not path.is_relative_to(HERE):
        return len(ROOMS)
    folder = path.relative_to(HERE).parts[0]
    return ROOMS.index(folder) if folder in ROOMS else len(ROOMS)
