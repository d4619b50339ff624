"""`cutover quarantine`: rows that could not be applied."""

from pathlib import Path
from typing import TYPE_CHECKING

from cutover.cli.answer import Answer
from cutover.cli.options import PlanOption, StackOption

if TYPE_CHECKING:
    from cutover.model.outputs import SiteOutputs

ROWS_MAX = 1000
"""Most rows of a site that are listed, the oldest; `cutover status` counts them all."""

LIST = """
select table_name, key, reason, at::text from cutover.set_aside
order by at, table_name, key limit %s
"""


def list_rows(*, plan: PlanOption = None, stack: StackOption = None) -> Answer:
    """List the rows that were set aside at either site, and why.

    A row leaves the list by itself when a later change of it can be applied.
    """
    import asyncio

    return asyncio.run(_list(plan, stack))


async def _list(plan: Path | None, stack: str | None) -> Answer:
    from cutover.cli.selection import select

    selection = select(plan, stack)
    rows: list[dict[str, object]] = []
    for site in (selection.plan.source, selection.plan.target):
        rows += await _at(site, selection.outputs.sites[site])
    told = [f"{row['site']}: {row['table']} {row['key']}: {row['reason']}" for row in rows]
    return Answer(
        text="\n".join(told) or "no row is set aside",
        next_steps=(selection.command("status"),) if rows else (),
        details={"rows": rows},
    )


async def _at(site: str, outputs: "SiteOutputs") -> list[dict[str, object]]:
    """The rows set aside at one site; none where nothing of ours is installed."""
    from psycopg import Error
    from psycopg.errors import InvalidSchemaName, UndefinedTable

    from cutover.adapters.postgres.connect import connect, meaning
    from cutover.cli.compose import ADMIN, place

    async with await connect(place(site, outputs).address(ADMIN), site=site) as connection:
        try:
            found = await (await connection.execute(LIST, [ROWS_MAX])).fetchall()
        except (UndefinedTable, InvalidSchemaName):
            return []
        except Error as error:
            raise meaning(error, site, effect=False) from error
    names = ("table", "key", "reason", "at")
    return [{"site": site} | dict(zip(names, row, strict=True)) for row in found]
