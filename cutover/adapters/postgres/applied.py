"""How far the peer's log is in, as this site's own records say."""

from psycopg import AsyncConnection

from cutover.adapters.postgres.session import texts
from cutover.model.position import Position

_APPLIED = "select position from cutover.applied"
_FLUSH = "select pg_logical_emit_message(true, 'cutover.durable', '')"


async def applied_position(connection: AsyncConnection) -> Position | None:
    """How far it is in, which a crash may take back: the applier's commits wait for no disk."""
    rows = await texts(connection, _APPLIED)
    return Position.parse(rows[0][0] or "") if rows else None


async def durable_position(connection: AsyncConnection) -> Position | None:
    """How far it is in and on the disk: a commit that waits for the disk has all before it there too."""
    applied = await applied_position(connection)
    await texts(connection, _FLUSH)
    return applied
