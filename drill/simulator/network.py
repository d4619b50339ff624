"""The network: each process reaches each host over a line of its own, and any direction may be cut.

A request has its effect at one moment, while it is under way. What can go
wrong before that moment leaves nothing behind (SiteUnreachable); what goes
wrong after it leaves an effect that its sender does not know of (Inconclusive,
or SiteUnreachable for what has no effect). A request that is late is done
late, when its sender has long given up.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

from cutover.errors import CutoverError, Inconclusive, SiteUnreachable
from cutover.model.change import LogItem, Quiet
from cutover.model.position import Position
from cutover.ports.database import ChangeLog
from drill.simulator.nap import Nap
from drill.simulator.places import Host, Life

Answer = TypeVar("Answer")

DELAY_SECONDS_MAX = 0.004
"""Longest way to a server, and back (seconds): two sites of one region."""
ANSWER_SECONDS = 2.0
"""How long a process waits for an answer before it gives up, as the adapters' time-outs have it."""


@dataclass(slots=True)
class Way:
    """One direction between two places."""

    cuts: int = 0  #: faults that cut it now
    loss: float = 0.0  #: share of what is lost on it
    delay: float = 1.0  #: as a multiple of the usual
    slowed: int = 0  #: faults that slow it now: two do not make it slower than one

    @property
    def bad(self) -> bool:
        """Whether anything can be lost on it."""
        return self.cuts > 0 or self.loss > 0.0


@dataclass(slots=True)
class Network:
    """All directions, and the delays on them."""

    chance: Random
    seconds_max: float = DELAY_SECONDS_MAX
    _ways: dict[tuple[str, str], Way] = field(default_factory=dict)

    def way(self, here: str, there: str) -> Way:
        """The direction from one place to another."""
        return self._ways.setdefault((here, there), Way())

    def between(self, place: str, others: list[str], *, out: bool = True, into: bool = True) -> list[Way]:
        """The directions between a place and others: out of it, into it, or both."""
        leaving = [self.way(place, other) for other in others] if out else []
        return leaving + ([self.way(other, place) for other in others] if into else [])

    def line(self, life: Life, host: Host) -> "Line":
        """How a process reaches a host."""
        return Line(self, life, host, self.way(life.place, host.name), self.way(host.name, life.place))


@dataclass(frozen=True, slots=True)
class Line:
    """One process's way to one host, and back."""

    network: Network
    life: Life
    host: Host
    there: Way
    back: Way

    async def ask(self, act: Callable[[], Awaitable[Answer]], *, effect: bool) -> Answer:
        """Let the host do `act`; what it answers may be an error."""
        if self.life.resumed is not None:
            await self.life.awake()
        seconds = self.network.chance.random() * self.network.seconds_max * self.there.delay
        if seconds > ANSWER_SECONDS:
            await self._late(seconds, act, effect=effect)
        await Nap(seconds)
        if self.there.bad and self._lost(self.there):
            await self._in_vain("no answer came: the request was lost")
        if not self.host.up:
            raise SiteUnreachable(self.host.name, "the connection was refused")
        lives = self.host.lives
        try:
            answer = await (act() if self.host.thawed is None else self._frozen(act, effect=effect))
        except Exception:  # an error is an answer, too
            await self._answered(lives, effect=effect)
            raise
        if self.back.bad or self.life.troubled or self.host.lives != lives:
            await self._answered(lives, effect=effect)
        return answer

    async def carry(self, act: Callable[[], Answer], *, effect: bool) -> Answer:
        """The same for what the host does at one moment."""

        async def at_once() -> Answer:
            return act()

        return await self.ask(at_once, effect=effect)

    def _lost(self, way: Way) -> bool:
        return way.cuts > 0 or self.network.chance.random() < way.loss

    async def _in_vain(self, why: str) -> None:
        await Nap(ANSWER_SECONDS)
        if self.life.resumed is not None:
            await self.life.awake()
        raise SiteUnreachable(self.host.name, why)

    async def _late(self, seconds: float, act: Callable[[], Awaitable[Answer]], *, effect: bool) -> None:
        """The request arrives when its sender has given up, and has its effect then."""

        async def later() -> None:
            await Nap(seconds)
            await self.host.awake()
            if self.host.up:
                await act()

        self.host.serve(later())
        await Nap(ANSWER_SECONDS)
        raise self._unknown("no answer came in time", effect=effect)

    async def _frozen(self, act: Callable[[], Awaitable[Answer]], *, effect: bool) -> Answer:
        """The request lies at the host until it wakes."""

        async def on_waking() -> Answer:
            await self.host.awake()
            return await act()

        return await self.served(on_waking(), effect=effect)

    async def served(self, work: Coroutine[Any, Any, Answer], *, effect: bool) -> Answer:
        """Let the host do it in a task of its own, which outlives whoever waits for it."""
        task = self.host.serve(work)
        await asyncio.wait({task}, timeout=ANSWER_SECONDS)
        if task.done() and not task.cancelled():
            return task.result()
        raise self._unknown("it died, or takes too long", effect=effect)

    async def _answered(self, lives: int, *, effect: bool) -> None:
        """What may happen to an answer on its way."""
        life = self.life
        if life.trap is not None:
            await life.trap(effect)
        if self.host.lives != lives:
            raise self._unknown("it died before its answer came", effect=effect)
        lost = self.back.bad and self._lost(self.back)
        if effect and life.deaf:
            life.deaf -= 1
            lost = True
        if lost:
            await Nap(ANSWER_SECONDS)
        if life.resumed is not None:
            await life.awake()
        if lost:
            raise self._unknown("its answer was lost", effect=effect)

    def _unknown(self, why: str, *, effect: bool) -> CutoverError:
        if effect:
            return Inconclusive(f"{self.host.name!r}: {why}; it may have happened")
        return SiteUnreachable(self.host.name, why)

    async def hear(self, lives: int, *, news: bool) -> None:
        """Receive something on a connection that was made in the host's life `lives`."""
        if news:
            await Nap(self.network.chance.random() * self.network.seconds_max * self.back.delay)
        if self.host.thawed is not None:
            await self.host.awake()
        if self.life.resumed is not None:
            await self.life.awake()
        if self.host.lives != lives:
            raise SiteUnreachable(self.host.name, "the connection was broken")
        if self.back.cuts or (news and self.back.bad and self._lost(self.back)):
            await self._in_vain("the connection is silent")


