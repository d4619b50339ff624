"""A row that both sites made while they were parted: is it one deed done twice, or do both count?"""

import asyncio
import random
from dataclasses import dataclass
from functools import partial

import pytest

from cutover.adapters.clock import SystemClock
from cutover.adapters.memory.objects import MemoryObjects, MemoryStore
from cutover.adapters.memory.replication import MemoryApplier, MemoryLog, MemoryRows
from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.site import MemorySite
from cutover.adapters.memory.witness import MemoryJournal, MemoryRegister, MemoryWitness
from cutover.engine.homecoming import merge_stranded
from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.change import Change, Delete, Insert, Row, Update
from cutover.model.plan import MergeRule, Plan, Table
from cutover.protocol.merging import Place

DAY: Place = ("public.days", ("mon",))
"""What was counted on a day: made by whoever counts first."""
POST: Place = ("public.posts", ("p",))
NEW_POST: Place = ("public.posts", ("q",))
LIKE: Place = ("public.likes", ("ann",))
PLAN = Plan(
    name="twice",
    source="east",
    target="west",
    tables=(
        Table(name="days", key=("id",), merge=MergeRule.COUNTER, counters=("n",)),
        Table(name="posts", key=("id",), merge=MergeRule.COUNTER, counters=("n",)),
        Table(name="likes", key=("id",), merge=MergeRule.APPEND),
    ),
)
AT_THE_FORK = 100


@dataclass(frozen=True, slots=True)
class Deed:
    """One transaction: how much it adds to which rows, in order; a row that is not there is made."""

    request: str | None
    added: tuple[tuple[Place, int], ...] = ()
    gone: Place | None = None

    def write(self, server: MemoryServer) -> None:
        """Commit it there."""
        seen: dict[Place, Row] = {}
        changes: list[Change] = []
        for place, amount in self.added:
            before = seen.get(place) or server.tables[place[0]].get(place[1])
            n = amount + int(str(before.get("n", 0))) if before else amount
            row: Row = {"id": place[1][0], "n": str(n)} if place != LIKE else {"id": place[1][0]}
            changes.append(Update(*place, row, old=before) if before else Insert(*place, row))
            seen[place] = row
        if self.gone is not None:
            changes.append(Delete(*self.gone))
        server.show(server.commit(changes, request=self.request))


async def merged(left: tuple[Deed, ...], survivor: tuple[Deed, ...]) -> dict[Place, int]:
    """What is counted at the survivor once east is home; both sites had one post at the fork."""
    servers = {name: _server(name) for name in ("east", "west")}
    parts = _parts(servers)
    for name, server in servers.items():
        Deed(None, ((POST, AT_THE_FORK),)).write(server)
        await parts.sites[name].prepare(guard=Guard(1, 1))
        await parts.sites[name].keep_log(guard=Guard(1, 1))
    west = parts.sites["west"]
    await west.open(epoch=2, started=await west.instant(), seconds=600, guard=Guard(2, 0))
    for name, deeds in (("east", left), ("west", survivor)):
        for deed in deeds:
            deed.write(servers[name])
    outcome = await merge_stranded(parts, "east", Guard(2, 1))
    assert outcome["kept"] == 0, outcome
    rows = {
        (table, key): row
        for table in servers["west"].tables
        for key, row in servers["west"].rows(table).items()
    }
    return {place: int(str(row["n"])) for place, row in rows.items() if "n" in row}


async def _at_once() -> None:
    """No network."""


def _server(name: str) -> MemoryServer:
    return MemoryServer(name, PLAN, asyncio.get_running_loop().time, _at_once)


async def _nothing() -> list[str]:
    return []


def _parts(servers: dict[str, MemoryServer]) -> Parts:
    witness = MemoryWitness()
    return Parts(
        plan=PLAN,
        sites={name: MemorySite(server) for name, server in servers.items()},
        rows={name: MemoryRows(server) for name, server in servers.items()},
        stores={name: MemoryObjects(MemoryStore(name)) for name in servers},
        logs={name: partial(MemoryLog, server) for name, server in servers.items()},
        appliers={name: MemoryApplier(server) for name, server in servers.items()},
        register=MemoryRegister(witness),
        journal=MemoryJournal(witness),
        clock=SystemClock(),
        random=random.Random(7),
        preflight=_nothing,
    )


EAST = (Deed("e1", ((DAY, 40), (POST, 40))), Deed("e2", ((DAY, 5), (POST, 5))))
WEST = (Deed("w1", ((DAY, 7), (POST, 7))), Deed("w2", ((DAY, 3), (POST, 3))))


def by_jobs(deeds: tuple[Deed, ...]) -> tuple[Deed, ...]:
    """The same, asked for by nobody."""
    return tuple(Deed(None, deed.added, deed.gone) for deed in deeds)


@pytest.mark.parametrize("asked", [tuple, by_jobs], ids=["users", "jobs"])
async def test_what_a_row_begins_with_counts_at_both_sites(asked: object) -> None:
    assert callable(asked)
    assert await merged(asked(EAST), asked(WEST)) == {DAY: 55, POST: AT_THE_FORK + 55}


async def test_a_row_that_begins_at_nothing_is_counted_in_at_both_sites() -> None:
    """Made, then added to, in one transaction."""
    east, west = (Deed(None, ((DAY, 0), (DAY, n), (POST, n))) for n in (40, 7))
    assert await merged((east,), (west,)) == {DAY: 47, POST: AT_THE_FORK + 47}


async def test_a_row_that_is_made_by_two_requests_takes_no_count_away() -> None:
    """A row that counts views, made with the first comment at each site."""
    east, west = (Deed(request, ((DAY, 0), (POST, 1))) for request in ("e1", "w1"))
    assert await merged((east,), (west,)) == {DAY: 0, POST: AT_THE_FORK + 2}


async def test_a_row_that_was_made_deleted_and_made_again_counts_what_it_is() -> None:
    again = (Deed("e1", ((DAY, 40),)), Deed("e2", gone=DAY), Deed("e3", ((DAY, 2),)), Deed("e4", ((DAY, 1),)))
    assert await merged(again, WEST) == {DAY: 13, POST: AT_THE_FORK + 10}


# -- one deed that was done twice --------------------------------------------------------------


async def test_what_both_sites_did_for_one_request_counts_once() -> None:
    one = Deed("r", ((DAY, 7), (POST, 7)))
    more = Deed("e2", ((DAY, 5), (POST, 5)))
    assert await merged((one, more), (one,)) == {DAY: 12, POST: AT_THE_FORK + 12}


@pytest.mark.parametrize("requests", [("e1", "w1"), (None, None), ("e1", None)])
async def test_a_like_that_was_given_twice_counts_once_wherever_it_counts(
    requests: tuple[str | None, str | None],
) -> None:
    east, west = (Deed(request, ((LIKE, 1), (DAY, 1), (POST, 1))) for request in requests)
    of_others = Deed("e2", ((DAY, 1), (POST, 1)))
    assert await merged((east, of_others), (west,)) == {DAY: 2, POST: AT_THE_FORK + 2}


@pytest.mark.parametrize("requests", [(None, None), ("e1", None)])
async def test_a_post_that_was_sent_twice_counts_once(requests: tuple[str | None, str | None]) -> None:
    """It begins at nothing, and no request tells which deed it was: its key does (S10)."""
    east, west = (Deed(request, ((NEW_POST, 0), (POST, 1))) for request in requests)
    viewed = Deed("e2", ((NEW_POST, 1),))
    assert await merged((east, viewed), (west,)) == {NEW_POST: 1, POST: AT_THE_FORK + 1}
