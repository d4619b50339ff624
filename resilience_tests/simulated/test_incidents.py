"""Public incidents: the naive way is seen to be wrong, and ours holds under the same schedules."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from drill.checkers import REGISTRY
from drill.cli.application import run
from drill.incidents import INCIDENTS
from drill.incidents.retelling import Retold, drill_of, naive_way, our_way, retell
from drill.incidents.table import page
from drill.points import Point, victims_by_point
from drill.sample_plan import sample_plan
from drill.simulator.faults import SIMULATED_FAULTS
from drill.verdict import Verdict

PAGE = Path(__file__).parents[2] / "docs/explanation/incidents.md"
SEEDS = 2
"""Schedules of each incident here; the command takes more."""

MINIO = INCIDENTS["minio-20080"]


@pytest.mark.parametrize("name", INCIDENTS)
def test_the_naive_way_is_violated(name: str) -> None:
    incident = INCIDENTS[name]
    told = naive_way(incident)
    assert told.verdict is Verdict.VIOLATED, f"{incident.checker} saw nothing wrong in {told.seeds} drills"
    assert told.witness is not None


@pytest.mark.parametrize("name", INCIDENTS)
def test_our_way_holds_under_the_same_schedules(name: str) -> None:
    told = our_way(INCIDENTS[name], 0, SEEDS)
    assert told.verdict is Verdict.HELD, told.shown.explained()


@pytest.mark.parametrize("name", INCIDENTS)
def test_an_incident_says_what_can_be_done_and_who_can_see_it(name: str) -> None:
    incident = INCIDENTS[name]
    assert incident.checker in REGISTRY
    points = victims_by_point(sample_plan())
    for seed in range(incident.seeds):
        for strike in incident.schedule(seed).strikes:
            assert strike.victim in SIMULATED_FAULTS[strike.fault].victims or "-" in strike.victim
            point = Point.parse(strike.point)
            assert any(point.is_at(known) for known in points), f"nobody comes by {point}"


def test_without_the_wipe_nobody_can_say_that_it_was_survived() -> None:
    told = our_way(replace(MINIO, wiped=False), 0, 1)
    assert (told.verdict, told.checker) == (Verdict.INCONCLUSIVE, "unlink_safety")


def test_the_wipe_takes_everything_at_one_site_and_nothing_at_the_other() -> None:
    ended = drill_of(MINIO, 0).evidence
    assert ended.serving is not None
    assert ended.after_wipe is not None
    assert ended.serving.posts
    assert ended.after_wipe.posts == ended.serving.posts
    assert ended.after_wipe.objects == ended.serving.objects


def test_an_incident_that_the_naive_way_survives_shows_nothing() -> None:
    retold = retell(replace(MINIO, naive=replace(MINIO.naive, in_parts=lambda parts: parts), seeds=1))
    assert retold.ours.verdict is Verdict.HELD
    assert not retold.as_it_must_be
    assert retold.verdict is Verdict.INCONCLUSIVE


def test_our_way_violated_outweighs_whatever_the_naive_way_did() -> None:
    naive = naive_way(MINIO)
    assert Retold(MINIO, naive, naive).verdict is Verdict.VIOLATED


def test_the_command_prints_what_a_program_reads(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(["incidents", "minio-20080", "--seeds", "1", "--json", "--report", str(tmp_path)]) == 0
    (told,) = json.loads(capsys.readouterr().out)["incidents"]
    assert told["name"] == "minio-20080"
    assert told["naive"]["verdict"] == "violated"
    assert told["naive"]["checker"] == "unlink_safety"
    assert told["naive"]["witness"]
    assert told["ours"]["verdict"] == "held"
    assert json.loads((tmp_path / "incidents.json").read_text())["incidents"] == [told]
    assert (tmp_path / "minio-20080/naive.jsonl").stat().st_size > 0
    assert (tmp_path / "minio-20080/ours.schedule.json").exists()


def test_the_command_prints_a_table_for_a_person(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["incidents", "minio-20080", "--seeds", "1"]) == 0
    _, row, witness = capsys.readouterr().out.splitlines()
    assert row.split()[:2] == ["minio-20080", "violated"]
    assert "held (1 schedule(s))" in row
    assert "naive: " in witness


def test_the_command_knows_no_other_incident(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["incidents", "titanic-1912"]) == 64
    assert "titanic-1912" in capsys.readouterr().err


def test_the_page_is_what_the_command_makes(tmp_path: Path) -> None:
    made = tmp_path / "incidents.md"
    assert run(["incidents", "--table", str(made)]) == 0
    told = "run: cutover-drill incidents --table docs/explanation/incidents.md"
    assert PAGE.read_text(encoding="utf-8") == made.read_text(encoding="utf-8"), told


@pytest.mark.parametrize("name", INCIDENTS)
def test_the_page_names_every_incident_with_its_command(name: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert f"`cutover-drill incidents {name}`" in text
    assert INCIDENTS[name].story in text


def test_an_incident_that_is_not_on_the_page_makes_it_stale() -> None:
    first, *rest = INCIDENTS.values()
    assert page(rest) != page([first, *rest])
