"""What a coordinator may rely on when it writes or reads the journal."""

import asyncio
import json

import pytest

from cutover.adapters.s3.codec import entry_to_json
from cutover.errors import Inconclusive, Refused, SiteUnreachable, Superseded
from resilience_tests.contract.witness.conftest import Place
from resilience_tests.contract.witness.grants import entry

ROUNDS = 10


@pytest.mark.parametrize("count", [0, 1, 2, 3, 47])
async def test_the_tail_is_found_wherever_it_is(place: Place, count: int) -> None:
    written = [entry(n, f"nonce {n}") for n in range(count)]
    journal = place.journal()
    for one in written:
        await journal.append(one)
    assert await place.journal().read() == written


async def test_reading_starts_where_it_is_told(place: Place) -> None:
    journal = place.journal()
    for n in range(5):
        await journal.append(entry(n))
    assert [one.n for one in await journal.read(3)] == [3, 4]
    assert await journal.read(5) == []


async def test_of_racing_coordinators_exactly_one_makes_an_entry(place: Place) -> None:
    racers = [place.journal() for _ in range(4)]
    for n in range(ROUNDS):
        outcomes = await asyncio.gather(
            *(one.append(entry(n, f"racer {number}")) for number, one in enumerate(racers)),
            return_exceptions=True,
        )
        assert outcomes.count(None) == 1, outcomes
        assert sum(isinstance(outcome, Superseded) for outcome in outcomes) == len(racers) - 1, outcomes
        assert (await place.journal().read(n))[0].nonce == f"racer {outcomes.index(None)}"


async def test_an_entry_is_never_replaced(place: Place) -> None:
    await place.journal().append(entry(0, "one"))
    with pytest.raises(Superseded, match="journal entry 0"):
        await place.journal().append(entry(0, "other"))
    assert await place.journal().read() == [entry(0, "one")]


async def test_a_coordinator_whose_answer_is_lost_learns_that_the_entry_is_its_own(place: Place) -> None:
    await place.lose_next_answer()
    await place.journal().append(entry(0, "ours"))
    assert await place.journal().read() == [entry(0, "ours")]


async def test_a_coordinator_whose_request_is_lost_does_not_believe_that_it_wrote(place: Place) -> None:
    await place.lose_next_request()
    try:
        await place.journal().append(entry(0, "ours"))
        written = True
    except Inconclusive:
        written = False
    assert bool(await place.journal().read()) == written


async def test_appending_what_one_has_appended_before_changes_nothing(place: Place) -> None:
    journal = place.journal()
    await journal.append(entry(0, "ours"))
    await journal.append(entry(0, "ours"))
    assert await journal.read() == [entry(0, "ours")]


async def test_a_journal_out_of_reach_is_not_an_empty_one(place: Place) -> None:
    with pytest.raises(SiteUnreachable):
        await place.journal(reachable=False).read()
    with pytest.raises(SiteUnreachable):
        await place.journal(reachable=False).append(entry(0))
    assert await place.journal().read() == []


@pytest.mark.parametrize("lost", [1, 2, 5, 13, 29])
async def test_a_journal_that_has_lost_an_entry_is_refused(place: Place, lost: int) -> None:
    """Wherever it stood: taken for the tail, its place would be written anew."""
    for n in range(32):
        if n != lost:
            await place.plant_entry(n, entry_to_json(entry(n)))
    with pytest.raises(Refused, match=f"journal entry {lost} is missing, and entry"):
        await place.journal().read()


async def test_a_journal_that_has_lost_its_first_entry_is_refused(place: Place) -> None:
    await place.plant_entry(1, entry_to_json(entry(1)))
    with pytest.raises(Refused, match="journal entry 0 is missing"):
        await place.journal().read()


async def test_an_entry_of_a_newer_cutover_is_refused(place: Place) -> None:
    await place.plant_entry(0, _changed(schema=2, something="new"))
    with pytest.raises(Refused, match=r"newer cutover \(schema 2"):
        await place.journal().read()


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 4},
        {"kind": "guess"},
        {"term": None},
        {"actions": ["close-site"]},
        {"facts": []},
        {"more": 1},
    ],
)
async def test_an_entry_that_is_not_ours_is_refused(place: Place, wrong: dict[str, object]) -> None:
    await place.plant_entry(0, _changed(**wrong))
    with pytest.raises(Refused, match="foreign"):
        await place.journal().read()


def _changed(**fields: object) -> bytes:
    return json.dumps(json.loads(entry_to_json(entry(0))) | fields).encode()
