"""Schedules strike where they say, repeat byte for byte, and those that once failed stay mended."""

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from cutover.model.stage import Stage
from drill.checkers import judge
from drill.history import Event, Kind, history_of
from drill.schedule import Load, Schedule, ScheduleBroken, Strike, read_schedule, schedule_from_json
from drill.simulator.chance import random_schedule
from drill.simulator.faults import SIMULATED_FAULTS
from drill.simulator.rehearsal import Rehearsal, events_of
from drill.simulator.results import played, smallest
from drill.story import story
from drill.verdict import Finding, Verdict, Witness

ROOT = Path(__file__).parents[2]
SCHEDULES = ROOT / "resilience_tests" / "schedules"
CORPUS = sorted(SCHEDULES.rglob("*.json"))
CALLED_OFF = SCHEDULES / "strike-that-is-called-off-lets-the-coordinator-go.json"
"""The only one whose last strike must not come."""
FEW = Load(clients=3, uploads=3, others=12, most=15, pace_seconds=0.3)
SEEDS = range(40)
PRINT_DIGESTS = """
from hashlib import sha256
from drill.simulator.results import played, seeded
for seed in range({first}, {end}):
    print(sha256(played(seeded(seed)).history).hexdigest())
"""


def _struck(fault: str, victim: str, point: str, *, ending: str = "complete") -> Rehearsal:
    strike = Strike(fault=fault, victim=victim, point=point, seconds=SIMULATED_FAULTS[fault].seconds[0])
    return played(Schedule(seed=5, ending=ending, strikes=(strike,), load=FEW))


def _events(told: Rehearsal, kind: Kind) -> list[Event]:
    return [event for event in events_of(told.history) if event.type is kind]


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: f"{file.parent.stem}/{file.stem}")
def test_what_a_schedule_once_found_stays_mended(file: Path) -> None:
    """It ends just as its file says, and everything has struck: a point that is passed by shows nothing."""
    schedule = read_schedule(file)
    assert schedule.found, f"{file.name} must say what it found"
    assert schedule.ends, f"{file.name} must say how it ends now"
    told = played(schedule)
    assert told.sort == schedule.ends, told.explained()
    faults = _events(told, Kind.FAULT)
    struck = Counter((event.f, event.key, (event.value or {})["point"]) for event in faults)
    planned = Counter((strike.fault, strike.victim, strike.point) for strike in _expected(file, schedule))
    assert struck == planned, f"{file.name}: {told.explained()}"


def _expected(file: Path, schedule: Schedule) -> tuple[Strike, ...]:
    return schedule.strikes[:-1] if file == CALLED_OFF else schedule.strikes


def test_a_strike_is_called_off_while_the_coordinator_stands_at_its_point() -> None:
    """It stands there until all is healed, and goes on at that moment."""
    schedule = read_schedule(CALLED_OFF)
    moves = _events(played(schedule), Kind.MOVE)
    (merges,) = [event for event in moves if "merge-stranded" in str(event.value)]
    assert merges.t == pytest.approx(schedule.load.lasts_seconds)
    assert moves[-1].f == "soak"


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_goes_wrong_every_promise_is_kept(seed: int) -> None:
    told = played(random_schedule(seed))
    assert told.verdict is Verdict.HELD or told.blunt, told.explained()


@pytest.mark.parametrize(
    ("fault", "victim"),
    [(fault.name, victim) for fault in SIMULATED_FAULTS.values() for victim in fault.victims],
)
def test_a_fault_strikes_at_its_point_and_is_undone(fault: str, victim: str) -> None:
    told = _struck(fault, victim, "cut-over/move-sequences:during")
    (struck,), (healed,) = _events(told, Kind.FAULT), _events(told, Kind.HEAL)
    assert (struck.f, struck.key) == (healed.f, healed.key) == (fault, victim)
    moves = [event for event in _events(told, Kind.MOVE) if event.n < struck.n]
    assert moves[-1].f == "cut_over"
    assert healed.t > struck.t


def test_a_site_that_dies_takes_no_write_until_it_is_back() -> None:
    told = _struck("kill", "source", "catch-up")
    (struck,), (healed,) = _events(told, Kind.FAULT), _events(told, Kind.HEAL)
    acknowledged = [event for event in _events(told, Kind.OK) if struck.t < event.t < healed.t]
    assert not [event for event in acknowledged if event.site == "east"]
    assert told.stage is Stage.COMPLETE


