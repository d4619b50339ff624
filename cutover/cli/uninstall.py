"""`cutover uninstall`."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutover.cli.answer import Answer
from cutover.cli.options import PlanOption, StackOption, YesOption

if TYPE_CHECKING:
    from cutover.engine.parts import Parts
    from cutover.errors import SiteUnreachable


DiscardOption = Annotated[
    bool,
    typer.Option(
        "--discard-set-aside", help="Also forget rows that were set aside (`cutover quarantine list`)."
    ),
]


def uninstall(
    *,
    plan: PlanOption = None,
    stack: StackOption = None,
    yes: YesOption = False,
    discard_set_aside: DiscardOption = False,
) -> Answer:
    """Take everything of ours out of both databases, once a migration has ended.

    The journal at the witness stays: it is the record of what was done. The
    fence of the site that does not serve goes with the rest, so make sure that
    no client can reach that site any more. Where one site does not answer, the
    other one is cleaned all the same, and running it again finishes it.
    """
    import asyncio

    return asyncio.run(_uninstall(plan, stack, yes=yes, discard=discard_set_aside))


async def _uninstall(plan: Path | None, stack: str | None, *, yes: bool, discard: bool) -> Answer:
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
                f"First run `cutover complete` or `cutover roll-back` (or `cutover abandon`, if one site "
                f"will never be back)."
            )
        await _refuse_undecided(migration.parts, discard=discard)
        if not agreed("Take fence, publication, slots and records out of both databases?", yes=yes):
            return DECLINED
        silent = await _removed(migration.parts, say)
        if silent:
            raise silent[0]
        forget(migration.parts.plan)
        return Answer(stage=state.stage if state else None, text="nothing of ours is left at both sites")


async def _refuse_undecided(parts: "Parts", *, discard: bool) -> None:
    """What lost a conflict lies in our records only: taking them out would destroy it (S4)."""
    from contextlib import suppress

    from cutover.errors import Refused, SiteUnreachable

    for name, site in parts.sites.items():
        with suppress(SiteUnreachable):  # it is cleaned later, and asked then
            held_back = 0 if discard else (await site.look()).set_aside
            if held_back:
                raise Refused(
                    f"{held_back} row(s) that {name!r} had to set aside are known by our records alone, "
                    f"and would be forgotten. Nothing was changed. `cutover quarantine list` shows them and "
                    f"why; write them anew where users write, then give --discard-set-aside."
                )
            if undecided := len(await site.quarantine()):
                raise Refused(
                    f"{undecided} version(s) in the quarantine of {name!r} wait for a decision, and would be "
                    f"destroyed. Nothing was changed. `cutover quarantine list` shows them, "
                    f"`cutover quarantine resolve` decides."
                )


async def _removed(parts: "Parts", tell: Callable[[str], None]) -> "list[SiteUnreachable]":
    """Clean the sites that answer; return what was raised for those that do not."""
    from cutover.errors import SiteUnreachable

    silent = []
    for name, site in parts.sites.items():
        try:
            await site.remove()
            tell(f"{name}: nothing of ours is left")
        except SiteUnreachable as error:
            silent.append(error)
    return silent
