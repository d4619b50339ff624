"""`cutover approve`."""

from pathlib import Path
from typing import TYPE_CHECKING

from cutover.cli.answer import Answer
from cutover.cli.options import PlanOption, StackOption

if TYPE_CHECKING:
    from cutover.engine.parts import Parts


def approve(*, plan: PlanOption = None, stack: StackOption = None) -> Answer:
    """Let a migration whose plan says `approve_cutover` stop writes and cut over.

    May be given before the migration asks for it.
    """
    import asyncio

    return asyncio.run(_approve(plan, stack))


async def _approve(plan: Path | None, stack: str | None) -> Answer:
    from cutover.cli.migration import chosen

    async with chosen(plan, stack) as migration:
        stage = (await migration.state()).stage
        n = await ask_to_cut_over(migration.parts)
        return Answer(
            stage=stage,
            text=f"approved (journal entry {n}). A running coordinator reads it within a second.",
            next_steps=migration.next_steps(stage)[::-1],
        )


async def ask_to_cut_over(parts: "Parts") -> int:
    """Write the operator's word into the journal, and return its entry.

    Refused while the sites are parted: what was approved is another cutover.
    """
    from cutover.cli.parting import refuse_while_parted
    from cutover.engine.journalling import ask

    await refuse_while_parted(parts, "a cutover can be approved")
    return (await ask(parts, None)).n
