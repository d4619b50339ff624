"""What a reading of the engine found: memories that shrank, and a promotion that is no grant."""

from types import SimpleNamespace
from typing import cast

import pytest

from cutover.adapters.memory.replication import MemoryLog, MemoryRows
from cutover.adapters.memory.server import MemoryServer
from cutover.engine.act import Executor
from cutover.engine.parts import Parts
from cutover.engine.tails import differing
from cutover.errors import Refused, StaleTerm
from cutover.model.action import Guard
from cutover.model.change import Delete, Insert
from cutover.protocol.merging import Scene, keep_all
from cutover.protocol.promote import promoted
from resilience_tests.spec.protocol.worlds import GRANT, PLAN

ROW: dict[str, str | None] = {"id": "1", "text": "one"}


async def _at_once() -> None:
    """No network."""


def server(site: str) -> MemoryServer:
    """A site's database with one row."""
    made = MemoryServer(site, PLAN, lambda: 0.0, _at_once)
    made.show(made.commit([Insert("public.posts", ("1",), dict(ROW))], request="r1"))
    return made


# S3, S7. The left site was restored to a state before a user's delete that its peer had long applied: what
# it holds is kept and never taken, for no row is a proof that it was not deleted.
async def test_a_restored_site_does_not_bring_back_what_a_user_deleted() -> None:
    east, west = server("east"), server("west")
    west.show(west.commit([Delete("public.posts", ("1",))], request="r2", foreign=True))
    rows = {"east": MemoryRows(east), "west": MemoryRows(west)}
    found = await differing(cast(Parts, SimpleNamespace(plan=PLAN, rows=rows)), "east")
    theirs = {place: one for place, one in found.items() if one is not None}
    scene = Scene(plan=PLAN, left="east", references=(), theirs=theirs, ours={}, here={})
    (one,) = keep_all(scene)
    assert one.row is None
    assert [lost.row for lost in one.kept] == [ROW]


# S11. The follower was restored: it has applied less than it had confirmed, so the slot begins behind a gap
# that nobody sends again.
async def test_a_restored_follower_does_not_go_on_behind_a_gap() -> None:
    east = server("east")
    behind = east.end
    east.slot = len(east.log)
    east.show(east.commit([Delete("public.posts", ("1",))], request="r2"))
    log = MemoryLog(east)
    await log.confirm(east.end)
    with pytest.raises(Refused):
        await log.check_reaches(behind)


# S6. The arriving site may be named because it was promoted: nothing was drained then.
def test_a_coordinator_does_not_take_a_promotion_for_its_own_grant() -> None:
    grant = promoted(GRANT, "west", lease_count=GRANT.lease_count, by="agent")
    with pytest.raises(StaleTerm):
        Executor._granted(cast(Executor, None), grant, Guard(GRANT.term, 12), "west")
