"""The page of servers says of every promise what was seen, and versitygw is judged where it is at hand."""

from pathlib import Path

import pytest

from resilience_tests.contract.s3 import page
from resilience_tests.contract.s3.conftest import servers_here
from resilience_tests.contract.s3.known_failures import MOTO, MOTO_SOMETIMES, VERSITYGW
from resilience_tests.contract.s3.matrix import Verdict, Word, render
from resilience_tests.contract.s3.registry import capabilities
from resilience_tests.contract.s3.servers import versitygw_at_hand

COMMAND = "python -m resilience_tests.contract.s3.matrix own moto versitygw --write"


def test_the_page_has_every_promise_of_the_suite() -> None:
    shown = page.read()
    assert list(shown) == ["own", "moto", "versitygw"]
    for server, words in shown.items():
        assert list(words) == list(capabilities()), f"{server} was judged by another suite. Run: {COMMAND}"
        assert set(words.values()) <= {str(word) for word in Word}


def test_the_page_agrees_with_what_the_suite_knows_of_each_server() -> None:
    shown = page.read()
    for server, known in (("own", {}), ("moto", MOTO), ("versitygw", VERSITYGW)):
        wrong = {name for name, word in shown[server].items() if word != "held"} ^ set(known)
        wrong -= set(MOTO_SOMETIMES) if server == "moto" else set()
        assert not wrong, f"{server}: known_failures.py and the page differ on {wrong}. Run: {COMMAND}"


def test_a_table_is_read_as_it_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    page.PAGE.write_text(f"before\n{page.BEGIN}\nold\n{page.END}\nafter\n")
    words = {"own": {"a: b": "held", "a: c": "violated"}, "url": {"a: b": "not offered", "a: c": "held"}}
    page.write(words)
    assert page.read() == words
    page.write(words)
    assert page.PAGE.read_text().startswith(f"before\n{page.BEGIN}\n| promise | own | url |\n")
    assert page.PAGE.read_text().endswith(f"{page.END}\nafter\n")


def test_the_matrix_tells_for_each_server_what_it_did_not_keep_and_why() -> None:
    verdicts = {
        "own": {"a: b": Verdict(Word.HELD)},
        "other": {"a: b": Verdict(Word.NOT_OFFERED, "ClientError: 501")},
    }
    told = render(verdicts)
    assert "own: 1 of 1 held" in told
    assert "other: 0 of 1 held" in told
    assert "a: b: not offered: ClientError: 501" in told


def test_versitygw_is_judged_too() -> None:
    if versitygw_at_hand() is None:
        pytest.skip(
            "NOT JUDGED: versitygw is not at hand. Set CUTOVER_VERSITYGW to its binary, or build it once: "
            f"{COMMAND}"
        )
    assert "versitygw" in servers_here()
