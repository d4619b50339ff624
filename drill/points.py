"""Crash points: the places of a migration at which a fault can be anchored.

They are derived from the protocol: every stage, and every action that a move
into it orders, before, during and after. So a new action is in the list without
anybody remembering it.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from cutover.model.action import ACTIONS
from cutover.model.journal import Entry, Intent, Kind
from cutover.model.plan import Plan
from cutover.model.stage import Stage
from cutover.ports.witness import Journal
from cutover.protocol.preview import preview
from cutover.protocol.replay import State, replay

WHENS = ("before", "during", "after")
RANDOM = "random"


@dataclass(frozen=True, slots=True)
class Point:
    """`stage`, or `stage/action:when`; kebab-case, as on the command line."""

    stage: str
    action: str | None = None
    when: str = "before"

    def __str__(self) -> str:
        return self.stage if self.action is None else f"{self.stage}/{self.action}:{self.when}"

    @classmethod
    def parse(cls, text: str) -> "Point":
        """Read STAGE[/ACTION[:before|during|after]]; ValueError names what is wrong."""
        stage, _, rest = text.partition("/")
        action, _, when = rest.partition(":")
        stages = [member.value.replace("_", "-") for member in Stage]
        if stage not in stages:
            raise ValueError(f"no stage is called {stage!r}; there are {', '.join(stages)}")
        if action and action not in ACTIONS:
            raise ValueError(f"no action is called {action!r}; there are {', '.join(sorted(ACTIONS))}")
        if when and when not in WHENS:
            raise ValueError(f"a point lies {', '.join(WHENS)} an action, not {when!r}")
        return cls(stage, action or None, when or "before")


def all_points(plan: Plan) -> list[Point]:
    """Every point of a migration, forward to soak and then back, in the order in which they come."""
    forward = preview(plan, State(), None)
    back = preview(plan, State(stage=Stage.SOAK, clean=True, wanted=Intent.ROLL_BACK), None)
    points: dict[Point, None] = {}
    for move in (*forward, *back):
        stage = move.stage.value.replace("_", "-")
        points[Point(stage)] = None
        for action in move.actions:
            for when in WHENS:
                points[Point(stage, action.name, when)] = None
    return list(points)


def stage_points(plan: Plan) -> list[Point]:
    """The entering of each stage on the way to soak."""
    stages = [move.stage.value.replace("_", "-") for move in preview(plan, State(), None)]
    return [Point(stage) for stage in dict.fromkeys(stages)]


Reached = Callable[[Point], Awaitable[None]]


@dataclass(slots=True)
class PointedJournal:
    """A journal that tells of each crash point as the coordinator comes by.

    The journal is where to listen: a move that was written comes before its
    first action, and a `done` that is about to be written comes after one.
    """

    inner: Journal
    reached: Reached
    on_entry: Callable[[Entry], None]
    _state: State

    async def append(self, entry: Entry) -> None:
        """As the port says."""
        if entry.kind is Kind.DONE:
            await self.reached(Point(_kebab(entry.stage), _action(entry), "after"))
        await self.inner.append(entry)
        self._take_in([entry])
        if entry.kind is Kind.MOVE:
            await self.reached(Point(_kebab(entry.stage)))
        if self._state.pending:
            await self.reached(Point(_kebab(self._state.stage.value), self._state.pending[0].name, "before"))

    async def read(self, start: int = 0) -> list[Entry]:
        """As the port says."""
        entries = await self.inner.read(start)
        self._take_in([entry for entry in entries if entry.n >= self._state.next_n])
        return entries

    @property
    def current(self) -> Point | None:
        """The action that is being carried out, if one is."""
        if not self._state.pending:
            return None
        return Point(_kebab(self._state.stage.value), self._state.pending[0].name, "during")

    def _take_in(self, entries: Sequence[Entry]) -> None:
        self._state = replay(entries, self._state)
        for entry in entries:
            self.on_entry(entry)


def _kebab(name: str | None) -> str:
    return (name or "").replace("_", "-")


def _action(entry: Entry) -> str:
    return str(entry.actions[0]["action"])
