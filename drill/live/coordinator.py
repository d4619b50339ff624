"""The coordinator as a drill starts it: the production one, stopped at a crash point until a fault struck.

It runs in a process of its own. At the point that the drill waits for, and
after each journal entry, it sends a line to the harness over a unix socket.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from cutover.cli.coordinator import coordinate
from cutover.cli.service import Settings, joined
from cutover.engine.parts import Parts
from cutover.model.journal import Entry
from cutover.protocol.replay import State
from drill.planted import PLANTS
from drill.points import Point, PointedJournal

IN_FLIGHT_SECONDS = 0.002
"""How long a call is let run before a fault strikes *during* its action: sent, and not yet answered."""

Port = TypeVar("Port")


async def serve(settings: Mapping[str, object], ready: Callable[[], None]) -> None:
    """Coordinate as `cutover coordinator` does, over parts that tell the harness where it is."""
    harness = await Harness.connect(str(settings["harness"]))
    point = settings.get("point")
    wanted = Point.parse(str(point)) if point else None
    plant = settings.get("plant")
    ready()
    async with joined(Settings.read(settings)) as parts:
        planted = PLANTS[str(plant)].in_parts(parts) if plant else parts
        await coordinate(pointed(planted, harness, wanted))


def pointed(parts: Parts, harness: "Harness", wanted: Point | None) -> Parts:
    """The same parts, telling `harness` of the point that it waits for."""

    async def reached(point: Point) -> None:
        if point == wanted:
            await harness.strike(point)

    journal = PointedJournal(parts.journal, reached, harness.entry, State())
    if wanted is None or wanted.when != "during":
        return replace(parts, journal=journal)

    async def in_flight() -> None:
        if journal.current == wanted:
            await asyncio.sleep(IN_FLIGHT_SECONDS)
            await harness.strike(wanted)

    sites: Any = {name: _Watched(site, in_flight) for name, site in parts.sites.items()}
    rows: Any = {name: _Watched(one, in_flight) for name, one in parts.rows.items()}
    register: Any = _Watched(parts.register, in_flight)
    return replace(parts, journal=journal, sites=sites, rows=rows, register=register)


class _Watched:
    """A port whose calls are under way when the fault strikes."""

    def __init__(self, inner: object, in_flight: Callable[[], Awaitable[None]]) -> None:
        self._inner, self._in_flight = inner, in_flight

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(member):
            return member

        async def call(*given: object, **named: object) -> Any:
            answer = asyncio.ensure_future(member(*given, **named))
            try:
                await self._in_flight()
            except BaseException:
                answer.cancel()
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
            "actions": [str(action["action"]) for action in entry.actions],
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
