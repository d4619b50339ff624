"""Tiny services for the tests of the embedded stack: it must not need the real ones."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any

from aiohttp import web

from infra.embedded.services import Services
from infra.embedded.stack import EmbeddedStack

HERE = "resilience_tests.live.embedded_stand_ins"  # also when this file is run as a program
SERVICES = Services(
    s3=f"{HERE}:s3", platform=f"{HERE}:platform", worker=f"{HERE}:worker", agent=None, coordinator=None
)


async def s3(settings: Mapping[str, Any], ready: Callable[[], None]) -> None:
    """Answer 200 to everything, as a store does to making a bucket; a control socket agrees to any fault."""

    async def agree(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readline():
            writer.write(b'{"ok": true, "id": 1}\n')
        writer.close()

    server = await asyncio.start_unix_server(agree, settings["control_socket"])
    async with server:
        await _answer(settings["host"], settings["port"], ready, {"kind": "s3"})


async def platform(settings: Mapping[str, Any], ready: Callable[[], None]) -> None:
    """Tell over HTTP what settings it was given."""
    await _answer(settings["listen"]["host"], settings["listen"]["port"], ready, settings)


async def worker(settings: Mapping[str, Any], ready: Callable[[], None]) -> None:
    """Do nothing for ever; with the setting `child`, through a program of its own."""
    child = await asyncio.create_subprocess_exec("sleep", "600") if settings.get("child") else None
    ready()
    await (child.wait() if child else asyncio.Event().wait())


async def broken(settings: Mapping[str, Any], ready: Callable[[], None]) -> None:
    """Fail before it is ready."""
    raise RuntimeError("planted: this service cannot start")


async def _answer(host: str, port: int, ready: Callable[[], None], said: Mapping[str, Any]) -> None:
    async def handle(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response(dict(said))

    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{any:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    ready()
    try:
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


async def _hold(name: str, *, keep: bool) -> None:
    """Be a harness that brings a stack up, says so, and waits to be killed."""
    stack = await EmbeddedStack.up(name, keep=keep, services=SERVICES)
    await stack.start("east/worker.2", settings={"child": True})
    _say("up")
    try:
        await asyncio.Event().wait()
    finally:
        await (stack.close() if keep else stack.down())


async def _once(name: str) -> None:
    """Be a harness that brings a stack up, kills a site, starts it again, and takes all down."""
    stack = await EmbeddedStack.up(name, services=SERVICES)
    _say("up")
    try:
        death = await stack.kill_site("east")
        await stack.restart_site("east")
        _say(f"killed by {death.way}, restarted")
    finally:
        await stack.down()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    match sys.argv[1:]:
        case [name, "once"]:
            asyncio.run(_once(name))
        case [name, *rest]:
            asyncio.run(_hold(name, keep=rest == ["keep"]))
