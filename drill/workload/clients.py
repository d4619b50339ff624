"""Concurrent clients in closed loops, each call recorded before it leaves and when it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from random import Random

from drill.history import Event, HistoryWriter, Outcome
from drill.workload.calls import call, shown
from drill.workload.wishes import Known, Wish, first_log_ins, more, shuffled_kinds, wish
from sample_platform.errors import NotServing, Refused, Unavailable, Unknown
from sample_platform.model import Answer, post_id
from sample_platform.ports import PlatformApi

PATIENCE_SECONDS = 25.0
"""How long one operation is tried before its client gives up (seconds): longer than a drain may take."""
PAUSE_SECONDS = 0.01
"""First pause before an operation is sent again; it doubles up to forty times that, with jitter."""
PAUSE_SECONDS_MAX = 0.4
NOT_SERVING_SECONDS = 0.02
"""First pause after a site said that it does not serve, cut short when the router names another one."""
NOT_SERVING_SECONDS_MAX = 0.15
ROUTE_SECONDS = 0.008
"""Pause between two questions to the router, which all clients of a workload ask together."""

Route = Callable[[], Awaitable[str | None]]
"""Which site the router names; None when it does not know."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Amount:
    """How much is done, and by how many at a time."""

    uploads: int = 200
    others: int = 2_000
    clients: int = 12
    most: int = 8_000  #: bound, whatever happens: operations of a workload that goes on until it is released


