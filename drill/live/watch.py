"""What is under way in a live drill, as the harness can know it from outside."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from cutover.errors import CutoverError
from cutover.model.plan import Plan
from cutover.model.position import Position
from drill.live.access import Access
from drill.live.field import UnderWay, in_flight, is_fed
from drill.points import role, roles_of
from drill.workload.clients import Workload

BITE_SECONDS = 0.3
"""Longest that a fault waits for something to be in flight: ten times a client's pause."""
FACTS_SECONDS = 0.1
"""Longest that both sites may take to say how far they are."""
AGAIN_SECONDS = 0.001
"""Pause between two looks at what is in flight: a client's call takes several of it."""

Bite = dict[str, object]


@dataclass(slots=True)
class Watch:
    """Hears the journal, and looks at clients and sites."""

    plan: Plan
    workload: Workload
    reached: Access
    _newest: int = -1
    _pending: list[Mapping[str, Any]] = field(default_factory=list)
    _left: tuple[str, Position] | None = None  #: the site that was closed, and where its log ended

    def take_in(self, entry: Mapping[str, Any]) -> bool:
        """Hear of a journal entry; False when it is known, for each coordinator tells from the start."""
        if entry["n"] <= self._newest:
            return False
        self._newest = entry["n"]
        if entry["kind"] == "move":
            self._pending = list(entry["actions"])
            if entry["stage"] not in ("drain", "cut_over"):
                self._left = None
        elif entry["kind"] == "done":
            self._pending = [one for one in self._pending if one not in entry["actions"]]
            for one in entry["actions"]:
                if one["action"] == "close-site":
                    self._left = (role(self.plan, one["site"]), Position.parse(entry["facts"]["end"]))
        return True

    async def bite(self, victim: str, *, standing: bool) -> Bite | None:
        """What a fault of `victim` hits now, waited for a moment; None when nothing came."""
        with suppress(TimeoutError):
            async with asyncio.timeout(BITE_SECONDS):
                while True:
                    seen = self._seen(frozenset(), standing=standing)
                    if found := in_flight(victim, seen):
                        return found
                    if found := in_flight(victim, self._seen(await self._fed(), standing=standing)):
                        return found
                    await asyncio.sleep(AGAIN_SECONDS)
        return None

    def _seen(self, fed: frozenset[str], *, standing: bool) -> UnderWay:
        now = self._pending[0] if self._pending else None
        return UnderWay(
            action=now["action"] if now else None,
            action_at=roles_of(self.plan, now["action"], now["site"]) if now else frozenset(),
            calls=Counter(role(self.plan, site) for site in self.workload.under_way.values()),
            fed=fed,
            standing=standing,
        )

    async def _fed(self) -> frozenset[str]:
        plan, sites = self.plan, self.reached.parts.sites
        with suppress(CutoverError, TimeoutError):
            async with asyncio.timeout(FACTS_SECONDS):
                source, target = await asyncio.gather(sites[plan.source].look(), sites[plan.target].look())
            pairs = (("source", source, target), ("target", target, source))
            return frozenset(
                name for name, here, there in pairs if is_fed(here, there, self._closed(name, there.end))
            )
        return frozenset()

    def _closed(self, follower: str, end: Position) -> Position | None:
        """Where the log ends that `follower` has to read once its peer is closed; None: nowhere."""
        if self._left is not None:
            return self._left[1] if self._left[0] != follower else None
        closing = [one for one in self._pending[:1] if one["action"] == "close-site"]
        return end if closing and role(self.plan, closing[0]["site"]) != follower else None
