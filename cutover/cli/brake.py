"""`cutover brake`: what stopped a worker, and letting it go on."""

from pathlib import Path
from typing import TYPE_CHECKING

from cutover.cli.answer import Answer
from cutover.cli.options import PlanOption, StackOption
from cutover.model.journal import Intent

if TYPE_CHECKING:
    from cutover.engine.parts import Parts


def status(*, plan: PlanOption = None, stack: StackOption = None) -> Answer:
    """Say whether the brake of a site is on, and which transaction put it on."""
    import asyncio

    return asyncio.run(_status(plan, stack))


def release(*, plan: PlanOption = None, stack: StackOption = None) -> Answer:
    """Let a stopped worker apply what it stopped at, after you have looked at it."""
    import asyncio

    return asyncio.run(_release(plan, stack))


async def _release(plan: Path | None, stack: str | None) -> Answer:
    """The reason goes with the request: what stops the worker next has not been looked at."""
    from cutover.cli.migration import chosen

    async with chosen(plan, stack) as migration:
        reasons = await ask_to_release(migration.parts)
        return Answer(
            text="\n".join(f"asked to let pass: {reason}" for reason in reasons),
            next_steps=(migration.selection.command("status"),),
        )


async def ask_to_release(parts: "Parts") -> list[str]:
    """Write the operator's word into the journal for each brake that is on, and return their reasons.

    Refused when none is on: what comes later has not been looked at.
    """
    from cutover.engine.journalling import ask
    from cutover.engine.observe import look_at_both
    from cutover.errors import Refused

    looks = await look_at_both(parts)
    reasons = [facts.brake for facts in looks.values() if facts is not None and facts.brake]
    if not reasons:
        raise Refused("no brake is on, so there is nothing to release. Nothing was changed.")
    for reason in reasons:
        await ask(parts, Intent.RELEASE_BRAKE, reason=reason)
    return reasons


async def _status(plan: Path | None, stack: str | None) -> Answer:
    from cutover.cli.migration import chosen
    from cutover.engine.observe import look_at_both

    async with chosen(plan, stack) as migration:
        looks = await look_at_both(migration.parts)
        brakes = {site: facts.brake if facts else None for site, facts in looks.items()}
        unseen = [site for site, facts in looks.items() if facts is None]
        on = [f"{site}: {why}" for site, why in brakes.items() if why]
        silent = [f"{site}: unknown, it does not answer" for site in unseen]
        return Answer(
            text="\n".join(on + silent) or "no brake is on",
            next_steps=(migration.selection.command("brake release"),) if on else (),
            details={"brakes": brakes, "unknown": unseen},
        )
