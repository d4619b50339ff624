"""A clean simulated migration is never called violated: a slice of `python -m benchmarks.false_alarms`."""

import pytest

from drill.simulator.rehearsal import rehearse
from drill.verdict import Verdict


@pytest.mark.parametrize("ending", ["soak", "complete", "roll-back"])
@pytest.mark.parametrize("seed", [140, 148, 160])
def test_a_clean_migration_raises_no_alarm(seed: int, ending: str) -> None:
    """Goal: no false alarm. The first two seeds raised one: a post was deleted while a feed was made."""
    ended = rehearse(seed, ending=ending)
    assert ended.verdict is Verdict.HELD, ended.explained()
