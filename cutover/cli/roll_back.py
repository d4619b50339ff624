"""`cutover roll-back`."""

from pathlib import Path
from typing import TYPE_CHECKING

from cutover.cli.answer import Answer
from cutover.cli.options import DetachOption, PlanOption, StackOption
from cutover.model.journal import Intent
from cutover.model.stage import Stage

if TYPE_CHECKING:
    from cutover.engine.parts import Parts


def roll_back(*, plan: PlanOption = None, stack: StackOption = None, detach: DetachOption = False) -> Answer:
    """Make the source serve again, with everything that the target has accepted.

    Works from every stage before complete, unless one site was left and is not
    home: rolling back takes both. What will be done is printed first.
    Before the cutover users notice nothing; after it, writes stop for as long
    as they did then.
    """
    import asyncio

    return asyncio.run(_roll_back(plan, stack, detach=detach))


async def _roll_back(plan: Path | None, stack: str | None, *, detach: bool) -> Answer:
    from cutover.cli.migration import chosen, describe, say

    async with chosen(plan, stack) as migration:
        state = await migration.state()
        if state.stage is not Stage.ROLLED_BACK:
            await refuse_to_roll_back(migration.parts, state.stage)
            say(f"Roll back:\n{describe(await migration.moves(Intent.ROLL_BACK))}")
            await ask_to_roll_back(migration.parts)
        if detach:
            return migration.reached(state.stage)
        return await migration.drive(Stage.ROLLED_BACK)


async def refuse_to_roll_back(parts: "Parts", stage: Stage) -> None:
    """Raise Refused where there is no way back: the sites are unlinked, or one of them was left."""
    from cutover.cli.parting import refuse_while_parted
    from cutover.errors import Refused

    if stage is Stage.COMPLETE:
        raise Refused(
            f"migration {parts.plan.name!r} is complete: the sites are unlinked, so the source does not "
            f"have what the target accepted. Nothing was changed. "
            f"Plan a migration from {parts.plan.target!r} to {parts.plan.source!r}."
        )
    await refuse_while_parted(parts, "it can be rolled back")


async def ask_to_roll_back(parts: "Parts") -> None:
    """Write the operator's word into the journal."""
    from cutover.engine.journalling import ask

    await ask(parts, Intent.ROLL_BACK)
