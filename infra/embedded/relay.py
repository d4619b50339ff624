"""The links between places: one TCP relay for each directed link and service.

They run in one process outside every site, under the nemesis's control. What a
link can suffer (`Mode`), for connections that stand and for new ones:

  open      bytes pass
  cut       nothing passes either way; what was sent arrives late, after the heal, as it
            does when TCP sends again; new connections wait for the heal
  cut-to    the same, only from the origin of the link to its destination
  cut-back  the same, only the answers: what was asked is done, and nobody is told
  hang      as cut, but what was sent never arrives: the heal resets what stood meanwhile
  refuse    standing connections are reset, new ones refused by the kernel
  reset     standing connections are reset, new ones accepted and reset at once
  delay     each piece of data arrives `seconds` later, each way
"""

import asyncio
import contextlib
import json
import socket
import struct
from collections import deque
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, cast

HIGH_WATER = 1 << 20
"""Bytes that a relay holds for a slow receiver before it stops reading from the sender."""

_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Mode(StrEnum):
    """What a link does to the connections over it."""

    OPEN = "open"
    CUT = "cut"
    CUT_TO = "cut-to"
    CUT_BACK = "cut-back"
    HANG = "hang"
    REFUSE = "refuse"
    RESET = "reset"
    DELAY = "delay"


_HOLDING_TO = (Mode.CUT, Mode.CUT_TO, Mode.HANG)
_HOLDING_BACK = (Mode.CUT, Mode.CUT_BACK, Mode.HANG)
_HOLDING_NEW = (Mode.CUT, Mode.CUT_TO, Mode.CUT_BACK, Mode.HANG)


class Half(asyncio.Protocol):
    """One end of a relayed connection: what it receives goes to its peer."""

    def __init__(self, pair: "Pair", *, towards: bool) -> None:
        self.pair = pair
        self.towards = towards  #: receives from the origin, for the destination
        self.transport: asyncio.Transport | None = None
        self.peer: Half | None = None
        self.early: list[bytes | None] = []  #: received before the peer was there
        self.late: deque[bytes | None] = deque()  #: on its way, None is the end of the stream
        self.full = False  #: the peer's receiver is slow
        self.ended = False  #: the end of the stream was passed on
        self.gone = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's own is of no common class
        self.transport.set_write_buffer_limits(high=HIGH_WATER)
        self.pair.made(self)

    def data_received(self, data: bytes) -> None:
        self._take(data)

    def eof_received(self) -> bool:
        self._take(None)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone = True
        self.pair.lost(self, broken=exc is not None)

    def join(self, peer: "Half") -> None:
        """Pass on to `peer` from now on, and first what came before it was there."""
        self.peer = peer
        early, self.early = self.early, []
        for data in early:
            self._take(data)
        self.adjust()

    def _take(self, data: bytes | None) -> None:
        if self.peer is None:
            self.early.append(data)
        elif self.pair.route.seconds or self.late:
            self._send_late(data)
        else:
            self._pass(data)

    def pause_writing(self) -> None:
        if self.peer:
            self.peer.full = True
            self.peer.adjust()

    def resume_writing(self) -> None:
        if self.peer:
            self.peer.full = False
            self.peer.adjust()

    def adjust(self) -> None:
        """Read, or do not, as the link's mode and the receiver's speed say."""
        if self.transport is None or self.transport.is_closing():
            return
        holding = self.pair.route.mode in (_HOLDING_TO if self.towards else _HOLDING_BACK)
        wanted = self.peer is not None and not holding and not self.full
        if wanted and not self.transport.is_reading():
            self.transport.resume_reading()
        elif not wanted and self.transport.is_reading():
            self.transport.pause_reading()

    def flush(self) -> None:
        """Pass on at once what was still on its way."""
        while self.late:
            self._pass_late()

    def _send_late(self, data: bytes | None) -> None:
        self.late.append(data)
        asyncio.get_running_loop().call_later(self.pair.route.seconds, self._pass_late)

    def _pass_late(self) -> None:
        if self.late:
            self._pass(self.late.popleft())
        if self.gone and not self.late:
            self.pair.close()

    def _pass(self, data: bytes | None) -> None:
        target = self.peer.transport if self.peer else None
        if target is None or target.is_closing():
            return
        if data is not None:
            target.write(data)
            return
        self.ended = True
        target.write_eof()
        if self.peer and self.peer.ended:
            self.pair.close()