READS = frozenset(
    (
        "look",
        "fence",
        "instant",
        "probe_write",
        "sequences",
        "touched",
        "lead",
        "references",
        "quarantine",
        "read_chunk",
        "read_again",
        "digests",
        "digests_of",
        "rows_of",
        "referring",
        "merged",
        "following",
        "start",
        "copying",
        "set_aside",
        "durable",
        "check_reaches",
    )
)
"""Calls of the database's ports without an effect."""
LONG = frozenset({"close"})
"""Calls that go on at the host when their sender has died."""


class Remote:
    """A port of a host, as one process reaches it. A method that the port gains is carried as well."""

    def __init__(self, inner: object, line: Line) -> None:
        self._inner, self._line = inner, line

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)
        if not callable(method):
            return method
        called = self._carried(name, method)
        setattr(self, name, called)
        return called

    def _carried(self, name: str, method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        ask, serve, effect = self._line.ask, self._line.served, name not in READS

        async def call(*args: Any, **named: Any) -> Any:
            return await ask(lambda: method(*args, **named), effect=effect)

        async def served(*args: Any, **named: Any) -> Any:
            async def here() -> Any:
                return await method(*args, **named)

            return await ask(lambda: serve(here(), effect=effect), effect=effect)

        return served if name in LONG else call


class RemoteApplier(Remote):
    """The applier's connection: closing it has no effect that anybody waits for."""

    async def close(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class RemoteLog:
    """A log, read over a connection that breaks when the host dies or the line is cut."""

    inner: ChangeLog
    line: Line

    async def read(self) -> AsyncIterator[LogItem]:
        """As the port says; items come in their order."""
        await self.line.carry(lambda: None, effect=False)
        lives, quiet = self.line.host.lives, True
        async for item in self.inner.read():
            await self.line.hear(lives, news=quiet)
            quiet = isinstance(item, Quiet)
            yield item

    async def check_reaches(self, applied: Position) -> None:
        """As the port says."""
        await self.line.ask(lambda: self.inner.check_reaches(applied), effect=False)

    async def confirm(self, position: Position) -> None:
        """Sent, and not answered: it may not arrive."""
        if self.line.host.up and self.line.host.thawed is None and not self.line.there.bad:
            await self.inner.confirm(position)

    async def close(self) -> None:
        """Nobody waits for it."""
        await self.inner.close()
