"""`cutover run`: begin a migration, or carry it on."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutover.cli.answer import Answer
from cutover.cli.options import DetachOption, PlanArgument, StackOption
from cutover.model.stage import Stage

if TYPE_CHECKING:
    from cutover.engine.parts import Parts

GOALS = (
    Stage.PREFLIGHT,
    Stage.BACKFILL,
    Stage.CATCH_UP,
    Stage.VERIFY,
    Stage.DRAIN,
    Stage.CUT_OVER,
    Stage.SOAK,
)


def read_stage(word: str) -> Stage:
    """A stage as it is written on the command line."""
    by_word = {stage.value.replace("_", "-"): stage for stage in GOALS}
    stage = by_word.get(word.replace("_", "-"))
    if stage is None:
        raise typer.BadParameter(f"{word!r} is not one of {', '.join(by_word)}")
    return stage


UntilOption = Annotated[
    Stage | None,
    typer.Option(
        parser=read_stage,
        metavar="STAGE",
        help=f"Stop when this stage is reached: {', '.join(s.value.replace('_', '-') for s in GOALS)}.",
        show_default=False,
    ),
]


def run(
    plan: PlanArgument,
    *,
    stack: StackOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would be done from here, and change nothing.")
    ] = False,
    until: UntilOption = None,
    detach: DetachOption = False,
) -> Answer:
    """Carry out a plan from wherever its journal says it stopped, up to soak.

    Safe to run again after any crash. At soak the target serves and its changes
    flow back to the source; `complete` and `roll-back` go on from there. A
    prefix at the witness carries one migration: the next one needs another.
    """
    import asyncio

    if dry_run:
        return asyncio.run(_preview(plan, stack))
    return asyncio.run(_run(plan, stack, until, detach=detach))


async def _preview(plan: Path, stack: str | None) -> Answer:
    from cutover.cli.migration import as_details, chosen, describe
    from cutover.engine.journalling import state_of

    async with chosen(plan, stack) as migration:
        await refuse_a_used_prefix(migration.parts, migration.selection.outputs.witness.prefix)
        await migration.check_if_new()  # the first move says that preflight found nothing: let it be true
        state = await state_of(migration.parts)
        moves = await migration.moves()
        return Answer(
            stage=state.stage if state else Stage.PREFLIGHT,
            text=f"From here `cutover run` would do:\n{describe(moves)}",
            next_steps=(f"cutover run {plan}",),
            details=as_details(moves),
        )


async def _run(plan: Path, stack: str | None, until: Stage | None, *, detach: bool) -> Answer:
    from cutover.cli.migration import chosen
    from cutover.cli.selection import remember
    from cutover.engine.journalling import begin

    async with chosen(plan, stack) as migration:
        await refuse_a_used_prefix(migration.parts, migration.selection.outputs.witness.prefix)
        await migration.check_if_new()
        remember(migration.selection)
        if not detach:
            return await migration.drive(until)
        state = await begin(migration.parts)
        return Answer(
            stage=state.stage,
            text=f"{migration.parts.plan.name} has begun; a running coordinator carries it on",
            next_steps=(migration.selection.command("status --watch"),),
        )


async def refuse_a_used_prefix(parts: "Parts", prefix: str) -> None:
    """Raise Refused when the journal under this prefix is that of another migration which has ended."""
    from cutover.errors import Refused
    from cutover.model.plan_json import plan_digest
    from cutover.protocol.advance import ENDED
    from cutover.protocol.replay import replay

    entries = await parts.journal.read()
    state = replay(entries)
    if state.stage not in ENDED or entries[0].facts.get("digest") == plan_digest(parts.plan):
        return
    raise Refused(
        f"the journal under prefix {prefix!r} at the witness is that of a migration that has ended "
        f"({state.stage.value.replace('_', ' ')}), and a journal is never begun twice. Nothing was changed. "
        f"Run `cutover uninstall --plan` with the plan it was begun with, if that was not done; then name "
        f"another prefix under `witness` in the outputs of every place (operator and both sites), start "
        f"workers and agents again, and run this again."
    )
