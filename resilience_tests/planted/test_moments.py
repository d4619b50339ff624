"""What makes the memory database dangerous is what bugs are caught by: without it they slip through.

Each property of the memory database is taken out by itself, and a planted bug
that rests on it is tried with it and without it.

Two are modelled in part. Old are the snapshots of those who read; a user's
transaction works on the newest rows, and that no old snapshot of a writer hides
the fence is shown on PostgreSQL (contract/database/test_fence.py). Constraints
refuse rows of a merge; what they refuse to users is written out in the sample
platform's records, and what they refuse to an applier is shown on PostgreSQL.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress

import pytest

from cutover.adapters.memory import disk
from cutover.adapters.memory.replication import MemoryRows
from cutover.adapters.memory.server import MemoryServer
from cutover.adapters.memory.session import MemorySession, Work
from cutover.adapters.memory.site import MemorySite
from cutover.errors import Inconclusive
from cutover.model.change import Chunk, Key
from drill.planted import PLANTS
from drill.simulator.trial import trial, under
from drill.verdict import Verdict

MIGRATIONS = 6
"""In which a bug must slip through, at least; and in as many as it took to catch it on the whole database."""


@contextmanager
def _without_moment(between: str) -> Iterator[None]:
    pause = MemoryServer.between

    async def hurried(server: MemoryServer, moment: str) -> None:
        if moment != between:
            await pause(server, moment)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryServer, "between", hurried)
        yield


def committed_when_checked() -> AbstractContextManager[None]:
    """Whoever has passed the fence is in the log at the same moment: a close meets no writer in between."""
    return _without_moment("checked")


def visible_when_committed() -> AbstractContextManager[None]:
    """What is in the log is visible at the same moment: its readers and those of the tables see the same."""
    return _without_moment("committed")


@contextmanager
def acknowledged_when_visible() -> Iterator[None]:
    """Whoever has committed is told so: no backend dies between a commit and its answer."""
    commit = MemorySession._commit

    async def answered(session: MemorySession, work: Work, request: str) -> None:
        with suppress(Inconclusive):
            await commit(session, work, request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemorySession, "_commit", answered)
        yield


@contextmanager
def without_old_snapshots() -> Iterator[None]:
    """A chunk holds what stands there when its mark is written, and not what it saw when it was read."""
    read, write = MemoryRows.read_chunk, MemoryRows.mark
    chunks: dict[int, Chunk] = {}

    async def read_chunk(rows: MemoryRows, table: str, after: Key | None, limit: int) -> Chunk:
        chunk = chunks[id(rows.server)] = await read(rows, table, after, limit)
        return chunk

    async def mark(rows: MemoryRows, name: str) -> None:
        await write(rows, name)
        chunk = chunks.pop(id(rows.server))
        now, page = rows.server.tables[chunk.table], chunk.payload
        assert isinstance(page, list)
        page[:] = [(key, dict(now[key])) for key, _ in page if key in now]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryRows, "read_chunk", read_chunk)
        patch.setattr(MemoryRows, "mark", mark)
        yield


@contextmanager
def synced_at_once() -> Iterator[None]:
    """A commit that nobody waits for is on the disk all the same: a power cut loses none."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk, "FLUSH_SECONDS", 0.0)
        yield


@contextmanager
def without_foreign_keys() -> Iterator[None]:
    """A merge may write rows that refer to nothing, and delete rows that others refer to."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemorySite, "_dangling", lambda *_: iter(()))
        yield


@contextmanager
def without_unique_indexes() -> Iterator[None]:
    """A merge may write a row with a value that another row has, where values must differ."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemorySite, "_rival", lambda *_: None)
        yield


RESTS_ON = (
    (committed_when_checked, "writers-not-awaited"),
    (visible_when_committed, "two-marks"),
    (acknowledged_when_visible, "unknown-taken-for-failed"),
    (without_old_snapshots, "chunk-over-stream"),
    (synced_at_once, "drained-in-memory"),
    (without_foreign_keys, "refusal-taken-for-done"),
    (without_unique_indexes, "request-taken-for-two"),
)


@pytest.mark.parametrize(
    ("taken_out", "name"), [pytest.param(*case, id=case[0].__name__) for case in RESTS_ON]
)
def test_a_bug_is_caught_because_the_database_is_dangerous(
    taken_out: Callable[[], AbstractContextManager[None]], name: str
) -> None:
    plant = PLANTS[name]
    found = trial(plant)
    assert found.caught, f"{name} is not caught by {plant.checker} even on the whole database"
    with taken_out():
        for seed in range(max(found.seeds, MIGRATIONS)):
            ended = under(plant.under, seed, plant)
            told = f"{name} does not rest on what was taken out: {ended.explained()}"
            assert ended.finding(plant.checker).verdict is Verdict.HELD, told
