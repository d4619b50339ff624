"""`cutover complete`."""

from pathlib import Path

from cutover.cli.answer import Answer
from cutover.cli.options import DetachOption, PlanOption, StackOption, YesOption
from cutover.model.journal import Intent
from cutover.model.stage import Stage


def complete(
    *,
    plan: PlanOption = None,
    stack: StackOption = None,
    yes: YesOption = False,
    detach: DetachOption = False,
) -> Answer:
    """End a migration that is at soak: the target serves, and the sites are unlinked.

    After this there is no way back but a migration in the other direction. What
    will be done is printed first. It waits until every version in quarantine is
    decided, and until both sites answer.
    """
    import asyncio

    return asyncio.run(_complete(plan, stack, yes=yes, detach=detach))


async def _complete(plan: Path | None, stack: str | None, *, yes: bool, detach: bool) -> Answer:
    from cutover.cli.migration import DECLINED, agreed, chosen, describe, say
    from cutover.cli.parting import refuse_while_parted
    from cutover.engine.journalling import ask
    from cutover.errors import Refused
    from cutover.protocol.advance import ENDED

    async with chosen(plan, stack) as migration:
        state = await migration.state()
        if state.stage not in ENDED:
            await refuse_while_parted(migration.parts, "it can be completed")
        if state.stage not in (Stage.SOAK, Stage.COMPLETE):
            raise Refused(
                f"migration {migration.parts.plan.name!r} is at {state.stage.value}; only one at soak "
                f"can be completed. Nothing was changed. `cutover status` says what it waits for."
            )
        if state.stage is Stage.SOAK:
            say(f"Complete:\n{describe(await migration.moves(Intent.COMPLETE))}")
            if not agreed("Unlink the sites for good?", yes=yes):
                return DECLINED
            await ask(migration.parts, Intent.COMPLETE)
        if detach:
            return migration.reached(state.stage)
        return await migration.drive(Stage.COMPLETE)
