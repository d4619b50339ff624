"""A server that acknowledges what is not on its disk yet.

What it has written and not synced outlives a kill, for the kernel has it: only
a disk that loses its power can tell. What it has not even written dies with it.
The engine's preflight asks the servers for these settings and would refuse to
start, so it is made to overlook them. The simulator's servers are always
durable: these variants live in a real server, on a real disk.
"""

from collections.abc import Callable
from dataclasses import replace

from cutover.engine.parts import Parts
from drill.planted.plant import Circumstances, Plant


def _overlooking(setting: str) -> Callable[[Parts], Parts]:
    """Parts whose preflight has nothing to say of `setting`."""

    def in_parts(parts: Parts) -> Parts:
        asked = parts.preflight

        async def preflight() -> list[str]:
            return [problem for problem in await asked() if f"{setting} is off" not in problem]

        return replace(parts, preflight=preflight)

    return in_parts


FSYNC_OFF = Plant(
    name="fsync-off",
    rule="S5",
    checker="acknowledged",
    about="the database acknowledges a commit that it has only written, and not synced",
    processes=frozenset({"coordinator"}),
    in_parts=_overlooking("fsync"),
    database={"fsync": "off"},
    under=Circumstances(told="the power of the site that serves is cut; no kill shows it"),
)
SYNCHRONOUS_COMMIT_OFF = Plant(
    name="synchronous-commit-off",
    rule="S5",
    checker="acknowledged",
    about="the database acknowledges a commit that it has only in its memory",
    processes=frozenset({"coordinator"}),
    in_parts=_overlooking("synchronous_commit"),
    under=Circumstances(told="the power of the site that serves is cut; a kill shows it, too"),
    database={"synchronous_commit": "off", "wal_writer_delay": "10s", "wal_writer_flush_after": "1GB"},
)
