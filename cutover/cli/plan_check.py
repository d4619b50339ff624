"""`cutover plan check`: what is wrong with a plan, before anything is changed."""

from dataclasses import replace

from cutover.cli.answer import Answer, answer_to
from cutover.cli.options import PlanArgument, StackOption


def check(plan: PlanArgument, *, stack: StackOption = None) -> Answer:
    """Check a plan file, and whether both sites can carry it. Changes nothing.

    The file is checked first, every mistake with its line; then both databases
    and both stores are asked for everything that would stop the migration. What
    a store can do is tried on a scratch object, which is taken away again.
    """
    import asyncio

    from cutover.cli.plan_file import read_plan
    from cutover.cli.state_files import stacks_here

    file = read_plan(plan)
    if stack is None and file.stack is None and not stacks_here():
        return Answer(
            text=f"{plan}: the file is right; no stack was named, so no site was asked",
            next_steps=(f"cutover plan check {plan} --stack STACK",),
        )
    return asyncio.run(_check(plan, stack))


async def _check(plan: PlanArgument, stack: StackOption) -> Answer:
    from cutover.cli.migration import chosen
    from cutover.cli.run import refuse_a_used_prefix
    from cutover.engine.journalling import state_of
    from cutover.errors import NotReady

    async with chosen(plan, stack) as migration:
        await refuse_a_used_prefix(migration.parts, migration.selection.outputs.witness.prefix)
        state = await state_of(migration.parts)
        if state is not None:
            return replace(
                migration.reached(state.stage),
                text=f"{plan}: this very plan has begun; it was checked then, and is not again",
            )
        found = await migration.parts.preflight()
        if found:
            return answer_to(NotReady(found))
        tables = len(migration.parts.plan.tables)
        return Answer(
            text=f"{plan}: {tables} table(s), and both sites can carry it",
            next_steps=(f"cutover run {plan}",),
        )
