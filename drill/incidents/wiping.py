"""A rehearsal behind whose end an operator wipes the site that was left."""

from dataclasses import replace

from cutover.model.change import Delete, Key
from cutover.model.stage import Stage
from drill.checkers import Evidence
from drill.simulator.nap import Nap
from drill.simulator.rehearsing import ENDED, Rehearsing
from drill.simulator.world import World

TIME_TO_TRAVEL_SECONDS = 5.0
"""From the wipe to the second look: many times what a change takes to the other site."""


class WipedBehindTheEnd(Rehearsing):
    """As any other until its stores are read; then one site is emptied, and the other one read again."""

    async def _evidence(self) -> tuple[Evidence, Stage]:
        evidence, stage = await Rehearsing._evidence(self)
        world = self._world
        left = world.plan.peer(world.serving)
        if stage not in ENDED or not world.hosts[left].up:
            return evidence, stage
        before = await self._stores(world.serving)
        wipe(world, left)
        await Nap(TIME_TO_TRAVEL_SECONDS)
        after = await self._stores(world.serving)
        return replace(evidence, serving=before, after_wipe=after), stage


def wipe(world: World, site: str) -> None:
    """Remove every row, one transaction each and past any fence, and every object."""
    server = world.servers[site]
    tables = [table.qualified for table in reversed(world.plan.tables)]
    rows: list[tuple[str, Key]] = [(table, key) for table in tables for key in server.tables[table]]
    for table, key in rows:
        server.show(server.commit([Delete(table, key)], request=None))
    world.stores[site].objects.clear()