@dataclass(slots=True, kw_only=True)
class Workload:
    """Runs until its amount is done *and* it is released; until then it goes on with what is no upload."""

    apis: Mapping[str, PlatformApi]
    route: Route
    history: HistoryWriter
    random: Random
    amount: Amount
    first_site: str
    known: Known = field(default_factory=Known)
    under_way: dict[str, str] = field(default_factory=dict)  #: by client: where a call is that has no answer
    pace_seconds: float = 0.0  #: mean pause between two operations of a client
    done: int = 0
    since: float | None = None  #: loop's time from which clients keep their pace; None: users still log in
    _released: bool = True
    _site: str = ""
    _requests: int = 0
    _asking: "asyncio.Task[None] | None" = None

    async def run(self) -> None:
        """Carry out all operations."""
        self._site = self.first_site
        kinds = shuffled_kinds(self.random, self.amount.uploads, self.amount.others)
        kinds.reverse()
        for user in first_log_ins():
            await self.perform("client-0", user, self.random)
        self.since = asyncio.get_running_loop().time()
        names = [f"client-{n}" for n in range(self.amount.clients)]
        loops = [self._loop(name, kinds, Random(self.random.random())) for name in names]
        await asyncio.gather(*loops)
        if self._asking is not None:
            await self._asking

    def hold(self, *, pace_seconds: float) -> None:
        """Go on at this pace until `release`, so that something is in flight whenever a fault strikes."""
        self._released, self.pace_seconds = False, pace_seconds

    def release(self) -> None:
        """End when the amount is done, as fast as the platform answers."""
        self._released, self.pace_seconds = True, 0.0

    async def _loop(self, name: str, kinds: list[str], random: Random) -> None:
        while (kind := self._next(kinds, random)) is not None:
            await self.perform(name, wish(kind, random, self.known), random)
            self.done += 1
            if self.pace_seconds:
                await asyncio.sleep(random.expovariate(1 / self.pace_seconds))

    def _next(self, kinds: list[str], random: Random) -> str | None:
        if kinds:
            return kinds.pop()
        if self._released or self.done >= self.amount.most:
            return None
        return more(random)

    async def perform(self, process: str, wanted: Wish, random: Random) -> Answer[object] | None:
        """Send one operation until it is settled or patience ends; None when it was not acknowledged."""
        self._requests += 1
        request = f"{process}-{self._requests}-{random.getrandbits(48):012x}"
        key = post_id(request) if wanted.f == "upload" else wanted.key or None
        invoke = self.history.invoke(process, wanted.f, key=key, value=_asked(wanted), request=request)
        return await self._attempts(invoke, wanted, request, random)

    async def _attempts(
        self, invoke: Event, wanted: Wish, request: str, random: Random
    ) -> Answer[object] | None:
        """A retry keeps the request id. After one unknown attempt only a success settles it."""
        clock = asyncio.get_running_loop().time
        ends, attempts, here, unknown = clock() + PATIENCE_SECONDS, 0, 0, False
        last: Refused | Unknown
        while True:
            attempts += 1
            site = self._site
            try:
                answer = await self._sent(invoke.process, site, wanted, request)
            except Unknown as error:
                unknown, last = True, error
            except (NotServing, Unavailable) as error:
                last = error
            except Refused as error:
                self._turned_down(invoke, error, attempts, site, unknown=unknown)
                return None
            else:
                return self._acknowledged(invoke, wanted, answer, attempts, site)
            if clock() >= ends:
                self._given_up(invoke, last, attempts, site, unknown=unknown)
                return None
            here = here + 1 if site == self._site else 0
            await self._rest(site, _pause(here, last, random))

    async def _sent(self, process: str, site: str, wanted: Wish, request: str) -> Answer[object]:
        self.under_way[process] = site
        try:
            return await call(self.apis[site], wanted, request)
        finally:
            self.under_way.pop(process, None)

    async def _rest(self, site: str, seconds: float) -> None:
        """Wait before the next attempt, or until the router names another site than the one that failed."""
        clock = asyncio.get_running_loop().time
        ends = clock() + seconds
        while self._site == site and clock() < ends:
            await self._ask_router()

    async def _ask_router(self) -> None:
        """One question at a time, whoever wants to know."""
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._asked_router())
        await asyncio.shield(self._asking)

    async def _asked_router(self) -> None:
        try:
            named = await self.route()
            if named is not None and named in self.apis:
                self._site = named
            await asyncio.sleep(ROUTE_SECONDS)
        finally:
            self._asking = None

    def _acknowledged(
        self, invoke: Event, wanted: Wish, answer: Answer[object], attempts: int, site: str
    ) -> Answer[object]:
        if wanted.f == "upload":
            self.known.add(str(answer.value), wanted.user)
        value = shown(wanted.f, answer) | {"attempts": attempts}
        where = answer.site or site
        self.history.complete(invoke, Outcome.OK, value=value, site=where, epoch=answer.epoch)
        return answer

    def _turned_down(self, invoke: Event, error: Refused, attempts: int, site: str, *, unknown: bool) -> None:
        outcome = Outcome.UNKNOWN if unknown else Outcome.FAILED
        status = 404 if error.reason == "not_found" else 400
        value = {"reason": error.reason, "attempts": attempts} | ({} if unknown else {"status": status})
        self.history.complete(invoke, outcome, value=value, site=error.site or site, epoch=error.epoch)

    def _given_up(
        self, invoke: Event, error: Refused | Unknown, attempts: int, site: str, *, unknown: bool
    ) -> None:
        outcome = Outcome.UNKNOWN if unknown else Outcome.FAILED
        value = {"reason": error.reason, "attempts": attempts}
        self.history.complete(invoke, outcome, value=value, site=error.site or site, epoch=error.epoch)


def _asked(wanted: Wish) -> dict[str, object] | None:
    if wanted.f != "upload":
        return wanted.value or None
    return wanted.value | {"sha256": sha256(wanted.body).hexdigest(), "size": len(wanted.body)}


def _pause(attempts: int, error: Refused | Unknown, random: Random) -> float:
    if isinstance(error, NotServing):
        longest = min(NOT_SERVING_SECONDS * 2 ** min(attempts, 10), NOT_SERVING_SECONDS_MAX)
        return float(longest) * random.uniform(0.5, 1.0)
    grown: float = PAUSE_SECONDS * 2 ** min(attempts, 10)
    return min(grown, PAUSE_SECONDS_MAX) * random.uniform(0.5, 1.0)
