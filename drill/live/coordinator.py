"""The coordinator as a drill starts it: the production one, stopped at a crash point until a fault struck.

It runs in a process of its own. At the point that the drill waits for, and
after each journal entry, it sends a line to the harness over a unix socket.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cutover.cli.coordinator import coordinate
from cutover.cli.service import Settings, joined
from cutover.engine.parts import Parts
from cutover.model.journal import Entry
from drill.planted import LIVE
from drill.points import Point, PointedJournal

IN_FLIGHT_SECONDS = 0.002
"""How long a call is let run before a fault strikes *during* its action: sent, and not yet answered."""

EFFECTS: Mapping[str, frozenset[str]] = {
    "prepare-site": frozenset({"prepare"}),
    "keep-log": frozenset({"keep_log"}),
    "follow": frozenset({"follow"}),
    "compare-sites": frozenset({"digests", "digests_of"}),
    "mark-eligible": frozenset({"compare_and_set"}),
    "disqualify": frozenset({"compare_and_set"}),
    "promote-site": frozenset({"compare_and_set"}),
    "list-stranded": frozenset({"look"}),
    "merge-stranded": frozenset({"merge"}),
    "end-parting": frozenset({"compare_and_set"}),
    "throttle": frozenset({"throttle"}),
    "declare-drain": frozenset({"compare_and_set"}),
    "close-site": frozenset({"close"}),
    "move-sequences": frozenset({"raise_sequences"}),
    "verify-delta": frozenset({"digests_of", "forget_touched"}),
    "grant-epoch": frozenset({"compare_and_set"}),
    "open-site": frozenset({"open"}),
    "give-up-drain": frozenset({"compare_and_set"}),
    "unfollow": frozenset({"unfollow"}),
    "release-brake": frozenset({"release_brake"}),
    "release-log": frozenset({"release_log"}),
    "remove-fence": frozenset({"remove"}),
}
"""The calls that *are* an action. What is asked around it, a look or a read, is not the action under way."""


async def serve(settings: Mapping[str, object], ready: Callable[[], None]) -> None:
    """Coordinate as `cutover coordinator` does, over parts that tell the harness where it is."""
    harness = await Harness.connect(str(settings["harness"]))
    point = settings.get("point")
    wanted = Point.parse(str(point)) if point else None
    plant = settings.get("plant")
    ready()
    async with joined(Settings.read(settings)) as parts:
        planted = LIVE[str(plant)].in_parts(parts) if plant else parts
        await coordinate(pointed(planted, harness, wanted))


def pointed(parts: Parts, harness: "Harness", wanted: Point | None) -> Parts:
    """The same parts, telling `harness` of the point that it waits for."""

    async def reached(here: Point) -> None:
        if wanted is not None and wanted.is_at(here):
            await harness.strike(wanted)

    asked = parts.preflight

    async def preflight() -> list[str]:
        await reached(Point("preflight"))
        return await asked()

    journal = PointedJournal(parts.journal, parts.plan, reached, harness.entry)
    parts = replace(parts, journal=journal, preflight=preflight)
    if wanted is None or wanted.action is None or wanted.when != "during":
        return parts

    async def sent() -> None:
        if journal.current is not None:
            await reached(journal.current)

    calls = EFFECTS[wanted.action]
    sites: Any = {name: _Watched(site, calls, sent) for name, site in parts.sites.items()}
    rows: Any = {name: _Watched(one, calls, sent) for name, one in parts.rows.items()}
    register: Any = _Watched(parts.register, calls, sent)
    return replace(parts, sites=sites, rows=rows, register=register)


class _Watched:
    """A port that tells when one of `calls` was sent, before its answer is handed on."""

    def __init__(self, inner: object, calls: Collection[str], sent: Callable[[], Awaitable[None]]) -> None:
        self._inner, self._calls, self._sent = inner, calls, sent

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if name not in self._calls:
            return member

        async def call(*given: object, **named: object) -> Any:
            answer = asyncio.ensure_future(member(*given, **named))
            try:
                await asyncio.sleep(IN_FLIGHT_SECONDS)
                await self._sent()
            except BaseException:
                answer.cancel()
                await asyncio.wait({answer})
                raise
            return await answer

        return call


@dataclass(slots=True)
class Harness:
    """The coordinator's end of the line to the harness."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    struck: bool = False

    @classmethod
    async def connect(cls, path: str) -> "Harness":
        """Connect to the harness's socket."""
        return cls(*await asyncio.open_unix_connection(path))

    def entry(self, entry: Entry) -> None:
        """Tell of a journal entry, without waiting."""
        told = {
            "n": entry.n,
            "kind": entry.kind.value,
            "stage": entry.stage,
            "direction": entry.direction,
            "actions": [{"action": one["action"], "site": one.get("site")} for one in entry.actions],
            "facts": entry.facts if entry.kind.value != "plan" else {},
        }
        self.writer.write(json.dumps({"entry": told}).encode() + b"\n")

    async def strike(self, point: Point) -> None:
        """Let the harness strike, once, and wait until it has."""
        if self.struck:
            return
        self.struck = True
        self.writer.write(json.dumps({"point": str(point)}).encode() + b"\n")
        await self.writer.drain()
        await self.reader.readline()
