"""The sync worker of a site: brings the peer's changes here, in the peer's order."""

from collections.abc import Callable
from dataclasses import dataclass

from cutover.engine.parts import Parts
from cutover.engine.stream import Stream
from cutover.errors import CutoverError
from cutover.model.observation import Following
from cutover.ports.database import Applier

IDLE_SECONDS = 0.25
"""Pause between two looks at what the worker has been told."""
RETRY_SECONDS = 0.3
"""Pause after a failure, before the stream is begun anew."""


@dataclass(slots=True)
class Worker:
    """Follows the peer of `site` whenever the site's own database says so."""

    parts: Parts
    site: str
    report: Callable[[str], None] = lambda _: None

    async def run(self) -> None:
        """Follow for ever; whatever fails is begun anew from the durable position."""
        while True:
            try:
                following = await self._applier.following()
                if following is None or following.braked:
                    await self.parts.clock.sleep(IDLE_SECONDS)
                else:
                    await self._follow(following)
            except CutoverError as error:
                self.report(f"{error}")
                await self.parts.clock.sleep(RETRY_SECONDS)

    @property
    def _applier(self) -> Applier:
        return self.parts.appliers[self.site]

    async def _follow(self, following: Following) -> None:
        peer = self.parts.plan.peer(self.site)
        try:
            applied = await self._applier.start()
            copying = await self._applier.copying() if following.backfill else ()
            log = self.parts.logs[peer]()
            try:
                if applied is not None:
                    await log.check_reaches(applied)
                await Stream(self.parts, self.site, peer, log, following, applied, copying).run()
            finally:
                await log.close()
        finally:
            await self._applier.close()
