"""Versions that lost, and what becomes of them once a person has decided."""

from collections.abc import Sequence

from psycopg import AsyncConnection

from cutover.adapters.postgres.connect import PostgresAddress
from cutover.adapters.postgres.merging import Merging, merging
from cutover.adapters.postgres.records import key_from_json, row_from_json
from cutover.adapters.postgres.session import Texts, texts
from cutover.errors import Refused
from cutover.model.merge import Kept, Quarantined, Settled
from cutover.model.plan import Plan
from cutover.protocol.merging import taken

_COLUMNS = "number, table_name, key, row, site, reason, request"
_UNDECIDED = f"select {_COLUMNS} from cutover.quarantine where decided is null order by number"
_ONE = f"select {_COLUMNS} from cutover.quarantine where number = $1 and decided is null for update"
_DECIDE = (
    "update cutover.quarantine set decided = $2, decided_at = now() where number = $1 and decided is null"
)


async def undecided(connection: AsyncConnection) -> Sequence[Quarantined]:
    """The kept versions that nobody has decided on, oldest first."""
    return [_quarantined(row) for row in await texts(connection, _UNDECIDED)]


async def leave(connection: AsyncConnection, site: str, number: int) -> None:
    """What stands there stays."""
    if not await texts(connection, f"{_DECIDE} returning number", [number, "left"]):
        raise _unknown(site, number)


async def take(address: PostgresAddress, site: str, plan: Plan, number: int) -> None:
    """Write a kept version over what stands there now, but for its counters, through the fence."""
    async with merging(address, site, plan) as transaction:
        found = await texts(transaction.connection, _ONE, [number])
        if not found:
            raise _unknown(site, number)
        await _write(transaction, _quarantined(found[0]))
        await texts(transaction.connection, _DECIDE, [number, "taken"])
        await transaction.commit()


async def _write(transaction: Merging, chosen: Quarantined) -> None:
    kept = chosen.kept
    await transaction.meet([kept.table])
    there = (await transaction.rows_there(kept.table, [kept.key])).get(kept.key)
    row = taken(transaction.plan, kept, there)
    refused = await transaction.write([Settled(table=kept.table, key=kept.key, expected=there, row=row)])
    if refused:
        raise Refused(
            f"site {transaction.site!r} cannot take version {chosen.number} of {kept.table} "
            f"{'/'.join(kept.key)}: {refused[0].reason}. Nothing was changed. "
            f"Mend what is in the way, then take it again, or leave what stands there."
        )


def _quarantined(row: Texts) -> Quarantined:
    number, table, key, kept, site, reason, request = row
    version = Kept(
        table=table or "",
        key=key_from_json(key or ""),
        row=None if kept is None else row_from_json(kept),
        site=site or "",
        reason=reason or "",
        request=request,
    )
    return Quarantined(number=int(number or 0), kept=version)


def _unknown(site: str, number: int) -> Refused:
    return Refused(
        f"nothing undecided in the quarantine of site {site!r} has the number {number}. "
        f"`cutover quarantine list` shows what there is."
    )
