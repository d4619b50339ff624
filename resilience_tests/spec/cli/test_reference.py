"""The reference pages say what the code does."""

from pathlib import Path

import pytest

from cutover.cli.plan_file import parse_plan
from cutover.cli.reference import EXAMPLE, cli_reference, plan_reference

PAGES = Path(__file__).parents[3] / "docs" / "reference"


@pytest.mark.parametrize(("page", "made"), [("cli.md", cli_reference), ("plan-file.md", plan_reference)])
def test_a_reference_page_is_what_the_code_makes(page: str, made: object) -> None:
    assert callable(made)
    assert (PAGES / page).read_text() == made(), "run: python -m cutover.cli.reference docs/reference"


def test_the_example_plan_is_a_plan() -> None:
    assert parse_plan(EXAMPLE, Path("plan.yaml")).plan.name == "move-2026"
