"""What stands at a place for an S3 server that stands elsewhere: it passes bytes on, and dies with its site.

To everybody else it is the site's store: killed, its port refuses; paused, it is
silent; cut off, it cannot be reached. It keeps nothing and looks at nothing, so
that a client's signature is still true at the server. Imports nothing of ours.
"""

import asyncio
import contextlib
import socket
import ssl
import struct
import sys
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

CONNECT_SECONDS_MAX = 3.0
"""Longest that the server may take to take a connection (seconds); then the client's is reset.

Less than what any client of ours waits, so that a server that is away looks like a
store that is away, and never like one that is silent.
"""

LAST_SECONDS_MAX = 60.0
"""Longest that one end may go on once the other has said its last (seconds): that may be gone for good."""

CHUNK = 1 << 16  #: bytes passed on at once

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _Ended(Exception):
    """One end said its last, and the other cannot be told that by itself: TLS knows no half-closed stream."""


class Front:
    """Listens for one place, and connects to the server once for each connection."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None) -> None:
        self._host = host
        self._port = port
        self._tls = tls
        self._told = ""

    async def pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass bytes both ways until both ends have said their last; a broken end breaks the other."""
        with contextlib.suppress(asyncio.CancelledError):  # streams complain of a task that was called off
            await self._pass_on(reader, writer)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS_MAX):
                far_reader, far_writer = await asyncio.open_connection(
                    self._host, self._port, ssl=self._tls, server_hostname=self._host if self._tls else None
                )
        except (OSError, TimeoutError) as error:  # nobody serves there, or it is not who it says
            self._tell(f"{self._host}:{self._port} was not reached: {str(error) or 'no answer in time'}")
            _reset(writer)
            return
        self._tell("")
        whole = await _both(_one_way(reader, far_writer), _one_way(far_reader, writer))
        for one in (writer, far_writer):
            if whole:
                one.close()
            else:
                _reset(one)

    def _tell(self, text: str) -> None:
        """Say what is wrong once, and not for each connection."""
        if text and text != self._told:
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()
        self._told = text


async def _both(there: Coroutine[Any, Any, None], back: Coroutine[Any, Any, None]) -> bool:
    """Return whether both streams came to their end; False as soon as one broke."""
    ways = [asyncio.ensure_future(way) for way in (there, back)]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        done, _ = await asyncio.wait(ways, timeout=LAST_SECONDS_MAX, return_when=asyncio.FIRST_EXCEPTION)
        if not any(way.exception() for way in done) and len(done) < len(ways):
            return False
        broken = [error for way in ways if way.done() and (error := way.exception())]
        return all(isinstance(error, _Ended) for error in broken)
    finally:
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _one_way(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(CHUNK):
        writer.write(data)
        await writer.drain()
    if not writer.can_write_eof():
        raise _Ended
    writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()


async def serve(settings: Mapping[str, Any], ready: Callable[[], None]) -> None:
    """Pass bytes on until cancelled.

    Settings: `host` and `port` to listen at, `to` (host and port of the server) and `tls`,
    whether TLS is spoken with it, under the name of its host.
    """
    host, port = settings["to"]
    front = Front(str(host), int(port), ssl.create_default_context() if settings["tls"] else None)
    server = await asyncio.start_server(
        front.pass_on, str(settings["host"]), int(settings["port"]), backlog=512
    )
    ready()
    try:
        await asyncio.get_running_loop().create_future()
    finally:
        server.close()
