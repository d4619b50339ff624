"""The harness's end of the line to a coordinator: its journal entries, and where it stands still."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Entry = dict[str, Any]


@dataclass(slots=True)
class Line:
    """A unix socket that coordinators of one drill connect to."""

    path: Path
    on_entry: Callable[[Entry], None]
    on_point: Callable[[str], Awaitable[None]]
    _server: asyncio.Server | None = None
    _tasks: dict["asyncio.Task[None]", None] = field(default_factory=dict)

    async def __aenter__(self) -> "Line":
        self._server = await asyncio.start_unix_server(self._connected, str(self.path))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.path.unlink(missing_ok=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks[task] = None
        try:
            while line := await reader.readline():
                told = json.loads(line)
                if "entry" in told:
                    self.on_entry(told["entry"])
                else:
                    await self.on_point(told["point"])
                    writer.write(b"go\n")
                    await writer.drain()
        except (ConnectionError, ValueError, asyncio.CancelledError):
            return  # the coordinator was killed in the middle of a line, or the drill is over
        finally:
            writer.close()
            if task is not None:
                self._tasks.pop(task, None)
