"""What a decision looks like."""

from dataclasses import dataclass

from cutover.model.action import Action
from cutover.model.stage import Direction, Stage


@dataclass(frozen=True, slots=True)
class Move:
    """Go to `stage` by carrying out `actions` in this order."""

    stage: Stage
    actions: tuple[Action, ...]
    because: str
    direction: Direction = Direction.FORWARD


@dataclass(frozen=True, slots=True)
class CarryOn:
    """Carry out the next action that the last move left undone."""

    action: Action


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do yet; `until` finishes the sentence "waiting until ..."."""

    until: str


Decision = Move | CarryOn | Wait
