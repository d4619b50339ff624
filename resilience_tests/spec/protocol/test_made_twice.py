"""A row that both sites made while they were parted: is it one deed done twice, or do both count?"""

import pytest

from resilience_tests.spec.protocol.parted_counts import (
    AT_THE_FORK,
    DAY,
    LIKE,
    NEW_POST,
    POST,
    Deed,
    Home,
    merged,
)

EAST = (Deed("e1", ((DAY, 40), (POST, 40))), Deed("e2", ((DAY, 5), (POST, 5))))
WEST = (Deed("w1", ((DAY, 7), (POST, 7))), Deed("w2", ((DAY, 3), (POST, 3))))


def by_jobs(deeds: tuple[Deed, ...]) -> tuple[Deed, ...]:
    """The same, asked for by nobody."""
    return tuple(Deed(None, deed.added, deed.gone) for deed in deeds)


@pytest.mark.parametrize("asked", [tuple, by_jobs], ids=["users", "jobs"])
async def test_what_a_row_begins_with_counts_at_both_sites(asked: object) -> None:
    assert callable(asked)
    assert await merged(asked(EAST), asked(WEST)) == Home({DAY: 55, POST: AT_THE_FORK + 55}, kept=0)


async def test_a_row_that_begins_at_nothing_is_counted_in_at_both_sites() -> None:
    """Made, then added to, in one transaction."""
    east, west = (Deed(None, ((DAY, 0), (DAY, n), (POST, n))) for n in (40, 7))
    assert await merged((east,), (west,)) == Home({DAY: 47, POST: AT_THE_FORK + 47}, kept=0)


async def test_a_row_that_is_made_by_two_requests_takes_no_count_away() -> None:
    """A row that counts views, made with the first comment at each site."""
    east, west = (Deed(request, ((DAY, 0), (POST, 1))) for request in ("e1", "w1"))
    assert await merged((east,), (west,)) == Home({DAY: 0, POST: AT_THE_FORK + 2}, kept=0)


async def test_a_row_that_was_made_deleted_and_made_again_counts_what_it_is() -> None:
    again = (Deed("e1", ((DAY, 40),)), Deed("e2", gone=DAY), Deed("e3", ((DAY, 2),)), Deed("e4", ((DAY, 1),)))
    assert await merged(again, WEST) == Home({DAY: 13, POST: AT_THE_FORK + 10}, kept=0)


# -- one deed that was done twice --------------------------------------------------------------


async def test_what_both_sites_did_for_one_request_counts_once() -> None:
    one = Deed("r", ((DAY, 7), (POST, 7)))
    more = Deed("e2", ((DAY, 5), (POST, 5)))
    assert await merged((one, more), (one,)) == Home({DAY: 12, POST: AT_THE_FORK + 12}, kept=0)


@pytest.mark.parametrize("requests", [("e1", "w1"), (None, None), ("e1", None)])
async def test_a_like_that_was_given_twice_counts_once_wherever_it_counts(
    requests: tuple[str | None, str | None],
) -> None:
    east, west = (Deed(request, ((LIKE, 1), (DAY, 1), (POST, 1))) for request in requests)
    of_others = Deed("e2", ((DAY, 1), (POST, 1)))
    assert await merged((east, of_others), (west,)) == Home({DAY: 2, POST: AT_THE_FORK + 2}, kept=0)


@pytest.mark.parametrize("requests", [(None, None), ("e1", None)])
async def test_a_post_that_was_sent_twice_counts_once(requests: tuple[str | None, str | None]) -> None:
    """It begins at nothing, and no request tells which deed it was: its key does (S10)."""
    east, west = (Deed(request, ((NEW_POST, 0), (POST, 1))) for request in requests)
    viewed = Deed("e2", ((NEW_POST, 1),))
    assert await merged((east, viewed), (west,)) == Home({NEW_POST: 1, POST: AT_THE_FORK + 1}, kept=0)


# -- a row that the database refuses -----------------------------------------------------------


async def test_a_version_that_a_constraint_refuses_is_kept_and_what_it_counted_is_not() -> None:
    east = Deed("e1", ((POST, 3),), title="taken")
    west = (Deed("w1", ((NEW_POST, 0),), title="taken"), Deed("w2", ((POST, 5),)))
    home = await merged((east,), west, unique={"public.posts": "title"})
    assert home == Home({POST: AT_THE_FORK + 8, NEW_POST: 0}, kept=1)


async def test_a_sum_that_a_constraint_refuses_does_not_stop_the_merge() -> None:
    other_day = ("public.days", ("tue",))
    east = Deed("e1", ((DAY, 40), (POST, 1)))
    west = Deed("w1", ((DAY, 7), (other_day, 47)))
    home = await merged((east,), (west,), unique={"public.days": "n"})
    assert home == Home({DAY: 7, other_day: 47, POST: AT_THE_FORK + 1}, kept=1)
