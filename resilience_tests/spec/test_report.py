"""What a run leaves behind says what happened, to tools and to people, and hides no violation."""

import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from drill.checkers import Scheduled
from drill.history import HistoryWriter, Outcome, history_of, read_history
from drill.measures import Measures
from drill.report import DrillResult, Report, history_name, print_report, write_report
from drill.report.chart import HEIGHT, RIGHT, chart_of
from drill.report.contract import WITNESSES_MAX
from drill.verdict import Finding, Verdict, Witness

DOCUMENTED = Path(__file__).parents[2] / "docs" / "reference" / "report.md"

LOST = Finding(
    checker="acknowledged",
    verdict=Verdict.VIOLATED,
    witnesses=(
        Witness(
            what="post p-3f3a9c0d17be5542 is lost: it is not at west",
            key="p-3f3a9c0d17be5542",
            acknowledged_at=4.842,
            by="client-3",
            site="east",
        ),
    ),
)
BIT = Finding(checker="bite", verdict=Verdict.HELD)
MEASURED = Measures(
    operations={"ok": 2149, "failed": 41, "unknown": 10},
    write_pause_ms=1297.4,
    rpo={"posts": 1, "comments": 0, "cents": 0, "hidden": 0},
    rto_s={"log_in": 1.384, "upload": 1.512, "comment": 1.243, "feed": float("inf")},
    amplification=1.02,
)


def drilled(
    *findings: Finding, name: str = "kill source in drain", history: Path | None = None
) -> DrillResult:
    return DrillResult(
        name=name,
        seed=3,
        fidelity="live",
        schedule=(Scheduled(fault="kill", victim="source", point="drain/close-site:after"),),
        plant=None,
        seconds=9.871,
        repeat="cutover-drill run --fidelity live --seed 3 "
        "--fault kill --victim source --at drain/close-site:after   # at commit 3f2c1ab",
        findings=findings,
        measures=MEASURED,
        history=history,
    )


def reported(*drills: DrillResult) -> Report:
    return Report(started="2026-03-02T14:03:11+00:00", seconds=58.214, commit="3f2c1ab", drills=drills)


@pytest.fixture
def lived(tmp_path: Path) -> Path:
    """A small history with everything in it that the picture draws."""
    path = tmp_path / "drill.jsonl"
    clock = [0.0]
    with path.open("wb") as file:
        writer = HistoryWriter(file, lambda: clock[0])
        for n, stage in enumerate(["preflight", "backfill", "drain", "cut_over", "soak"]):
            clock[0] = n / 2
            writer.move(stage=stage, direction="forward", actions=["act"], entry=n)
            for outcome in Outcome:
                asked = writer.invoke("client-1", "upload", key="p", value=None, request=f"r-{n}-{outcome}")
                clock[0] += 0.1
                writer.complete(asked, outcome)
        writer.invoke("client-2", "upload", key="p", value=None, request="r-open")
        writer.fault(name="kill", victim="source", point="soak", bite=None)
        clock[0] = 4.0
        writer.heal(name="kill", victim="source")
    return path


