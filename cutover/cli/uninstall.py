"""`cutover uninstall`."""

from pathlib import Path

from cutover.cli.answer import Answer
from cutover.cli.options import PlanOption, StackOption, YesOption


def uninstall(*, plan: PlanOption = None, stack: StackOption = None, yes: YesOption = False) -> Answer:
    """Take everything of ours out of both databases, once a migration has ended.

    The journal at the witness stays: it is the record of what was done. The
    fence of the site that does not serve goes with the rest, so make sure that
    no client can reach that site any more.
    """
    import asyncio

    return asyncio.run(_uninstall(plan, stack, yes=yes))


async def _uninstall(plan: Path | None, stack: str | None, *, yes: bool) -> Answer:
    from cutover.cli.migration import DECLINED, agreed, chosen, say
    from cutover.cli.selection import forget
    from cutover.engine.journalling import state_of
    from cutover.errors import Refused
    from cutover.protocol.advance import ENDED

    async with chosen(plan, stack) as migration:
        state = await state_of(migration.parts)
        if state is not None and (state.stage not in ENDED or state.pending):
            raise Refused(
                f"migration {migration.parts.plan.name!r} is at {state.stage.value}: without its fence both "
                f"sites would accept writes. Nothing was changed. "
                f"First run `cutover complete` or `cutover roll-back`."
            )
        if not agreed("Take fence, publication, slots and records out of both databases?", yes=yes):
            return DECLINED
        for name, site in migration.parts.sites.items():
            await site.remove()
            say(f"{name}: nothing of ours is left")
        forget(migration.parts.plan)
        return Answer(stage=state.stage if state else None, text="nothing of ours is left at both sites")
