"""What goes wrong beside a variant: each is borne by the engine without it."""

import asyncio
from typing import TYPE_CHECKING

from cutover.errors import Inconclusive
from cutover.model.change import Change, Delete, Key, Truncate
from cutover.model.stage import Stage
from drill.planted.plant import Circumstances
from drill.schedule import Strike
from drill.simulator.places import WITNESS

if TYPE_CHECKING:
    from cutover.adapters.memory.server import MemoryServer
    from drill.simulator.world import World

POSTS = "public.posts"
ELIGIBLE = "verify/mark-eligible:after"
"""The first moment at which the target may be promoted."""
HANGING = ("public.comments", "public.post_likes", "public.queue")


async def until(world: "World", *stages: Stage) -> None:
    """Wait until the journal stands at one of these stages, with nothing left to do."""
    while world.state.stage not in stages or world.state.pending:
        await world.news.wait()


async def _worker_dies_often(world: "World") -> None:
    """The target's worker is killed and started again many times, some of them in a batch."""
    chance = world.random("worker dies")
    process = f"worker {world.plan.target}"
    for _ in range(25):
        await asyncio.sleep(chance.uniform(0.02, 0.1))
        await world.kill(process)
        world.start(process)


async def _worker_stands_still(world: "World") -> None:
    """The target's worker is gone for a while, so that the log has grown when it is back."""
    process = f"worker {world.plan.target}"
    await until(world, Stage.CATCH_UP, Stage.VERIFY)
    for _ in range(3):
        await world.kill(process)
        await asyncio.sleep(0.4)
        world.start(process)
        await asyncio.sleep(0.15)


async def _emptied_in_soak(world: "World") -> None:
    """Somebody empties the site that was left, past its fence, while the operator has not completed."""
    await until(world, Stage.SOAK)
    _commit_at_source(world, [Truncate((POSTS, *HANGING))])


async def _thinned_in_soak(world: "World") -> None:
    """Somebody deletes rows at the site that was left, one by one, past its fence."""
    await until(world, Stage.SOAK)
    _delete_at_source(world)


async def _wiped_after_complete(world: "World") -> None:
    """An operator has unlinked the sites and wipes the old one, row by row."""
    await until(world, Stage.COMPLETE)
    _delete_at_source(world)
    await asyncio.sleep(1.0)


def _delete_at_source(world: "World") -> None:
    tables = world.servers[world.plan.source].tables
    keys: list[tuple[str, Key]] = [(table, key) for table in (*HANGING, POSTS) for key in tables[table]]
    for table, key in keys:
        _commit_at_source(world, [Delete(table, key)])


def _commit_at_source(world: "World", changes: list[Change]) -> None:
    server = world.servers[world.plan.source]
    server.show(server.commit(changes, request=None))


async def _rotten_at_the_target(world: "World") -> None:
    """An object at the target turns bad once it is copied; mended after a while, if it was noticed."""
    await until(world, Stage.CATCH_UP, Stage.VERIFY)
    target, objects = world.servers[world.plan.target], world.stores[world.plan.target].objects
    place = next(place for place in objects if place[1] in _owned(target))
    whole = objects[place]
    objects[place] = type(whole)(whole.info, b"\0" + whole.data[1:], whole.sha256)
    await asyncio.sleep(2.0)
    if world.state.stage is Stage.VERIFY or place[1] not in _owned(target):
        objects[place] = whole


def _owned(server: "MemoryServer") -> set[object]:
    """Keys of the objects that a row names."""
    return {row["object_key"] for row in server.rows(POSTS).values()}


async def _register_restored(world: "World") -> None:
    """The register comes back from an old backup once both sites have seen the new one, and is mended."""
    await until(world, Stage.VERIFY)
    old = world.witness.register
    await until(world, Stage.SOAK)
    await asyncio.sleep(world.plan.lease.seconds / 4)
    newest = world.witness.register
    for body in (old, newest):
        world.witness.register = body
        world.witness.version += 1
        await asyncio.sleep(world.plan.lease.seconds / 2)


async def _clock_behind(world: "World") -> None:
    """The clock of the target's database is five seconds behind, always."""
    server = world.servers[world.plan.target]
    right = server.clock
    server.clock = lambda: right() - 5.0


async def _clock_ahead(world: "World") -> None:
    """The target's clock is five seconds ahead, always; and nobody renews the source's lease any more."""
    world.clocks[world.plan.target].offset += 5.0
    await _until_eligible(world)
    gone = ("coordinator", f"agent {world.plan.source}")
    for process in gone:
        await world.kill(process)
    await asyncio.sleep(2 * world.plan.lease.seconds)
    for process in gone:
        world.start(process)


async def _until_eligible(world: "World") -> None:
    """Wait until the target may be promoted."""
    while (grant := world.witness.grant()) is None or world.plan.target not in grant.eligible:
        await world.news.wait()


async def _coordinator_sleeps(world: "World") -> None:
    """A coordinator freezes as it opens the target, another one goes on, and the first wakes at the end."""
    await world.news.wait()
    asleep, life, leases = asyncio.Event(), world.lives["coordinator"], list[int]()

    async def fall_asleep(_: object) -> None:
        grant = world.witness.grant()
        if grant is not None and grant.serving == world.plan.target and grant.lease_count not in leases:
            leases.append(grant.lease_count)
        if len(leases) > 1 and not asleep.is_set():  # named, and then given the lease under which it opens
            world.pause("coordinator")
            asleep.set()

    life.trap = fall_asleep
    await asleep.wait()
    life.trap = None
    world.start("coordinator two")
    await until(world, Stage.ROLLED_BACK)
    world.resume("coordinator")
    await asyncio.sleep(0.6)


