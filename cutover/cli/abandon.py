"""`cutover abandon`: end a migration without the other site."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cutover.cli.answer import Answer
from cutover.cli.options import DetachOption, PlanOption, StackOption
from cutover.cli.promote import ActOption
from cutover.model.journal import Intent
from cutover.model.stage import Stage

if TYPE_CHECKING:
    from cutover.cli.stranded import Stranding
    from cutover.engine.parts import Parts
    from cutover.model.observation import SiteFacts
    from cutover.protocol.replay import State


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What stands once a migration was abandoned."""

    serving: str
    other: str
    ends: Stage
    other_answers: bool
    kept: int  #: versions in the serving site's quarantine that nobody has decided on
    stranding: "Stranding | None"

    def described(self) -> list[str]:
        """For people."""
        lines = [
            f"{self.serving} serves; {self.other} {'answers' if self.other_answers else 'does not answer'}"
        ]
        found = self.stranding
        if found is not None and not found.over and found.merged is None:
            from cutover.cli.stranded import described

            lines += described(found)
        return lines

    def will(self) -> list[str]:
        """What abandoning does, for people."""
        lines = [
            f"the migration ends as {self.ends.value.replace('_', ' ')}: {self.serving} serves alone, "
            f"and keeps no log for {self.other} any more",
            f"{self.other} is not touched: it stays behind its fence with all that is there, and can never "
            f"follow again",
        ]
        found = self.stranding
        if found is not None and not found.over and found.merged is None:
            lines.append(f"what is stranded at {self.other} is not merged: it is yours to bring home")
        if self.kept:
            lines.append(f"{self.kept} version(s) in quarantine stay undecided (`cutover quarantine list`)")
        if self.other_answers:
            lines.append(f"{self.other} answers, so `cutover status` may know a way that loses less")
        return lines

    def to_json(self) -> dict[str, object]:
        return {
            "serving": self.serving,
            "other": self.other,
            "other_answers": self.other_answers,
            "ends": self.ends.value,
            "kept": self.kept,
            "stranding": self.stranding.to_json() if self.stranding else None,
        }


def abandon(
    *,
    plan: PlanOption = None,
    stack: StackOption = None,
    yes: ActOption = False,
    detach: DetachOption = False,
) -> Answer:
    """End a migration where it stands, without the site that does not serve.

    For when that site will never be back. The serving site serves on alone and
    keeps no log for it; the other one is not touched, and what may be stranded
    there is not merged. Without --yes it only says what it would do. Where both
    sites answer, `complete` and `roll-back` end a migration without loss.
    """
    import asyncio

    return asyncio.run(_abandon(plan, stack, yes=yes, detach=detach))


async def _abandon(plan: Path | None, stack: str | None, *, yes: bool, detach: bool) -> Answer:
    from cutover.cli.migration import chosen, describe, say

    async with chosen(plan, stack) as migration:
        found = await remains(migration.parts)
        if not yes:
            return await migration.foretold(found, {"remains": found.to_json()}, "abandon --yes", "status")
        say(f"Abandon:\n{describe(await migration.moves(Intent.ABANDON))}")
        await ask_to_abandon(migration.parts)
        if detach:
            return migration.reached((await migration.state()).stage)
        return await migration.drive(found.ends)


async def remains(parts: "Parts") -> Remains:
    """What abandoning would leave; Refused when there is nothing to abandon."""
    from cutover.cli.stranded import newest_stranding
    from cutover.engine.observe import look_at_both
    from cutover.engine.register import read_register

    await _state_that_goes_on(parts)
    serving = (await read_register(parts)).grant.serving
    looks, other = await look_at_both(parts), parts.plan.peer(serving)
    here: SiteFacts | None = looks[serving]
    return Remains(
        serving=serving,
        other=other,
        ends=Stage.COMPLETE if serving == parts.plan.target else Stage.ROLLED_BACK,
        other_answers=looks[other] is not None,
        kept=here.kept if here else 0,
        stranding=await newest_stranding(parts),
    )


async def ask_to_abandon(parts: "Parts") -> None:
    """Write the operator's word into the journal; Refused when the migration has ended."""
    from cutover.engine.journalling import ask

    await _state_that_goes_on(parts)
    await ask(parts, Intent.ABANDON)


async def _state_that_goes_on(parts: "Parts") -> "State":
    from cutover.engine.journalling import state_of
    from cutover.errors import BadInput, Refused
    from cutover.protocol.advance import ENDED

    state = await state_of(parts)
    if state is None:
        raise BadInput(f"migration {parts.plan.name!r} has not begun. Nothing was changed.")
    if state.stage in ENDED:
        raise Refused(
            f"migration {parts.plan.name!r} has ended ({state.stage.value}), so there is nothing to abandon. "
            f"Nothing was changed. `cutover uninstall` takes what is left out of the databases."
        )
    return state
