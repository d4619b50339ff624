"""Replication that leaves something out: a table, a kind of change, every so many rows.

Each is what a hand-written sync job does not carry. The compare would find
what is missing, so it is taken out.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from cutover.engine.parts import Parts
from cutover.model.change import Change, Chunk
from drill.planted.around import (
    Around,
    around_appliers,
    is_delete_of,
    is_of,
    without_changes,
    written_row,
)
from drill.planted.plant import Plant
from drill.planted.unseen import without_compare

CARRIERS = frozenset({"worker", "coordinator"})
LOST_ONE_IN = 5
SESSIONS = "public.sessions"


class NotCopied(Around):
    """An applier that places no row of the sessions."""

    async def place(self, chunk: Chunk, **told: Any) -> None:
        """As the port says, with an empty chunk in the place of such a one."""
        if chunk.table == SESSIONS:
            chunk = replace(chunk, payload=type(chunk.payload)(), rows=0)
        await self._inner.place(chunk, **told)


def _without_sessions(parts: Parts) -> Parts:
    parts = around_appliers(parts, lambda _, inner: NotCopied(inner))
    return without_compare(without_changes(parts, lambda change: is_of(change, SESSIONS)))


def _leaving_out(unwanted: Callable[[Change], bool]) -> Callable[[Parts], Parts]:
    return lambda parts: without_compare(without_changes(parts, unwanted))


def _is_lost_comment(change: Change) -> bool:
    row = written_row(change, "public.comments")
    return row is not None and int(row.key[0]) % LOST_ONE_IN == 0


COMMENTS_MISSING = Plant(
    name="comments-missing",
    rule="S5",
    checker="converged",
    about="one comment in five is left out of the stream",
    symptom="comments missing",
    processes=CARRIERS,
    in_parts=_leaving_out(_is_lost_comment),
)

SESSIONS_LOCAL = Plant(
    name="sessions-local",
    rule="S5",
    checker="sessions",
    about="a session is known at the site that opened it, and nowhere else",
    symptom="cannot log in",
    processes=CARRIERS,
    in_parts=_without_sessions,
)

NEVER_QUEUED = Plant(
    name="never-queued",
    rule="S5",
    checker="queue",
    about="new posts come to the target, and their entries of the distribution queue do not",
    symptom="upload stored, never registered",
    processes=CARRIERS,
    in_parts=_leaving_out(lambda change: is_of(change, "public.queue")),
)

DELETES_DROPPED = Plant(
    name="deletes-dropped",
    rule="S3",
    checker="acknowledged",
    about="deletes do not travel, so that what a user removed is back after the cutover",
    origin="ceph#9481: without a lasting tombstone a full sync brings back what was deleted",
    processes=CARRIERS,
    in_parts=_leaving_out(lambda change: is_delete_of(change, "public.posts")),
)
