"""JSON lines over a unix socket, from the harness's side: to the supervisor and to the relays."""

import asyncio
import contextlib
import itertools
import json
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.embedded.errors import ProcessFailed, SupervisorLost

ANSWER_SECONDS_MAX = 60.0
"""Longest wait for an answer (seconds): more than a start on a busy machine takes."""


class Control:
    """One control connection; requests may be under way at the same time.

    It belongs to the event loop that it was opened in.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._task = asyncio.ensure_future(self._listen(reader))

    @classmethod
    async def over(cls, sock: socket.socket) -> "Control":
        """Use a connected socket."""
        return cls(*await asyncio.open_unix_connection(sock=sock, limit=4 << 20))

    @classmethod
    async def to(cls, path: Path) -> "Control":
        """Connect to the socket at `path`; OSError when nobody listens there."""
        return cls(*await asyncio.open_unix_connection(str(path), limit=4 << 20))

    @property
    def open(self) -> bool:
        """Say whether answers can still come."""
        return not self._task.done()

    async def ask(self, do: str, **arguments: object) -> Mapping[str, Any]:
        """Send a request and return its answer.

        Raises ProcessFailed with what the other side says went wrong, and
        SupervisorLost when it went away before it answered.
        """
        if not self.open:
            raise SupervisorLost(f"{do}: the supervisor is gone; see its log in the stack's folder")
        number = next(self._ids)
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            self._writer.write(json.dumps({"id": number, "do": do, **arguments}).encode() + b"\n")
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                answer: dict[str, Any] = await future
        finally:
            del self._waiting[number]
        if "error" in answer:
            raise ProcessFailed(str(answer["error"]))
        return answer

    async def close(self) -> None:
        """Close the connection; on a lease this ends a stack that is not to be kept."""
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        try:
            while line := await reader.readline():
                answer = json.loads(line)
                future = self._waiting.get(answer["id"])
                if future and not future.done():
                    future.set_result(answer)
        except ConnectionError:
            pass
        finally:
            self._give_up()

    def _give_up(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(SupervisorLost("the control connection closed before the answer came"))
