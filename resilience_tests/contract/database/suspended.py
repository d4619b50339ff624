"""A process of ours that is suspended, by SIGSTOP, once the server has answered it.

No time-out of its own runs then, and its connection stays up: what it holds in
the database only the server can let go of.
"""

import asyncio
import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from psycopg import AsyncCursor
from psycopg.sql import Composable

from cutover.adapters.postgres import connect, install, slots
from cutover.adapters.postgres.applier import PostgresApplier
from cutover.adapters.postgres.connect import PostgresAddress
from cutover.adapters.postgres.site import PostgresSite
from cutover.errors import Inconclusive, SiteUnreachable
from cutover.model.change import Insert, Transaction
from cutover.model.position import Position
from cutover.model.secret import Secret
from resilience_tests.contract.database.server import Database
from resilience_tests.contract.database.sites import G1, PLAN

SILENT_SECONDS = 0.5
"""The bound that this process has the server keep to, in place of the longer ones."""

CUT_SHORT = 3
"""Its exit status when the server had ended its session."""

_PR_SET_PDEATHSIG = 1
_ROOT = Path(__file__).parents[3]


@dataclass(slots=True)
class Suspended:
    """The process, as the tests see it."""

    process: subprocess.Popen[bytes]

    async def stops(self) -> bool:
        """Wait until it is suspended; False when it has ended instead."""
        _, status = await asyncio.to_thread(os.waitpid, self.process.pid, os.WUNTRACED)
        if os.WIFSTOPPED(status):
            return True
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return False

    async def ends(self) -> int | None:
        """Let it go on to its end; its exit status."""
        self.go_on()
        while await self.stops():
            self.go_on()
        return self.process.returncode

    def go_on(self) -> None:
        """Wake it up."""
        self.process.send_signal(signal.SIGCONT)


@asynccontextmanager
async def suspended(
    database: Database, what: str, *, after: str = "", role: str = "cutover_admin"
) -> AsyncIterator[Suspended]:
    """Do one of `_DEEDS`, suspended at the first answer to a statement with `after`; without: at each."""
    address = asdict(database.address(role)) | {"password": database.server.passwords[role]}
    told = json.dumps({"what": what, "after": after, "address": address})
    process = subprocess.Popen([sys.executable, "-m", __name__, told], cwd=_ROOT)
    try:
        yield Suspended(process)
    finally:
        process.kill()
        process.wait()


async def _close(address: PostgresAddress) -> None:
    await _site(address).close(guard=G1)


async def _prepare(address: PostgresAddress) -> None:
    await _site(address).prepare(guard=G1)


async def _keep_log(address: PostgresAddress) -> None:
    await _site(address).keep_log(guard=G1)


async def _apply(address: PostgresAddress) -> None:
    applier = PostgresApplier(address, site="east", plan=PLAN)
    await applier.start()
    late = Insert("public.post", ("1",), {"id": "1", "title": "late"})
    batch = [Transaction(xid=1, position=Position("peer", 1, 8), changes=(late,))]
    await applier.apply(batch, upserting=(), aside=(), guard=G1)
    await applier.close()


_DEEDS: dict[str, Callable[[PostgresAddress], Awaitable[None]]] = {
    "close": _close,
    "prepare": _prepare,
    "keep_log": _keep_log,
    "apply": _apply,
}


def _site(address: PostgresAddress) -> PostgresSite:
    return PostgresSite(site="east", connection=address, plan=PLAN)


def _suspend_after(text: str) -> None:
    """Put a stop behind each answer of the server, or behind the first to a statement with this text."""
    answered = AsyncCursor.execute
    left = [text]

    async def execute(cursor: AsyncCursor[Any], query: Any, *more: Any, **named: Any) -> AsyncCursor[Any]:
        answer = await answered(cursor, query, *more, **named)
        written = query.as_string(cursor) if isinstance(query, Composable) else str(query)
        if not text or (left and text in written):
            left.clear()
            os.kill(os.getpid(), signal.SIGSTOP)
        return answer

    AsyncCursor.execute = execute  # type: ignore[method-assign, assignment]


def main() -> int:
    """Do what the one argument says."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    told = json.loads(sys.argv[1])
    for module in (connect, install, slots):
        vars(module).update(SILENT_SECONDS=SILENT_SECONDS)
    _suspend_after(told["after"])
    address = PostgresAddress(**told["address"] | {"password": Secret(told["address"]["password"])})
    try:
        asyncio.run(_DEEDS[told["what"]](address))  # type: ignore[arg-type]
    except (SiteUnreachable, Inconclusive):
        return CUT_SHORT
    return 0


if __name__ == "__main__":
    sys.exit(main())
