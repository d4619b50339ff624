"""Places and what runs there: hosts that die as one, and processes that freeze."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from drill.simulator.nap import Nap

Answer = TypeVar("Answer")

WITNESS = "witness"
OPERATOR = "operator"
CLIENTS = "clients"


@dataclass(slots=True)
class Host:
    """The servers of one place. It dies as one, and can be frozen with all that it holds."""

    name: str
    up: bool = True
    lives: int = 0  #: rises with each death
    thawed: asyncio.Event | None = None  #: set once it goes on; None: it is not frozen
    trap: Callable[[str], Awaitable[None]] | None = None  #: awaited in each moment of a transaction
    _tasks: "dict[asyncio.Task[Any], None]" = field(default_factory=dict)

    def serve(self, work: Coroutine[Any, Any, Answer]) -> "asyncio.Task[Answer]":
        """Do it here: it goes on when nobody waits for it, and ends when this host dies."""
        task = asyncio.ensure_future(work)
        self._tasks[task] = None
        task.add_done_callback(self._over)
        return task

    def _over(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()

    async def die(self) -> None:
        """Refuse whatever comes, and end what is under way wherever it stands."""
        self.up, self.lives = False, self.lives + 1
        self.thaw()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            await asyncio.wait([task])

    def freeze(self) -> None:
        """Stand still: what comes is kept, and done on waking."""
        if self.thawed is None:
            self.thawed = asyncio.Event()

    def thaw(self) -> None:
        """Go on."""
        if self.thawed is not None:
            self.thawed.set()
            self.thawed = None

    async def awake(self) -> None:
        """Wait until it is not frozen."""
        while self.thawed is not None:
            await self.thawed.wait()


@dataclass(slots=True)
class Life:
    """One process from its start to its end: where it runs, and what is done to it."""

    name: str
    place: str
    resumed: asyncio.Event | None = None  #: set once it goes on; None: it is not paused
    deaf: int = 0  #: answers to its next effects that are lost
    trap: Callable[[bool], Awaitable[None]] | None = None  #: awaited between an effect and its answer

    @property
    def troubled(self) -> bool:
        """Whether anything is to be done between an effect and its answer."""
        return self.trap is not None or self.deaf > 0 or self.resumed is not None

    def pause(self) -> None:
        """Take no further step; what was sent is done."""
        if self.resumed is None:
            self.resumed = asyncio.Event()

    def resume(self) -> None:
        """Go on, with all that it believed."""
        if self.resumed is not None:
            self.resumed.set()
            self.resumed = None

    async def awake(self) -> None:
        """Wait until it is not paused."""
        while self.resumed is not None:
            await self.resumed.wait()


@dataclass(slots=True)
class SiteClock:
    """The clock of one place: it drifts, and a fault may step it."""

    rate: float = 1.0  #: of this clock's seconds to the loop's
    offset: float = 0.0  #: seconds

    def __call__(self) -> float:
        """What it shows."""
        return asyncio.get_running_loop().time() * self.rate + self.offset


@dataclass(frozen=True, slots=True)
class ProcessClock:
    """The engine's clock in one process: it never steps, and stands still for nobody."""

    life: Life
    rate: float

    def monotonic(self) -> float:
        """Seconds."""
        return asyncio.get_running_loop().time() * self.rate

    def stamp(self) -> str:
        """A wall clock could not be repeated."""
        return ""

    async def sleep(self, seconds: float) -> None:
        """Let time pass; a paused process wakes only once it is resumed."""
        await Nap(seconds)
        if self.life.resumed is not None:
            await self.life.awake()