def test_a_paused_coordinator_wakes_late_and_does_no_harm() -> None:
    told = _struck("pause", "coordinator", "cut-over/grant-epoch:before")
    assert told.terms >= 2
    assert told.verdict is Verdict.HELD, told.explained()


def test_a_seed_gives_the_same_bytes_again_also_elsewhere() -> None:
    """Another process with another hash seed, in which other drills ran before."""
    here = [played(random_schedule(seed)).history for seed in (3, 4, 5)]
    again = [played(random_schedule(seed)).history for seed in (5, 4, 3)]
    assert here == again[::-1]
    digests = {_digests("1"), _digests("4242")}
    assert len(digests) == 1


def _digests(hash_seed: str) -> str:
    code = PRINT_DIGESTS.format(first=3, end=9)
    environment = {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_a_schedule_survives_its_file(tmp_path: Path) -> None:
    for seed in range(50):
        schedule = replace(random_schedule(seed), ends="blunt", because="it is late")
        file = tmp_path / "schedule.json"
        file.write_text(schedule.text(), encoding="utf-8")
        assert read_schedule(file) == schedule


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ([], "no object"),
        ({"seed": 1}, "`schema`"),
        ({"schema": 1}, "missing"),
        ({"schema": 1, "seed": "1"}, "`seed` may not be '1'"),
        ({"schema": 1, "seed": 1, "strike": []}, "nothing is called 'strike'"),
        ({"schema": 1, "seed": 1, "strikes": {}}, "no list"),
        ({"schema": 1, "seed": 1, "ends": "green"}, "`ends` is held"),
        ({"schema": 1, "seed": 1, "ends": "blunt"}, "with a `because`"),
        ({"schema": 1, "seed": 1, "ends": "held", "because": "it is late"}, "with a `because`"),
        ({"schema": 1, "seed": 1, "load": {"clients": 1.5}}, "load: `clients` may not be 1.5"),
        (
            {"schema": 1, "seed": 1, "strikes": [{"fault": "kill", "victim": "source", "point": "noon"}]},
            "strike 1: its point 'noon'",
        ),
    ],
)
def test_a_broken_schedule_is_refused_by_name(told: object, says: str) -> None:
    with pytest.raises(ScheduleBroken, match=says):
        schedule_from_json(told)


def test_a_failing_drill_is_made_smaller_and_told_as_a_story() -> None:
    """A planted bug stands for a bug of the engine's."""
    big = replace(random_schedule(1), ending="complete", strikes=(), plant="bytes-never-copied")
    failed = played(big)
    assert failed.verdict is Verdict.VIOLATED
    small = smallest(failed)
    assert small.rehearsal.verdict is Verdict.VIOLATED
    assert small.schedule.ending == "soak"
    assert small.schedule.load.clients == 1
    assert small.schedule.load.uploads < big.load.uploads
    lines = story(small.rehearsal)
    assert any("to catch_up, because every planned table is copied" in line for line in lines)
    assert any("is violated" in line for line in lines)
    assert json.loads(small.schedule.text())["plant"] == "bytes-never-copied"


TAIL = SCHEDULES / "inconclusive" / "tail-of-a-site-lost-for-good.json"


def test_a_tail_is_stranded_only_where_a_site_is_lost_for_good_and_a_bound_was_announced() -> None:
    told = played(read_schedule(TAIL))
    announced = told.evidence.announced
    assert announced is not None
    assert told.stranded
    assert not replace(told, away=False).stranded
    for unbounded in (replace(announced, seconds=None), replace(announced, transactions=None)):
        assert not replace(told, evidence=replace(told.evidence, announced=unbounded)).stranded
    stuck = Finding(checker="progress", verdict=Verdict.INCONCLUSIVE, witnesses=(Witness(what="it waits"),))
    assert not replace(told, findings=(*told.findings, stuck)).stranded


def test_more_than_the_lost_site_had_not_sent_is_not_stranded_but_lost() -> None:
    """As when the survivor forgets what it had applied: the simulator has counted the rest."""
    told = played(read_schedule(TAIL))
    history = history_of(events_of(told.history))
    announced = told.evidence.announced
    assert announced is not None
    fewer = replace(told.evidence, announced=replace(announced, transactions=0))
    findings = {found.checker: found for found in judge(history, fewer)}
    assert findings["acknowledged"].verdict is Verdict.VIOLATED
    assert "more is missing than was announced" in findings["acknowledged"].witnesses[0].what
