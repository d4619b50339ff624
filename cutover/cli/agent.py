"""`cutover agent`: keeps a site's lease, and tells clients which site serves."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutover.cli.answer import Answer
from cutover.cli.options import OutputsOption, PlanOption, SiteOption

if TYPE_CHECKING:
    from aiohttp import web

    from cutover.engine.parts import Parts
    from cutover.engine.router import Route


async def serve(settings: Mapping[str, object], ready: Callable[[], None]) -> None:
    """Attend to the site until cancelled; answer `GET /route` meanwhile, where told to listen."""
    from cutover.cli.service import Settings, complain, joined
    from cutover.engine.agent import Agent

    read = Settings.read(settings)
    door = Door(read.site)
    async with door.open(read.listen):
        ready()
        async with joined(read) as parts:
            door.parts = parts
            await Agent(parts, read.site, report=complain()).run()


class Door:
    """What the agent answers over HTTP."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.parts: Parts | None = None  #: None until it is known which migration it is

    @asynccontextmanager
    async def open(self, listen: tuple[str, int] | None) -> AsyncIterator[None]:
        """Listen while inside; with nowhere to listen, do nothing."""
        from aiohttp import web

        if listen is None:
            yield
            return
        application = web.Application()
        application.router.add_get("/health", self._health)
        application.router.add_get("/route", self._route)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        try:
            await web.TCPSite(runner, *listen).start()
            yield
        finally:
            await runner.cleanup()

    async def _health(self, _: "web.Request") -> "web.Response":
        return _json({"site": self.site, "joined": self.parts is not None})

    async def _route(self, _: "web.Request") -> "web.Response":
        """Where writes go: known, or 503 when it is not (never the last answer, S9)."""
        from cutover.errors import CutoverError

        found: Route | None = None
        with contextlib.suppress(CutoverError, TimeoutError):
            async with asyncio.timeout(ROUTE_SECONDS):
                found = await self._ask()
        if found is None:
            return _json({"error": "which site serves is unknown here now"}, status=503)
        return _json({"site": found.site, "epoch": found.epoch})

    async def _ask(self) -> "Route | None":
        from cutover.engine.router import route

        return await route(self.parts.register) if self.parts else None


ROUTE_SECONDS = 1.0
"""Longest wait for the witness before a client is told that the route is unknown."""


def _json(body: dict[str, object], *, status: int = 200) -> "web.Response":
    from aiohttp import web

    return web.json_response(body, status=status)


def agent(
    *,
    site: SiteOption,
    outputs: OutputsOption,
    plan: PlanOption = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(metavar="PORT", help="Answer GET /route here.", min=1, max=65535)
    ] = None,
) -> Answer:
    """Run the agent of a site until it is ended. A stack starts it by itself.

    Without a plan it waits until a migration has begun, and works on that.
    """
    from cutover.cli.service import run_unforked

    given: dict[str, Path | str | dict[str, object] | None] = {"site": site, "outputs": outputs, "plan": plan}
    if port is not None:
        given["listen"] = {"host": host, "port": port}
    return run_unforked(serve, given, "agent")
