"""A merge that a constraint refuses is taken for done, with all that was to come home in it.

The engine gives a constraint nothing to refuse: it settles families together,
and counts a request that both sites carried out once. Each variant takes out
one of the two.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.action import Guard
from cutover.model.change import LogItem, Row, Transaction
from cutover.model.merge import Settled
from cutover.ports.database import Aside, ChangeLog, Decide, Merged, Place
from cutover.protocol.merging import Scene
from drill.planted.around import Around, around_sites
from drill.planted.plant import Plant
from drill.planted.troubles import SOURCE_CUT_OFF
from sample_platform.platform import Platform

ANSWER_SECONDS = 0.03


class GivesUp(Around):
    """A site's database whose merges are tried once."""

    async def merge(self, places: Sequence[Place], decide: Decide, *, guard: Guard) -> Sequence[Aside]:
        """As the port says; with what is refused everything else is left out."""

        async def nothing(here: Mapping[Place, Row]) -> Merged:
            decided = await decide(here)
            left_out = [replace(one, row=one.expected, kept=()) for one in decided.settled]
            return replace(decided, settled=left_out)

        if await self._inner.merge(places, decide, guard=guard):
            await self._inner.merge(places, nothing, guard=guard)
        return ()


class NamedBySite(Around):
    """A log whose requests are called otherwise than those of the other site."""

    def __init__(self, inner: ChangeLog, site: str) -> None:
        super().__init__(inner)
        self._site = site

    async def read(self) -> AsyncIterator[LogItem]:
        """As the port says, under another name."""
        async for item in self._inner.read():
            named = isinstance(item, Transaction) and item.request is not None
            yield replace(item, request=f"{item.request} at {self._site}") if named else item


class AnswersSlowly(Platform):
    """The platform, slow to answer: what it has not answered when it dies is asked for anew elsewhere."""

    async def _confirm(self, epoch: int | None) -> None:
        await asyncio.sleep(ANSWER_SECONDS)
        await super()._confirm(epoch)


def _giving_up(parts: Parts) -> Parts:
    return around_sites(parts, lambda _, inner: GivesUp(inner))


def _each_row_by_itself(parts: Parts) -> Parts:
    decide = parts.settle

    def settle(scene: Scene) -> list[Settled]:
        return decide(replace(scene, references=(), children={}, dragged={}))

    return replace(_giving_up(parts), settle=settle)


def _each_request_for_itself(parts: Parts) -> Parts:
    def named(site: str, opened: Callable[[], ChangeLog]) -> Callable[[], Any]:
        return lambda: NamedBySite(opened(), site)

    logs = {site: named(site, opened) for site, opened in parts.logs.items()}
    return replace(_giving_up(parts), logs=logs)


REFUSAL_TAKEN_FOR_DONE = Plant(
    name="refusal-taken-for-done",
    rule="S7",
    checker="ledger",
    about="one row that a foreign key refuses ends a merge, and what else was to come home is lost",
    symptom="earnings lost",
    processes=frozenset({"coordinator"}),
    under=SOURCE_CUT_OFF,
    in_parts=_each_row_by_itself,
)

REQUEST_TAKEN_FOR_TWO = Plant(
    name="request-taken-for-two",
    rule="S7",
    checker="no_ghosts",
    about="what a client has sent to both sites is taken for two requests, and a unique index ends the merge",
    symptom="ghost posts",
    seeds=25,
    processes=frozenset({"coordinator", "platform"}),
    under=SOURCE_CUT_OFF,
    in_parts=_each_request_for_itself,
    platform=AnswersSlowly,
)
