"""The merge of rows that refer to each other: two sites, every short story of each."""

from collections.abc import Iterator
from itertools import chain

import pytest

from cutover.model.change import Row
from cutover.protocol.merging import parents_of
from resilience_tests.spec.protocol.parted_families import FORK, REFERENCES, Story, dangling, every_story


@pytest.fixture(scope="module")
def stories() -> list[Story]:
    """Two transactions at one site and one at the other, both ways."""
    return list(chain(every_story(2, 1), _longer_at_the_survivor()))


def _longer_at_the_survivor() -> Iterator[Story]:
    return (story for story in every_story(1, 2) if len(story.survivor) == 2)


def test_no_reference_dangles(stories: list[Story]) -> None:
    for story in stories:
        assert not dangling(story.after), f"{story}: {dangling(story.after)}\n{story.settled}"
    assert len(stories) > 5_000


def test_no_version_of_either_site_vanishes(stories: list[Story]) -> None:
    """What a site left is visible, its values are in what is visible, or it is kept."""
    for story in stories:
        after = story.after
        for seen, rows in (story.there, story.here):
            for place, one in seen.items():
                row = rows.get(place)
                kept = [lost.row for lost in story.kept if (lost.table, lost.key) == place]
                assert (
                    after.get(place) == row
                    or row in kept
                    or (row is None and one.made)
                    or _merged(row, one.base, after.get(place))
                ), f"{story}: {place} {row} -> {after.get(place)}, kept {kept}"


def _merged(row: Row | None, base: Row | None, visible: Row | None) -> bool:
    if row is None or base is None or visible is None:
        return False
    changed = [column for column, value in row.items() if value != base[column] and column != "n"]
    return all(visible[column] == row[column] for column in changed)


def test_what_hung_on_a_deleted_row_goes_with_it_or_stays_with_it(stories: list[Story]) -> None:
    """A cascade of the left site is taken whole, or what refers to the row that stays stays too."""
    for story in stories:
        after, (theirs, _), (_, here) = story.after, story.there, story.here
        for place, row in here.items():
            one = theirs.get(place)
            if one is None or one.row is not None or place in after:
                continue
            stayed = [parent for parent in parents_of(REFERENCES, place[0], row) if parent in after]
            refused = [parent for parent in stayed if parent in theirs and theirs[parent].row is None]
            assert not refused, f"{story}: {place} went, and {refused} stayed"


def test_a_counter_is_added_up_although_the_row_has_another_parent_by_now(stories: list[Story]) -> None:
    judged = 0
    for story in stories:
        ours, theirs = [[deed.name for deed in deeds] for deeds in (story.survivor, story.left)]
        row = story.after.get(("public.posts", ("p",)))
        if theirs == ["count p"] and {"give p to b", "new author of p"} & {*ours} and row is not None:
            judged += 1
            assert row["n"] == ("2" if "count p" in ours else "1"), f"{story}: {row}"
    assert judged > 2


def test_what_was_counted_at_both_sites_is_there_also_where_a_version_is_kept(stories: list[Story]) -> None:
    """A kept version that is taken later brings no counters: what stands there has them all."""
    judged = 0
    for story in stories:
        after, (_, there), (_, here) = story.after, story.there, story.here
        for place, base in FORK.items():
            rows = [rows.get(place) for rows in (after, there, here)]
            if None in rows:
                continue
            n, left, ours = [int(str(row["n"])) for row in rows if row is not None]
            judged += left > 0 and any((lost.table, lost.key) == place for lost in story.kept)
            assert n == left + ours - int(str(base["n"])), f"{story}: {place} {n}, not {left} + {ours}"
    assert judged > 10
