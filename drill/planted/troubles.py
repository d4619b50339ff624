"""What goes wrong beside a variant: each is borne by the engine without it."""

import asyncio
from typing import TYPE_CHECKING

from cutover.engine.journalling import ask, state_of
from cutover.model.change import Change, Delete, Key, Truncate
from cutover.model.journal import Intent
from cutover.model.stage import Stage
from drill.planted.plant import Circumstances

if TYPE_CHECKING:
    from drill.simulator.world import World

POSTS = "public.posts"
HANGING = ("public.comments", "public.post_likes", "public.queue")
LOOK_SECONDS = 0.02


async def until(world: "World", *stages: Stage) -> None:
    """Wait until the journal stands at one of these stages, with nothing left to do."""
    while True:
        news = world.news
        state = await state_of(world.parts("operator"))
        if state is not None and state.stage in stages and not state.pending:
            return
        await news.wait()


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
    objects = world.stores[world.plan.target].objects
    place = next(iter(objects))
    whole = objects[place]
    objects[place] = type(whole)(whole.info, b"\0" + whole.data[1:], whole.sha256)
    await asyncio.sleep(2.0)
    state = await state_of(world.parts("operator"))
    if state is not None and state.clean is False:
        objects[place] = whole
        await ask(world.parts("operator"), Intent.VERIFY)


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
    told="the register comes back from an old backup", disturb=_register_restored
)
CLOCK_BEHIND = Circumstances(
    told="the target's clock is five seconds behind", ending="roll-back", disturb=_clock_behind
)
COPYING = Circumstances(copying=True)
COMPLETED = Circumstances(ending="complete")
ROLLED_BACK = Circumstances(ending="roll-back")