def test_the_documented_example_is_what_a_report_writes() -> None:
    blocks = re.findall(r"```json\n(.*?)```", DOCUMENTED.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert json.loads(blocks[0]) == reported(drilled(LOST, BIT)).to_json()


def test_the_documented_lines_of_a_history_are_what_a_drill_writes(tmp_path: Path) -> None:
    blocks = re.findall(r"```json\n(.*?)```", DOCUMENTED.read_text(encoding="utf-8"), flags=re.DOTALL)
    path = tmp_path / "history.jsonl"
    path.write_text(blocks[1], encoding="ascii")
    events = read_history(path)
    assert b"".join(event.line() for event in events).decode() == blocks[1]
    assert len(history_of(events).operations) == 1


def test_every_checker_is_documented() -> None:
    from drill.checkers import REGISTRY

    section = DOCUMENTED.read_text(encoding="utf-8").partition("## Checkers")[2].partition("## History")[0]
    assert set(re.findall(r"^\| `(\w+)`", section, flags=re.MULTILINE)) == set(REGISTRY)


def test_a_report_folder_holds_all_that_is_promised(tmp_path: Path, lived: Path) -> None:
    folder = tmp_path / "report"
    report = reported(drilled(LOST, BIT, history=lived), drilled(BIT, name="../no fault"))
    write_report(folder, report)
    write_report(folder, report)
    assert json.loads((folder / "report.json").read_text()) == report.to_json()
    kept = folder / "history" / "001-kill-source-in-drain.jsonl"
    assert kept.read_bytes() == lived.read_bytes()
    assert {path.name for path in folder.iterdir()} == {"report.json", "junit.xml", "index.html", "history"}


def test_a_history_that_was_written_into_the_folder_stays_where_it_is(tmp_path: Path, lived: Path) -> None:
    place = tmp_path / history_name(1, "kill source in drain")
    place.parent.mkdir()
    place.write_bytes(lived.read_bytes())
    write_report(tmp_path, reported(drilled(BIT, history=place)))
    assert place.read_bytes() == lived.read_bytes()


def test_a_ci_sees_a_violation_as_failure_and_doubt_as_error(tmp_path: Path) -> None:
    doubt = Finding(
        checker="bite", verdict=Verdict.INCONCLUSIVE, witnesses=(Witness(what="hit \x00 nothing"),)
    )
    write_report(tmp_path, reported(drilled(LOST, BIT), drilled(doubt), drilled(BIT)))
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("3", "1", "1")
    failed, unclear, held = suite
    assert "is lost" in (failed[0].text or "")
    assert "Repeat: cutover-drill run" in (failed[0].text or "")
    assert unclear[0].tag == "error"
    assert len(held) == 0


class Fetches(HTMLParser):
    """Collects what a browser would load by itself, and the text that it would show."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        wanted = {"src", "srcset", "data"} | ({"href"} if tag not in ("a", "use") else set())
        self.loaded += [value or "" for name, value in attrs if name in wanted]

    def handle_data(self, data: str) -> None:
        self.text += data


def browsed(folder: Path) -> Fetches:
    html = (folder / "index.html").read_text(encoding="utf-8")
    page = Fetches()
    page.feed(html)
    assert "@import" not in html
    assert re.findall(r"url\((?!#)", html) == []
    return page


def test_the_page_needs_nothing_but_itself_and_shows_the_witness(tmp_path: Path, lived: Path) -> None:
    write_report(tmp_path, reported(drilled(LOST, BIT, history=lived)))
    page = browsed(tmp_path)
    assert page.loaded == []
    assert "script" not in page.tags
    assert "post p-3f3a9c0d17be5542 is lost: it is not at west" in page.text
    assert "--at drain/close-site:after" in page.text
    assert "A promise was broken in 1 of 1 drills." in page.text
    assert {"svg", "pattern"} <= set(page.tags)


def test_what_was_not_judged_is_said_everywhere_and_changes_no_verdict(tmp_path: Path) -> None:
    """A reader of any of them must not take silence for a promise that held."""
    note = "what the store keeps: it stood outside"
    noted = replace(drilled(BIT), notes=(note,))
    report = reported(noted, noted, drilled(BIT))
    write_report(tmp_path, report)
    page, output = browsed(tmp_path), io.StringIO()
    print_report(report, Console(file=output, width=80))
    case = ElementTree.parse(tmp_path / "junit.xml").getroot()[0][0]
    assert report.verdict is Verdict.HELD
    assert report.to_json()["drills"][0]["notes"] == [note]  # type: ignore[index]
    assert page.text.count(note) == 2
    assert output.getvalue().count(f"not judged in 2 drills: {note}") == 1
    assert note in (case.findtext("system-out") or "")


def test_what_users_wrote_stays_text(tmp_path: Path) -> None:
    evil = Witness(what="file '<script>alert(1)</script>\udcff' is lost", key="<img src=x>")
    write_report(
        tmp_path, reported(drilled(Finding(checker="c", verdict=Verdict.VIOLATED, witnesses=(evil,))))
    )
    page = browsed(tmp_path)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert "<script>alert(1)</script>" in page.text


def test_a_report_of_no_drill_is_inconclusive(tmp_path: Path) -> None:
    write_report(tmp_path, reported())
    assert json.loads((tmp_path / "report.json").read_text())["verdict"] == "inconclusive"
    assert "No drill was run" in browsed(tmp_path).text
    suite = ElementTree.parse(tmp_path / "junit.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("errors"), suite[0][0].tag) == ("1", "1", "error")


def test_many_witnesses_are_cut_and_the_rest_is_told() -> None:
    many = Finding(
        checker="acknowledged",
        verdict=Verdict.VIOLATED,
        witnesses=tuple(Witness(what=f"lost {n}") for n in range(WITNESSES_MAX + 7)),
    )
    told = json.dumps(drilled(many).to_json())
    assert "and 7 more like these" in told
    assert f"lost {WITNESSES_MAX}" not in told


def test_the_picture_keeps_inside_its_frame(lived: Path) -> None:
    drawn = chart_of(history_of(read_history(lived)))
    assert [band.name for band in drawn.stages] == ["preflight", "backfill", "drain", "cut over", "soak"]
    spans = [(band.x, band.width) for band in drawn.stages]
    spans += [(band.x, band.width) for band in drawn.faults]
    assert all(x >= 0 and x + width <= RIGHT + 1 for x, width in spans)
    assert not drawn.faults[0].bit
    assert all(0 < mark.at < HEIGHT for mark in drawn.latencies)
    assert drawn.pause is not None
    assert drawn.told == "16 operations (5 ok, 5 failed, 6 unknown), 1 faults"


def test_the_picture_of_an_empty_history_can_be_drawn() -> None:
    assert chart_of(history_of([])).bars == ""


def test_the_picture_of_many_operations_is_small() -> None:
    clock = [0.0]
    writer = HistoryWriter(io.BytesIO(), lambda: clock[0])
    lines = []
    for n in range(20_000):
        clock[0] = n / 1000
        asked = writer.invoke("c", "like", key="p", value=None, request=f"r-{n}")
        clock[0] += (n * 7919 % 1000) / 1e5
        lines += [asked, writer.complete(asked, Outcome.OK)]
    drawn = chart_of(history_of(lines))
    assert sum(map(len, drawn.dots.values())) + len(drawn.bars) < 150_000


def printed(report: Report, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    print_report(report, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_terminal_shows_each_drill_the_witness_and_the_command(tmp_path: Path) -> None:
    text = printed(reported(drilled(LOST, BIT), drilled(BIT, name="no [fault]\x1b[2J")))
    assert "violated: 1 held, 0 inconclusive, 1 violated, in 58.2 s" in text
    assert "acknowledged: post p-3f3a9c0d17be5542 is lost: it is not at west" in text
    assert "lost or hidden: 1 posts" in text
    assert "repeat: cutover-drill run" in text
    assert "no [fault]\\x1b[2J" in text


def test_every_column_fits_on_a_small_terminal() -> None:
    text = printed(reported(drilled(BIT, name="kill source while catching up")))
    assert "2149/41/10" in text
    assert "9.9 s" in text
