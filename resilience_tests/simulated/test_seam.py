"""Production code in virtual time: a whole migration, and again, byte for byte."""

import subprocess
import sys
from hashlib import sha256
from itertools import groupby
from pathlib import Path

import pytest

from cutover.model.stage import Stage
from drill.history import WRITES, Event, Kind, history_of
from drill.simulator.rehearsal import Rehearsal, events_of, rehearse
from drill.verdict import Verdict
from resilience_tests.simulated.disturbances import disturb

ROOT = Path(__file__).parents[2]
SEEDS = range(10)
DISTURBED = range(100, 120)
ENDINGS = ("complete", "roll-back")
PRINT_DIGEST = """
from hashlib import sha256
from drill.simulator.rehearsal import rehearse
print(sha256(rehearse(7).history).hexdigest())
"""


def _events(rehearsal: Rehearsal, kind: Kind) -> list[Event]:
    return [event for event in events_of(rehearsal.history) if event.type is kind]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_migration_under_load_keeps_every_promise(seed: int) -> None:
    ended = rehearse(seed, ending=ENDINGS[seed % 2])
    assert ended.stage is (Stage.COMPLETE, Stage.ROLLED_BACK)[seed % 2]
    assert ended.verdict is Verdict.HELD, ended.explained()


def test_users_write_at_every_stage_and_at_both_sites() -> None:
    """A run in which nothing was in flight would prove nothing."""
    ended = rehearse(1, ending="roll-back")
    stages = [stage for stage, _ in groupby(event.f for event in _events(ended, Kind.MOVE))]
    visited = ["backfill", "catch_up", "verify", "drain", "cut_over", "soak"]
    assert stages == [*visited, "drain", "cut_over", "rolled_back"]
    acknowledged = [event for event in _events(ended, Kind.OK) if event.f in WRITES]
    epochs = {(event.site, event.epoch) for event in acknowledged}
    assert {("east", None), ("east", 1), ("west", 2), ("east", 3)} <= epochs
    refused = [event for event in acknowledged if (event.value or {})["attempts"] != 1]
    assert refused


def test_a_rolled_back_source_has_what_was_written_at_the_target() -> None:
    ended = rehearse(3, ending="roll-back")
    history = history_of(events_of(ended.history))
    uploads = [upload for upload in history.of("upload") if upload.ok]
    here = [upload.key for upload in uploads if upload.completion and upload.completion.site == "west"]
    earned = [entry for entry in history.of("earn") if entry.completion and entry.completion.site == "west"]
    booked = [int(str(entry.answered["entry"])) for entry in earned if entry.ok]
    serving = ended.evidence.serving
    assert serving is not None
    assert serving.site == "east"
    assert len(here) + len(booked) > 5
    gone = [operation.key for operation in history.of("delete") if operation.possible]
    assert {*here} - {*gone} <= {*serving.posts}
    assert {*booked} <= {*serving.ledger}


def test_the_same_seed_gives_the_same_bytes() -> None:
    first = rehearse(7)
    rehearse(8)
    again = rehearse(7)
    assert first.history == again.history
    assert (first.steps, first.seconds) == (again.steps, again.seconds)


def test_another_process_with_another_hash_seed_gives_the_same_bytes() -> None:
    here = sha256(rehearse(7).history).hexdigest()
    for hash_seed in ("1", "4242"):
        environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
        there = subprocess.run(
            [sys.executable, "-c", PRINT_DIGEST], env=environment, capture_output=True, text=True, check=True
        )
        assert there.stdout.strip() == here


def test_another_seed_gives_another_history() -> None:
    assert len({rehearse(seed).history for seed in range(3)}) == 3


@pytest.mark.parametrize("seed", DISTURBED)
def test_whatever_is_killed_and_started_again_every_promise_is_kept(seed: int) -> None:
    """Coordinators die at journal entries and run two at a time; workers and agents die and come back."""
    ended = rehearse(seed, ending=ENDINGS[seed % 2], disturb=disturb)
    assert ended.stage is (Stage.COMPLETE, Stage.ROLLED_BACK)[seed % 2]
    assert ended.verdict is Verdict.HELD, ended.explained()


def test_disturbances_do_replace_coordinators() -> None:
    assert max(rehearse(seed, disturb=disturb).terms for seed in range(100, 104)) > 2


def test_a_disturbed_run_repeats_byte_for_byte() -> None:
    assert rehearse(101, disturb=disturb).history == rehearse(101, disturb=disturb).history
