"""The commands of simulated drills: their exit status, what they leave behind, and what they refuse."""

import json
import os
import signal
import subprocess
import sys
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from select import select
from typing import Any

import pytest

from drill import sweep
from drill.cli import sweep as sweep_command
from drill.cli.application import run
from drill.matrix import Beside, cells, run_cells, run_return, ways_back
from drill.points import all_points
from drill.sample_plan import sample_plan
from drill.schedule import Schedule, Strike, read_schedule
from drill.sweep import Failure, Shard, Sweep, finished, run_shard
from drill.verdict import Verdict

ENDS_WITHIN_SECONDS = 60.0
KILL = Strike(fault="kill", victim="source", point="drain", seconds=0.8)


class Here(Executor):
    """Runs what it is given at once, in this process."""

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _file(folder: Path, *strikes: Strike) -> Path:
    file = folder / "schedule.json"
    file.write_text(Schedule(seed=2, ending="complete", strikes=strikes).text(), encoding="utf-8")
    return file


def _shard(first: int, end: int, *, held: int = 0, violated: int = 0) -> Shard:
    failures = tuple(
        Failure(seed=first + n, verdict="violated", checkers=("ledger",), what="one cent")
        for n in range(violated)
    )
    return Shard(
        first=first,
        end=end,
        held=held,
        blunt=end - first - held - violated,
        inconclusive=0,
        violated=violated,
        operations=0,
        virtual_seconds=0.0,
        seconds=1.0,
        failures=failures,
    )


# -- run ------------------------------------------------------------------------------------------


def test_a_schedule_is_run_and_reported(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    file = _file(tmp_path, KILL)
    words = ["run", "--fidelity", "simulated", "--schedule", str(file), "--report", str(folder)]
    assert run(words) == 0
    (told,) = json.loads((folder / "report.json").read_text())["drills"]
    assert (told["fidelity"], told["verdict"], told["seed"]) == ("simulated", "held", 2)
    assert told["schedule"] == [{"fault": "kill", "victim": "source", "point": "drain"}]
    assert f"--schedule {file}" in told["repeat"]
    assert list((folder / "history").glob("*.jsonl"))


def test_what_was_said_on_the_command_line_is_kept_as_a_file(tmp_path: Path) -> None:
    words = ["run", "--fidelity", "simulated", "--seed", "4", "--report", str(tmp_path)]
    assert run([*words, "--fault", "power-cut", "--victim", "target", "--at", "catch-up"]) in (0, 11)
    kept = read_schedule(tmp_path / "schedule.json")
    assert (kept.seed, [str(strike) for strike in kept.strikes]) == (
        4,
        ["power-cut target at catch-up for 0.8 s"],
    )


def test_a_failing_drill_leaves_a_smaller_one_and_its_story(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "--fidelity", "simulated", "--seed", "1", "--plant", "bytes-never-copied"]
    assert run([*words, "--ending", "complete", "--report", str(tmp_path)]) == 10
    assert read_schedule(tmp_path / "smallest.json").plant == "bytes-never-copied"
    said = capsys.readouterr().err
    assert "to catch_up, because" in said
    assert "attached is violated" in said


@pytest.mark.parametrize(
    ("strikes", "says"),
    [
        ([replace(KILL, fault="partition")], "cannot do partition source at drain"),
        ([replace(KILL, point="t=1.5")], "cannot do kill source at t=1.5"),
        ([replace(KILL, victim="witness")], "cannot do kill witness"),
        ([KILL, KILL], "has 2 strikes"),
        ([replace(KILL, fault="flood")], "no simulated fault is called 'flood'"),
    ],
)
def test_a_live_drill_refuses_what_it_cannot_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], strikes: list[Strike], says: str
) -> None:
    assert run(["run", "--fidelity", "live", "--schedule", str(_file(tmp_path, *strikes))]) == 64
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--fidelity", "imagined"],
        ["--fidelity", "simulated", "--fault", "kill"],
        ["--fidelity", "simulated", "--fault", "kill", "--victim", "sites", "--at", "drain"],
        ["--fidelity", "simulated", "--fault", "kill", "--victim", "source", "--at", "noon"],
        ["--fidelity", "simulated", "--schedule", "there-is-no-such-file.json"],
    ],
)
def test_wrong_usage_runs_nothing(words: list[str]) -> None:
    assert run(["run", *words]) == 64