class Pair:
    """One connection over a link: the origin's half, and ours to the destination."""

    def __init__(self, route: "Route") -> None:
        self.route = route
        self.near = Half(self, towards=True)
        self.far = Half(self, towards=False)
        self.dialling: asyncio.Task[None] | None = None

    def made(self, half: Half) -> None:
        if half is self.near:
            self.route.pairs.add(self)
            self.near.adjust()
            self.begin()

    def begin(self) -> None:
        """Connect to the destination, unless the link holds new connections."""
        if self.route.mode is Mode.RESET:
            self.reset()
        elif self.dialling is None and self.route.mode not in _HOLDING_NEW:
            self.dialling = asyncio.ensure_future(self._dial())

    async def _dial(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: self.far, *self.route.upstream)
        except OSError:  # nobody serves there: tell the client at once
            self.reset()
            return
        if self not in self.route.pairs:  # it was reset meanwhile
            self.reset()
            return
        self.far.join(self.near)
        self.near.join(self.far)

    def adjust(self) -> None:
        self.near.adjust()
        self.far.adjust()

    def lost(self, half: Half, *, broken: bool) -> None:
        """End the other half too: at once if this one broke, else when all is written."""
        self.route.pairs.discard(self)
        other = self.far if half is self.near else self.near
        if broken:
            _abort(other.transport)
        elif not half.late:
            self.close()

    def close(self) -> None:
        """Close both ends once all that was passed on is written."""
        for half in (self.near, self.far):
            if half.transport:
                half.transport.close()

    def reset(self) -> None:
        """Let both ends see a reset connection."""
        self.route.pairs.discard(self)
        for half in (self.near, self.far):
            _abort(half.transport)


def _abort(transport: asyncio.Transport | None) -> None:
    if transport is None:
        return
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


class Route:
    """One service over one link."""

    def __init__(self, link: str, service: str, listen: tuple[str, int], upstream: tuple[str, int]) -> None:
        self.link = link
        self.service = service
        self.listen = listen
        self.upstream = upstream
        self.mode = Mode.OPEN
        self.seconds = 0.0  #: delay each way
        self.pairs: set[Pair] = set()
        self.server: asyncio.Server | None = None

    async def open(self) -> None:
        """Listen; the kernel accepts from now on."""
        if self.server is None:
            loop = asyncio.get_running_loop()
            self.server = await loop.create_server(
                lambda: Pair(self).near, *self.listen, reuse_address=True, backlog=512
            )

    def close(self) -> None:
        """Do not listen; the kernel refuses from now on."""
        if self.server is not None:
            self.server.close()
            self.server = None

    async def set(self, mode: Mode, seconds: float) -> None:
        """Change what the link does; see the module's text."""
        if self.mode is Mode.HANG and mode is not Mode.HANG:
            self._reset_all()
        self.mode, self.seconds = mode, seconds
        if mode in (Mode.REFUSE, Mode.RESET):
            self._reset_all()
        if mode is Mode.REFUSE:
            self.close()
        else:
            await self.open()
        for pair in list(self.pairs):
            pair.begin()
            pair.adjust()
            if not seconds:
                pair.near.flush()
                pair.far.flush()

    def _reset_all(self) -> None:
        for pair in list(self.pairs):
            pair.reset()

    def describe(self) -> dict[str, object]:
        return {
            "link": self.link,
            "service": self.service,
            "mode": self.mode.value,
            "seconds": self.seconds,
            "connections": len(self.pairs),
        }


class Relays:
    """All routes, and the requests that change them."""

    def __init__(self, routes: list[Route]) -> None:
        self.routes = routes

    async def handle(self, request: Mapping[str, Any]) -> dict[str, object]:
        """Do one request: `set` a mode on a link (or some of its services), or tell the `status`."""
        if request["do"] == "set":
            chosen = self._chosen(request)
            for route in chosen:
                await route.set(Mode(request["mode"]), float(request.get("seconds", 0)))
            return {"routes": len(chosen)}
        return {"routes": [route.describe() for route in self.routes]}

    def _chosen(self, request: Mapping[str, Any]) -> list[Route]:
        services = request.get("services")
        chosen = [
            route
            for route in self.routes
            if request["link"] in (None, route.link) and (services is None or route.service in services)
        ]
        if not chosen:
            raise LookupError(f"no route over link {request['link']!r} for services {services}")
        return chosen

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer JSON lines until the controller goes."""
        with contextlib.suppress(ConnectionError):
            while line := await reader.readline():
                request = json.loads(line)
                try:
                    answer = await self.handle(request)
                except (LookupError, ValueError, OSError) as error:
                    answer = {"error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps({"id": request.get("id"), **answer}).encode() + b"\n")
        writer.close()


async def serve(settings: Mapping[str, Any], ready: Callable[[], None]) -> None:
    """Relay between the given routes until cancelled.

    Settings: `routes`, each {link, service, listen: [host, port], to: [host, port]},
    and `control_socket`.
    """
    routes = [
        Route(one["link"], one["service"], (one["listen"][0], one["listen"][1]), (one["to"][0], one["to"][1]))
        for one in settings["routes"]
    ]
    relays = Relays(routes)
    for route in routes:
        await route.open()
    path = Path(settings["control_socket"])
    path.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(relays.control, str(path))
    path.chmod(0o600)
    ready()
    async with server:
        await server.serve_forever()
