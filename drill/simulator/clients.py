"""A site's platform as clients reach it: over the network, and each call a task of that site."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

from cutover.errors import Inconclusive, SiteUnreachable
from drill.simulator.network import Line
from sample_platform.errors import Unavailable, Unknown
from sample_platform.platform import Platform

ASTRAY = 0.1
"""Share of calls that arrive at the other site, as through an old or a hasty DNS answer."""


@dataclass(frozen=True, slots=True)
class ClientApi:
    """Fulfils PlatformApi. A call goes on at the site when its client has given up."""

    platforms: Mapping[str, Platform]  #: the present life of each site's
    site: str
    line: Line

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        async def call(*args: Any, **named: Any) -> Any:
            async def at_the_site() -> Any:
                work = getattr(self.platforms[self.site], name)(*args, **named)
                return await self.line.served(work, effect=True)

            try:
                return await self.line.ask(at_the_site, effect=True)
            except SiteUnreachable as away:
                raise Unavailable(f"{away}", site=self.site) from away
            except Inconclusive as lost:
                raise Unknown(f"{lost}", site=self.site) from lost

        return call


@dataclass(frozen=True, slots=True)
class Astray:
    """One site's platform; now and then the call arrives at the other site.

    Only once that site is `fenced`: before, nothing in its database could
    refuse. And no `get`, which a site that does not serve answers by what it
    happens to have.
    """

    here: ClientApi
    there: ClientApi
    fenced: Callable[[], bool]
    chance: Random

    def __getattr__(self, name: str) -> Any:
        astray = self.chance.random() < ASTRAY and self.fenced() and name != "get"
        return getattr(self.there if astray else self.here, name)
