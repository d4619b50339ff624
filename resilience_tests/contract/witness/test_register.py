"""What a coordinator and a site may rely on when they read or change the register."""

import asyncio
import json
from dataclasses import replace

import pytest

from cutover.adapters.s3.codec import grant_to_json
from cutover.errors import Inconclusive, Refused, SiteUnreachable, Superseded
from cutover.model.register import Registered
from resilience_tests.contract.witness.conftest import Place
from resilience_tests.contract.witness.grants import grant

ROUNDS = 10


async def test_what_was_granted_is_read_back_whole(place: Place) -> None:
    created = await place.register().create(grant("first"))
    assert created.grant == grant("first")
    assert await place.register().read() == created


async def test_a_register_that_is_not_there_is_none_and_one_out_of_reach_is_not(place: Place) -> None:
    assert await place.register().read() is None
    with pytest.raises(SiteUnreachable):
        await place.register(reachable=False).read()


async def test_nothing_is_written_through_a_dead_link(place: Place) -> None:
    with pytest.raises(SiteUnreachable):
        await place.register(reachable=False).create(grant("first"))
    assert await place.register().read() is None


async def test_of_racing_first_writers_exactly_one_wins(place: Place) -> None:
    racers = [(place.register(), grant(f"racer {number}")) for number in range(4)]
    outcomes = await asyncio.gather(*(one.create(first) for one, first in racers), return_exceptions=True)
    await _check_one_won(place, outcomes)


async def test_of_racing_changes_exactly_one_wins(place: Place) -> None:
    seen = await place.register().create(grant("first"))
    racers = [place.register() for _ in range(4)]
    for number in range(ROUNDS):
        changes = [grant(f"{number}/{racer}", revision=number) for racer in range(len(racers))]
        outcomes = await asyncio.gather(
            *(one.compare_and_set(seen, change) for one, change in zip(racers, changes, strict=True)),
            return_exceptions=True,
        )
        seen = await _check_one_won(place, outcomes)


async def test_a_change_of_what_is_no_longer_there_is_superseded(place: Place) -> None:
    register = place.register()
    first = await register.create(grant("first"))
    second = await register.compare_and_set(first, grant("second"))
    with pytest.raises(Superseded, match="the register"):
        await register.compare_and_set(first, grant("late"))
    assert await register.read() == second


async def test_a_grant_that_returns_to_an_earlier_value_is_another_one(place: Place) -> None:
    register = place.register()
    first = await register.create(grant("first", serving="east"))
    away = await register.compare_and_set(first, grant("second", serving="west"))
    await register.compare_and_set(away, grant("third", serving="east"))
    with pytest.raises(Superseded):
        await register.compare_and_set(first, grant("late"))


async def test_two_writers_of_the_same_value_do_not_both_win(place: Place) -> None:
    one, other = place.register(), place.register()
    await one.create(grant("one"))
    with pytest.raises(Superseded):
        await other.create(grant("other"))


async def test_the_first_writer_whose_answer_is_lost_learns_that_it_won(place: Place) -> None:
    await place.lose_next_answer()
    created = await place.register().create(grant("first"))
    assert await place.register().read() == created


async def test_a_writer_whose_answer_is_lost_learns_that_it_won(place: Place) -> None:
    register = place.register()
    seen = await register.create(grant("first"))
    await place.lose_next_answer()
    changed = await register.compare_and_set(seen, grant("second"))
    assert changed == await place.register().read()
    assert (await register.compare_and_set(changed, grant("third"))).grant == grant("third")


async def test_a_writer_whose_request_is_lost_does_not_believe_that_it_won(place: Place) -> None:
    register = place.register()
    seen = await register.create(grant("first"))
    await place.lose_next_request()
    try:
        now = await register.compare_and_set(seen, grant("second"))
    except Inconclusive:
        now = seen
    assert await place.register().read() == now


async def test_a_register_of_a_newer_cutover_is_refused(place: Place) -> None:
    await place.plant_register(_changed(schema=3, something="new"))
    with pytest.raises(Refused, match=r"newer cutover \(schema 3"):
        await place.register().read()


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "not an object"),
        (b"{}", "no schema"),
        (b'{"schema": true}', "no schema"),
        (b'{"schema": 1}', "lacks the field 'behind'"),
    ],
)
async def test_a_body_that_is_not_a_register_is_refused(place: Place, body: bytes, why: str) -> None:
    await place.plant_register(body)
    with pytest.raises(Refused, match=f"foreign.*{why}"):
        await place.register().read()


@pytest.mark.parametrize(
    "wrong",
    [
        {"lease_holders": "east"},
        {"epoch": "7"},
        {"epoch": True},
        {"eligible": ["east", 1]},
        {"drain": {"leaving": "east"}},
    ],
)
async def test_a_register_with_a_wrong_field_is_refused(place: Place, wrong: dict[str, object]) -> None:
    await place.plant_register(_changed(**wrong))
    with pytest.raises(Refused, match="foreign"):
        await place.register().read()


async def test_a_grant_without_a_drain_is_read_back_whole(place: Place) -> None:
    calm = replace(grant("first"), drain=None, eligible=())
    assert (await place.register().create(calm)).grant == calm
    read = await place.register().read()
    assert read is not None
    assert read.grant == calm


def _changed(**fields: object) -> bytes:
    return json.dumps(json.loads(grant_to_json(grant("first"))) | fields).encode()


async def _check_one_won(place: Place, outcomes: list[Registered | BaseException]) -> Registered:
    """The one grant that went in; all other writers must know that theirs did not."""
    won = [outcome for outcome in outcomes if isinstance(outcome, Registered)]
    assert len(won) == 1, outcomes
    assert sum(isinstance(outcome, Superseded) for outcome in outcomes) == len(outcomes) - 1, outcomes
    assert await place.register().read() == won[0]
    return won[0]
