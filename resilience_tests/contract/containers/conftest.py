"""Two sites as containers on one network, where the machine allows it."""

from collections.abc import Iterator

import pytest

from resilience_tests.contract.containers.field import Field, field, forget_image, why_not


@pytest.fixture(scope="session", autouse=True)
def _engine() -> Iterator[None]:
    if reason := why_not():
        pytest.skip(f"NOT TRIED, no containers here: {reason}")
    yield
    forget_image()


@pytest.fixture(scope="module")
def ground() -> Iterator[Field]:
    """A field of containers for the tests of one module."""
    with field() as made:
        yield made
