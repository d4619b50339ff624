"""An arriving site whose database forgets, once its drain has ended, what it had applied (S11)."""

import pytest

from drill.schedule import Load, Schedule, Strike
from drill.simulator.results import played
from drill.verdict import Verdict

LOAD = Load(clients=16, uploads=10, others=600, most=0, pace_seconds=0.1, delay_seconds=0.03)
LOST = {"acknowledged", "no_ghosts", "ledger", "attached", "one_writer"}


@pytest.mark.parametrize(
    ("point", "also"),
    [
        ("cut-over/verify-delta:after", ()),
        ("cut-over/grant-epoch:before", ()),
        ("cut-over/open-site:before", ()),
        ("cut-over/grant-epoch:after", ("coordinator",)),  # then its own agent is who would open it
    ],
)
@pytest.mark.parametrize("seed", [1, 4])
def test_a_target_that_was_restored_is_not_opened_without_what_it_had(
    point: str, also: tuple[str, ...], seed: int
) -> None:
    """It gets that again, or waits, or the source serves: no restored site is promised to be mended."""
    strikes = [Strike(fault="restore", victim="target", point=point, seconds=0.8)]
    strikes += [Strike(fault="kill", victim=victim, point=point, seconds=30.0) for victim in also]
    told = played(Schedule(seed=seed, strikes=tuple(strikes), load=LOAD))
    wrong = {found.checker for found in told.findings if found.verdict is Verdict.VIOLATED}
    assert not wrong & LOST, told.explained()