# -- sweep ----------------------------------------------------------------------------------------


def test_a_shard_depends_on_its_seeds_alone() -> None:
    first, again = run_shard(10, 14), run_shard(10, 14)
    assert replace(first, seconds=0.0) == replace(again, seconds=0.0)
    assert first.held + first.blunt + first.stranded + first.inconclusive + first.violated == 4


def test_an_interrupted_sweep_goes_on_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "SHARD_SEEDS", 2)
    begun = Sweep(0, 5, tmp_path, "c0ffee")
    assert begun.left == [(0, 2), (2, 4), (4, 5)]
    begun.take_in(replace(_shard(2, 4, held=1), blunt=0, stranded=1, tails=(3,)))
    again = Sweep(0, 5, tmp_path, "c0ffee")
    assert again.tails == [3]
    assert again.left == [(0, 2), (4, 5)]
    assert sorted((shard.first, shard.end) for shard in finished(again, Here())) == [(0, 2), (4, 5)]
    assert Sweep(0, 5, tmp_path, "c0ffee").left == []
    assert Sweep(0, 7, tmp_path, "c0ffee").left == [(5, 7)]


def test_a_stranded_seed_is_named_and_is_no_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stranded = replace(_shard(0, 3, held=2), blunt=0, stranded=1, tails=(1,))

    def run_here(jobs: int) -> Executor:
        return Here()

    monkeypatch.setattr(sweep, "run_shard", lambda first, end: stranded)
    monkeypatch.setattr(sweep_command, "processes", run_here)
    assert run(["sweep", "--seeds", "0:3"]) == 0
    said = capsys.readouterr().out
    assert "2 held, 0 blunt, 1 stranded, 0 inconclusive, 0 violated" in said
    assert "seed 1 stranded" in said
    assert run(["sweep", "--seeds", "0:3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["stranded"] == [1]


KILLED = """
import os, signal
from time import sleep
from drill.sweep import processes
if __name__ == "__main__":
    with processes(1) as executor:
        print(executor.submit(os.getpid).result(), flush=True)
        executor.submit(sleep, 600)
        signal.pause()
"""


def test_no_process_of_a_sweep_outlives_it(tmp_path: Path) -> None:
    program = tmp_path / "killed.py"
    program.write_text(KILLED)
    with subprocess.Popen([sys.executable, program], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        worker = os.pidfd_open(int(killed.stdout.readline()))
        try:
            killed.kill()
            ended, _, _ = select([worker], [], [], ENDS_WITHIN_SECONDS)
            assert ended
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(worker, signal.SIGKILL)
            os.close(worker)


def test_what_another_commit_showed_is_not_counted(tmp_path: Path) -> None:
    Sweep(0, 5, tmp_path, "c0ffee").take_in(_shard(0, 5, held=5))
    with pytest.raises(ValueError, match="holds drills of commit c0ffee, and this is decaf"):
        Sweep(0, 5, tmp_path, "decaf")


@pytest.mark.parametrize(
    ("shard", "verdict"),
    [
        (_shard(0, 9, held=4), Verdict.HELD),
        (_shard(0, 9), Verdict.INCONCLUSIVE),
        (_shard(0, 9, held=8, violated=1), Verdict.VIOLATED),
        (replace(_shard(0, 9, held=8), inconclusive=1), Verdict.INCONCLUSIVE),
    ],
)
def test_one_violation_outweighs_all_that_held(shard: Shard, verdict: Verdict) -> None:
    """And a fault that hit nothing is a drill less, no doubt."""
    swept = Sweep(0, 9)
    swept.take_in(shard)
    assert swept.verdict is verdict


@pytest.mark.parametrize("seeds", ["5", "5:5", "7:5", "a:b", "-1:5"])
def test_a_sweep_needs_a_range(seeds: str) -> None:
    assert run(["sweep", "--seeds", seeds]) == 64


# -- matrix ---------------------------------------------------------------------------------------


def test_every_crash_point_is_in_the_matrix_with_every_fault_that_makes_sense() -> None:
    todo = cells()
    assert {cell.point for cell in todo} == {str(point) for point in all_points(sample_plan())}
    at = {(cell.fault, cell.victim) for cell in todo if cell.point == "drain/close-site:during"}
    assert {("kill", "source"), ("power-cut", "witness"), ("pause", "coordinator"), ("kill", "backend")} <= at
    assert ("kill", "sites") not in at


@pytest.mark.parametrize(
    ("point", "first"),
    [
        ("parted/merge-stranded:during", ["target", "source"]),
        ("verify/give-up-drain:during", ["worker"]),
        ("soak/open-site:before", ["worker-source"]),
    ],
)
def test_a_cell_that_no_calm_migration_comes_by_breaks_something_first(point: str, first: list[str]) -> None:
    found = [one for one in cells() if (one.point, one.fault, one.victim) == (point, "kill", "coordinator")]
    assert [[strike.victim for strike in one.schedule(1).strikes] for one in found] == [
        [victim, "coordinator"] for victim in first
    ]
    for done in run_cells(found, 1):
        assert done.verdict == "held", f"{done.where}: {done.what}"


def test_the_worker_of_the_site_that_was_left_and_the_agent_of_the_one_that_serves_are_hit() -> None:
    late = [one for one in cells() if one.victim in ("worker-source", "agent-target")]
    at = "back/drain/close-site:before"
    chosen = [one for one in late if (one.point, one.fault) in ((at, "kill"), (at, "pause"))]
    assert {one.victim for one in chosen} == {"worker-source", "agent-target"}
    for done in run_cells(chosen, 1):
        assert done.verdict == "held", f"{done.fault} {done.victim}: {done.what}"


def test_a_matrix_in_which_nothing_was_hit_says_nothing(tmp_path: Path) -> None:
    words = ["matrix", "--only", "preflight", "--beside", "slow:sites", "--jobs", "1"]
    assert run([*words, "--report", str(tmp_path)]) == 11


def test_two_faults_strike_at_one_point() -> None:
    beside = Beside.parse("partition:sites")
    both = [cell for cell in cells(beside) if cell.victim == "target" and cell.fault == "power-cut"]
    cell = next(cell for cell in both if cell.point == "cut-over/move-sequences:before")
    assert [str(strike) for strike in cell.schedule(seed=1).strikes] == [
        "partition sites at cut-over/move-sequences:before for 3 s",
        "power-cut target at cut-over/move-sequences:before for 0.8 s",
    ]
    assert run_cells([cell], seed=1)[0].verdict == "held"
    assert not any(cell.victim == "sites" for cell in cells(beside))


@pytest.mark.parametrize("beside", ["kill", "kill:nobody", "explosion:source", "partition:backend"])
def test_what_is_beside_must_be_a_fault_that_there_is(beside: str, tmp_path: Path) -> None:
    assert run(["matrix", "--beside", beside, "--report", str(tmp_path)]) == 64
    assert not list(tmp_path.iterdir())


def test_there_is_a_way_back_from_every_point() -> None:
    """A few of them; `cutover-drill matrix` tries all."""
    points = ways_back()
    for point in points[:: len(points) // 6]:
        back = run_return(point, 1)
        assert (back.serves, back.verdict) == ("source", "held"), f"{point}: {back.what}"


def test_the_report_shows_the_heat_map(tmp_path: Path) -> None:
    assert run(["matrix", "--only", "soak/follow:after", "--jobs", "1", "--report", str(tmp_path)]) == 0
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert "Crash matrix" in page
    assert "<th>power-cut</th>" in page
