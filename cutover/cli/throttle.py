"""`cutover throttle`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutover.cli.answer import Answer
from cutover.cli.options import PlanOption, StackOption
from cutover.model.journal import Intent

if TYPE_CHECKING:
    from cutover.engine.parts import Parts

PaceArgument = Annotated[
    int | None,
    typer.Argument(
        metavar="ROWS_PER_SECOND", min=1, help="Most rows that are copied in a second.", show_default=False
    ),
]
OffOption = Annotated[bool, typer.Option("--off", help="Copy as fast as it goes.")]


def throttle(
    rows_per_second: PaceArgument = None,
    *,
    off: OffOption = False,
    plan: PlanOption = None,
    stack: StackOption = None,
) -> Answer:
    """Bound how fast rows are copied, so that users do not feel it; --off takes the bound away.

    Only the backfill is slowed down: changes are applied as fast as they come,
    for a target that falls behind can take over from nobody. The bound stays
    until another is set.
    """
    import asyncio

    if (rows_per_second is None) is not off:
        raise typer.BadParameter("say either how many rows a second, or --off")
    return asyncio.run(_throttle(rows_per_second, plan, stack))


async def _throttle(pace: int | None, plan: Path | None, stack: str | None) -> Answer:
    from cutover.cli.migration import chosen

    async with chosen(plan, stack) as migration:
        stage = (await migration.state()).stage
        n = await ask_to_throttle(migration.parts, pace)
        bound = "as fast as it goes" if pace is None else f"{pace} row(s) a second at most"
        return Answer(
            stage=stage,
            text=f"asked to copy {bound} (journal entry {n}). A running coordinator acts on it.",
            next_steps=(migration.selection.command("status --watch"),),
            details={"pace": pace},
        )


async def ask_to_throttle(parts: "Parts", pace: int | None) -> int:
    """Write the operator's word into the journal, and return its entry; Refused after the end."""
    from cutover.engine.journalling import ask, state_of
    from cutover.errors import Refused
    from cutover.protocol.advance import ENDED

    state = await state_of(parts)
    if state is not None and state.stage in ENDED:
        raise Refused(
            f"migration {parts.plan.name!r} has ended ({state.stage.value}): nothing is copied any more. "
            f"Nothing was changed."
        )
    return (await ask(parts, Intent.THROTTLE, pace=pace)).n