async def _answers_lost(world: "World") -> None:
    """One in eight of the source's backends dies between its commit and its answer, while all is copied."""
    chance, host = world.random("answers lost"), world.hosts[world.plan.source]

    async def dies(moment: str) -> None:
        if moment == "committed" and chance.random() < 1 / 8:
            raise Inconclusive("the backend died before it had answered")

    host.trap = dies
    await until(world, Stage.VERIFY)
    host.trap = None


async def _witness_back_for_the_heir(world: "World") -> None:
    """The witness is dead for longer than a lease, and the target, which serves, does not hear it again."""
    lease, witness = world.plan.lease, world.hosts[WITNESS]
    await until(world, Stage.SOAK)
    await asyncio.sleep(lease.seconds / 2)
    await _renewed_and_seen(world)
    await witness.die()
    await asyncio.sleep(lease.seconds + lease.margin + 0.5)
    ways = world.network.between(world.plan.target, [WITNESS])
    for way in ways:
        way.cuts += 1
    witness.up = True
    await asyncio.sleep(2 * lease.seconds)
    for way in ways:
        way.cuts -= 1


async def _renewed_and_seen(world: "World") -> None:
    """Wait until a lease was renewed, and then for a look of the peer's agent."""
    grant = world.witness.grant()
    while world.witness.grant() == grant:
        await asyncio.sleep(world.plan.lease.seconds / 100)
    await asyncio.sleep(world.plan.lease.seconds / 8)


WORKER_DIES = Circumstances(told="the target's worker dies 25 times", disturb=_worker_dies_often)
WORKER_STANDS_STILL = Circumstances(
    told="the target's worker is away for a while", disturb=_worker_stands_still
)
EMPTIED_IN_SOAK = Circumstances(
    told="the site that was left is emptied", ending="complete", disturb=_emptied_in_soak
)
THINNED_IN_SOAK = Circumstances(
    told="rows are deleted at the site that was left", ending="complete", disturb=_thinned_in_soak
)
WIPED_AFTER_COMPLETE = Circumstances(
    told="the old site is wiped once all is complete", ending="complete", disturb=_wiped_after_complete
)
ROTTEN_AT_THE_TARGET = Circumstances(
    told="a copied object turns bad at the target", disturb=_rotten_at_the_target
)
REGISTER_RESTORED = Circumstances(
    told="the register comes back from an old backup",
    operations=900,  # so that users are still at work then
    disturb=_register_restored,
)
CLOCK_BEHIND = Circumstances(
    told="the target's clock is five seconds behind", ending="roll-back", disturb=_clock_behind
)
COPYING = Circumstances(copying=True)
COMPLETED = Circumstances(ending="complete")
ROLLED_BACK = Circumstances(ending="roll-back")
CLOCK_AHEAD = Circumstances(
    told="the target's clock is five seconds ahead, and nobody renews the source's lease",
    disturb=_clock_ahead,
)
NOBODY_RENEWS = Circumstances(
    told="the source's agent and the coordinator are gone for longer than a lease",
    strikes=(
        Strike(fault="kill", victim="agent-source", point=ELIGIBLE, seconds=6.0),
        Strike(fault="kill", victim="coordinator", point=ELIGIBLE, seconds=6.0),
    ),
)
SOURCE_DIES = Circumstances(
    told="the source dies for longer than a lease",
    strikes=(Strike(fault="kill", victim="source", point=ELIGIBLE, seconds=6.0),),
)
SOURCE_CUT_OFF = Circumstances(
    told="the source is cut off, and dies for longer than a lease",
    strikes=(Strike(fault="cut-then-kill", victim="source", point=ELIGIBLE, seconds=6.0),),
)
DIES_WHILE_COPIED = Circumstances(
    told="the source dies for longer than a lease while it is copied",
    strikes=(Strike(fault="kill", victim="source", point="backfill/follow:after", seconds=6.0),),
)
TARGET_LOSES_POWER = Circumstances(
    told="the target loses its power while changes reach it",
    strikes=(Strike(fault="power-cut", victim="target", point=ELIGIBLE, seconds=1.0),),
)
TARGET_DIES_DRAINED = Circumstances(
    told="the target loses its power as its drain ends, and the link between the sites is cut",
    strikes=(
        Strike(fault="partition", victim="sites", point="cut-over/move-sequences:before", seconds=3.0),
        Strike(fault="power-cut", victim="target", point="cut-over/move-sequences:before", seconds=0.8),
    ),
)
WRITER_HELD_UP = Circumstances(
    told="a transaction stands still between its fence and its commit as the drain begins",
    strikes=(Strike(fault="pause", victim="backend", point="drain/declare-drain:before", seconds=1.0),),
)
ANSWERS_LOST = Circumstances(
    told="now and then a backend of the source dies before it has answered", disturb=_answers_lost
)
HEARD_BY_THE_HEIR = Circumstances(
    told="the witness is gone while the peer lends, and comes back to the peer alone",
    lending=True,
    disturb=_witness_back_for_the_heir,
)
COORDINATOR_SLEEPS = Circumstances(
    told="a coordinator freezes as it opens the target, and wakes after another one has rolled back",
    ending="roll-back",
    operations=900,  # so that users are still at work when it wakes
    disturb=_coordinator_sleeps,
)
MANY_OPERATIONS = Circumstances(operations=480)
