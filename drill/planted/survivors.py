"""Survivors that take over with less than they must have: numbers, or rows."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from cutover.engine.parts import Parts
from cutover.model.action import MarkEligible
from cutover.model.observation import Lead, Observation
from cutover.model.plan import Plan
from cutover.model.stage import Stage
from cutover.protocol.moves import Decision, Move
from cutover.protocol.replay import State
from drill.planted.around import Around, around_sites
from drill.planted.plant import Plant
from drill.planted.sequences_left import CountsAnew
from drill.planted.troubles import DIES_WHILE_COPIED, SOURCE_DIES

Advance = Callable[[Plan, State, Observation], Decision]


@dataclass(frozen=True, slots=True)
class EligibleAtOnce:
    """The decision function of a coordinator that lets the target be promoted from the beginning."""

    decide: Advance

    def __call__(self, plan: Plan, state: State, seen: Observation) -> Decision:
        """As it decides, and eligible before anything is copied."""
        decision = self.decide(plan, state, seen)
        if isinstance(decision, Move) and decision.stage is Stage.BACKFILL:
            return replace(decision, actions=(*decision.actions, MarkEligible(plan.target)))
        return decision


class NeverBehind(Around):
    """A site that takes its peer for one that has everything."""

    async def lead(self) -> Lead:
        """As the port says, with all of it confirmed."""
        lead: Lead = await self._inner.lead()
        return replace(lead, confirmed=lead.end)


def _eligible_at_once(parts: Parts) -> Parts:
    parts = around_sites(parts, lambda _, inner: NeverBehind(inner))
    return replace(parts, advance=EligibleAtOnce(parts.advance))


CEILINGS_IGNORED = Plant(
    name="ceilings-ignored",
    rule="S10",
    checker="ledger",
    about="a survivor gives out ids that its dead peer has given out before",
    symptom="earnings lost",
    processes=frozenset({"agent"}),
    under=SOURCE_DIES,
    in_parts=lambda parts: around_sites(parts, lambda _, inner: CountsAnew(inner)),
)

ELIGIBLE_AT_ONCE = Plant(
    name="eligible-at-once",
    rule="S12",
    checker="acknowledged",
    about="a target may be promoted while it is still being filled, and counts as one that follows",
    symptom="comments missing",
    processes=frozenset({"agent", "coordinator"}),
    under=DIES_WHILE_COPIED,
    in_parts=_eligible_at_once,
)
