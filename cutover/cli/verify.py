"""`cutover verify`."""

from pathlib import Path

from cutover.cli.answer import Answer, Outcome
from cutover.cli.options import PlanOption, StackOption


def verify(*, plan: PlanOption = None, stack: StackOption = None) -> Answer:
    """Compare every row and every object of both sites, while they serve.

    A row that differs is looked at again until the following site must have
    it. Changes nothing at the sites. When they are equal, a migration that
    stood still because they were not goes on. When they differ, a running one
    compares by itself, stands still if it finds that too, and the site that
    follows is promoted by nobody until they are equal.
    """
    import asyncio

    return asyncio.run(_verify(plan, stack))


async def _verify(plan: Path | None, stack: str | None) -> Answer:
    from cutover.cli.migration import chosen, say
    from cutover.engine.compare import Comparer
    from cutover.engine.journalling import ask
    from cutover.engine.register import read_register
    from cutover.errors import Mismatch
    from cutover.model.journal import Intent

    async with chosen(plan, stack) as migration:
        parts, state = migration.parts, await migration.state()
        serving = (await read_register(parts)).grant.serving
        found = await Comparer(parts, serving, parts.plan.peer(serving), say).everything()
        if found.differences:
            if state.clean:
                await ask(parts, Intent.VERIFY)  # the coordinator looks for itself, and goes no further
            return Answer(
                outcome=Outcome.VIOLATED,
                stage=state.stage,
                error=str(Mismatch(found.differences)),
                next_steps=(migration.selection.command("status"), migration.selection.command("verify")),
                details=found.facts(),
            )
        if state.clean is False:
            await ask(parts, Intent.VERIFY)
        return Answer(
            stage=state.stage,
            text=f"{found.rows} rows and {found.objects} objects are equal at both sites",
            next_steps=migration.next_steps(state.stage),
            details=found.facts(),
        )
