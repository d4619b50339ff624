"""The target is opened while the source still accepts writes.

Nobody closes the source before: its agent shuts it when it next looks at the
register and finds another site there, so that a few hundred milliseconds are
all that the bug has.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from cutover.engine.parts import Parts
from cutover.model.action import DeclareDrain, GrantEpoch, MoveSequences, OpenSite
from cutover.model.observation import Observation
from cutover.model.plan import Plan
from cutover.model.stage import Direction, Stage
from cutover.protocol.moves import Decision, Move
from cutover.protocol.replay import State
from drill.planted.plant import Plant
from drill.planted.troubles import COMPLETED

SwitchOrder = Callable[[Plan, State, Observation], Decision]


@dataclass(frozen=True, slots=True)
class OpenFirst:
    """The decision function with the drain left out."""

    decide: SwitchOrder

    def __call__(self, plan: Plan, state: State, seen: Observation) -> Decision:
        """Open the target instead of draining the source."""
        decision = self.decide(plan, state, seen)
        if not isinstance(decision, Move) or decision.direction is not Direction.FORWARD:
            return decision
        if decision.stage is not Stage.DRAIN:
            return decision
        target = plan.target
        opening = (MoveSequences(target), GrantEpoch(target), OpenSite(target))
        return replace(decision, stage=Stage.CUT_OVER, actions=(DeclareDrain(plan.source), *opening))


def _in_parts(parts: Parts) -> Parts:
    return replace(parts, advance=OpenFirst(parts.advance))


OPEN_BEFORE_CLOSE = Plant(
    name="open-before-close",
    rule="S1a",
    checker="one_writer",
    about="the target is opened before the source is closed",
    seeds=25,
    under=COMPLETED,
    processes=frozenset({"coordinator"}),
    in_parts=_in_parts,
)
