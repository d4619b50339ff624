"""`cutover roll-back`."""

from pathlib import Path

from cutover.cli.answer import Answer
from cutover.cli.options import DetachOption, PlanOption, StackOption
from cutover.model.journal import Intent
from cutover.model.stage import Stage


def roll_back(*, plan: PlanOption = None, stack: StackOption = None, detach: DetachOption = False) -> Answer:
    """Make the source serve again, with everything that the target has accepted.

    Works from every stage before complete. What will be done is printed first.
    Before the cutover users notice nothing; after it, writes stop for as long
    as they did then.
    """
    import asyncio

    return asyncio.run(_roll_back(plan, stack, detach=detach))


async def _roll_back(plan: Path | None, stack: str | None, *, detach: bool) -> Answer:
    from cutover.cli.migration import chosen, describe, say
    from cutover.engine.journalling import ask
    from cutover.errors import Refused

    async with chosen(plan, stack) as migration:
        state = await migration.state()
        if state.stage is Stage.COMPLETE:
            raise Refused(
                f"migration {migration.parts.plan.name!r} is complete: the sites are unlinked, so the source "
                f"does not have what the target accepted. Nothing was changed. "
                f"Plan a migration from {migration.parts.plan.target!r} to {migration.parts.plan.source!r}."
            )
        if state.stage is not Stage.ROLLED_BACK:
            say(f"Roll back:\n{describe(await migration.moves(Intent.ROLL_BACK))}")
            await ask(migration.parts, Intent.ROLL_BACK)
        if detach:
            return migration.reached(state.stage)
        return await migration.drive(Stage.ROLLED_BACK)
