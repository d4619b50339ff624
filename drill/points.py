"""Crash points: the places of a migration at which a fault can be anchored.

They are derived from the protocol: every stage, and every action that a move
into it orders, before, during and after; on the way forward, on the way back,
when it is completed, when it is rolled back early, when a drain is given up, and
when a site that was lost comes home. So a new action is in the list without
anybody remembering it, but for what an operator alone orders.
"""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from cutover.model.action import (
    ACTIONS,
    Action,
    CompareSites,
    Follow,
    GrantEpoch,
    OpenSite,
    ReleaseLog,
    Unfollow,
    action_from_json,
)
from cutover.model.journal import Entry, Intent, Kind
from cutover.model.plan import Plan
from cutover.model.stage import Direction, Stage
from cutover.ports.witness import Journal
from cutover.protocol.moves import Move
from cutover.protocol.preview import given_up, granted, preview
from cutover.protocol.replay import State, replay

WHENS = ("before", "during", "after")
RANDOM = "random"
ROLES = ("source", "target")
WORKERS = {"source": "worker-source", "target": "worker"}
"""The worker at each site, as a victim is called."""
AT_BOTH = frozenset({"compare-sites", "move-sequences", "verify-delta"})
"""Actions that ask both sites, whichever they name."""


@dataclass(frozen=True, slots=True)
class Point:
    """`[back/]STAGE[/ACTION[@source|@target][:before|during|after]]`; kebab-case, as on the command line.

    `back/` is the way back from a target that has served. Without it,
    `rolled-back` is where a migration ends whose target never did.
    """

    stage: str
    action: str | None = None
    when: str = "before"
    site: str | None = None  #: named where one move orders the same action for both sites
    back: bool = False

    def __str__(self) -> str:
        stage = f"back/{self.stage}" if self.back else self.stage
        if self.action is None:
            return stage
        return f"{stage}/{self.action}{f'@{self.site}' if self.site else ''}:{self.when}"

    @classmethod
    def parse(cls, text: str) -> "Point":
        """Read what `str` writes, `:before` if it is not said; ValueError names what is wrong."""
        back, text = text.startswith("back/"), text.removeprefix("back/")
        stage, _, rest = text.partition("/")
        named, _, when = rest.partition(":")
        action, _, site = named.partition("@")
        _check_stage(stage, back=back)
        _check_one_of("action", action, sorted(ACTIONS))
        _check_one_of("site of a point", site, ROLES)
        if when and when not in WHENS:
            raise ValueError(f"a point lies {', '.join(WHENS)} an action, not {when!r}")
        if rest and not action:
            raise ValueError(f"{rest!r} names no action: a point is {SHAPE}")
        return cls(stage, action or None, when or "before", site or None, back)

    @property
    def parted(self) -> bool:
        """Whether a site must have been lost before, or no migration comes by here."""
        return self.stage == Stage.PARTED.value

    @property
    def ending(self) -> str | None:
        """What an operator must ask for, or no migration comes by here; None: nothing."""
        if self.back or (self.gives_up and self.stage == Stage.SOAK.value):
            return "roll-back"
        early = "roll-back-from:drain/close-site:after" if self.gives_up else "roll-back-from:verify"
        return {"complete": "complete", "rolled-back": early}.get(self.stage)

    @property
    def gives_up(self) -> bool:
        """Whether a drain is given up here: no other move but into a cutover opens a site after it served."""
        return self.action in GIVING_UP and self.stage not in OPENED

    def is_at(self, here: "Point") -> bool:
        """Whether `here`, which names its site, is this point; without a site it is either one's."""
        return self == (here if self.site else replace(here, site=None))


GIVING_UP = frozenset({"give-up-drain", "open-site"})
OPENED = frozenset({"backfill", "cut-over"})
"""Stages into which sites are opened when nothing goes wrong."""
APART = 2
"""Epoch of a parting, for a walk through what follows one: any will do."""
SHAPE = "[back/]STAGE[/ACTION[@source|@target][:before|during|after]]"
WAY_BACK = ("drain", "cut-over", "rolled-back")


def _check_stage(stage: str, *, back: bool) -> None:
    stages = WAY_BACK if back else tuple(kebab(member.value) for member in Stage)
    if stage not in stages:
        where = "on the way back no" if back else "no"
        raise ValueError(f"{where} stage is called {stage!r}; there are {', '.join(stages)}")


def _check_one_of(what: str, name: str, names: Sequence[str]) -> None:
    if name and name not in names:
        raise ValueError(f"no {what} is called {name!r}; there are {', '.join(names)}")


def all_points(plan: Plan) -> list[Point]:
    """Every point: forward to soak, back, completing, and rolling back early, each in its order."""
    return list(victims_by_point(plan))


def stage_points(plan: Plan) -> list[Point]:
    """The entering of each stage on the way to soak."""
    stages = [kebab(move.stage.value) for move in preview(plan, State(), None)]
    return [Point(stage) for stage in dict.fromkeys(stages)]


def victims_by_point(plan: Plan) -> dict[Point, frozenset[str]]:
    """Each point, and on whom something can be in flight there: a fault of anybody else shows nothing."""
    soak = State(stage=Stage.SOAK, clean=True)
    early = State(stage=Stage.VERIFY, clean=True, wanted=Intent.ROLL_BACK)
    both = {plan.source, plan.target}
    back = State(direction=Direction.BACK, wanted=Intent.ROLL_BACK)
    walks = (
        (preview(plan, State(), None), _Walk(plan, plan.source)),
        (
            preview(plan, replace(soak, wanted=Intent.ROLL_BACK), None),
            _Walk(plan, plan.target, {*both}, back=True),
        ),
        (preview(plan, replace(soak, wanted=Intent.COMPLETE), None), _Walk(plan, plan.target, {*both})),
        (preview(plan, early, None), _Walk(plan, plan.source, {*both})),
        ([given_up(plan, State())], _Walk(plan, plan.source, {*both})),
        ([given_up(plan, State(wanted=Intent.ROLL_BACK))], _Walk(plan, plan.source, {*both})),
        ([given_up(plan, back)], _Walk(plan, plan.target, {*both})),
        *((_homecoming(plan, survivor), _Walk(plan, survivor, {*both})) for survivor in sorted(both)),
    )
    found = {Point(kebab(Stage.PREFLIGHT.value)): frozenset({"source", "coordinator"})}
    for moves, walk in walks:
        for point, victims in walk.along(moves):
            found[point] = found.get(point, frozenset()) | victims
    return found


def _homecoming(plan: Plan, survivor: str) -> list[Move]:
    """The moves by which the other site comes home."""
    parted = State(stage=Stage.PARTED, parted=APART)
    return preview(plan, parted, granted(plan, survivor))


@dataclass(slots=True)
class _Walk:
    """Comes by the points of some moves and knows who serves and who follows there."""

    plan: Plan
    serving: str | None
    followers: set[str] = field(default_factory=set)
    back: bool = False

    def along(self, moves: Sequence[Move]) -> Iterator[tuple[Point, frozenset[str]]]:
        for move in moves:
            names = [action.name for action in move.actions]
            stage = Point(kebab(move.stage.value), back=self.back)
            yield stage, self._victims(move.stage, move.actions[:1])
            for action in move.actions:
                twice = names.count(action.name) > 1
                site = (
                    role(self.plan, action.site) if twice and not isinstance(action, CompareSites) else None
                )
                for when in WHENS:
                    if when == "after":
                        self._take_in(action)
                    point = replace(stage, action=action.name, when=when, site=site)
                    yield point, self._victims(move.stage, (action,))

    def _victims(self, stage: Stage, actions: Sequence[Action]) -> frozenset[str]:
        found = {"coordinator"}
        for action in actions:
            found.update(roles_of(self.plan, action.name, getattr(action, "site", None)))
        if self.serving:
            found.add(role(self.plan, self.serving))
        if self.serving in (None, self.plan.target):  # nobody's, until the target's opens it
            found.add("agent-target")
        fed = [site for site in self.followers if self.plan.peer(site) == self.serving]
        if fed and stage is not Stage.CUT_OVER:  # until then the log was applied to its end
            found.update(ROLES, (WORKERS[role(self.plan, site)] for site in fed))
        return frozenset(found)

    def _take_in(self, action: Action) -> None:
        match action:
            case Follow(site):
                self.followers.add(site)
            case Unfollow(site):
                self.followers.discard(site)
            case ReleaseLog(site):
                self.followers.discard(self.plan.peer(site))
            case GrantEpoch():
                self.serving = None
            case OpenSite(site):
                self.serving = site


def role(plan: Plan, site: str) -> str:
    """`source` or `target`."""
    return "source" if site == plan.source else "target"


def roles_of(plan: Plan, action: str, site: str | None) -> frozenset[str]:
    """At which sites an action is under way; one at the register counts for the site that it is about."""
    if action in AT_BOTH or site is None:
        return frozenset(ROLES)
    return frozenset({role(plan, site)})


Reached = Callable[[Point], Awaitable[None]]


@dataclass(slots=True)
class PointedJournal:
    """A journal that tells of each crash point as the coordinator comes by; each names its site.

    The journal is where to listen: a move that was written comes before its
    first action, and a `done` that is about to be written comes after one.
    """

    inner: Journal
    plan: Plan
    reached: Reached
    on_entry: Callable[[Entry], None]
    _state: State = field(default_factory=State)
    _back: bool = False  #: on the way back from a target that has served

    async def append(self, entry: Entry) -> None:
        """As the port says."""
        if entry.kind is Kind.DONE:
            await self.reached(self._point(action_from_json(entry.actions[0]), "after"))
        await self.inner.append(entry)
        self._take_in([entry])
        if entry.kind is Kind.MOVE:
            await self.reached(Point(kebab(self._state.stage.value), back=self._back))
        if self._state.pending:
            await self.reached(self._point(self._state.pending[0], "before"))

    async def read(self, start: int = 0) -> list[Entry]:
        """As the port says."""
        entries = await self.inner.read(start)
        self._take_in([entry for entry in entries if entry.n >= self._state.next_n])
        return entries

    @property
    def current(self) -> Point | None:
        """The action that is being carried out, if one is."""
        return self._point(self._state.pending[0], "during") if self._state.pending else None

    def _point(self, action: Action, when: str) -> Point:
        site = getattr(action, "site", None)
        named = role(self.plan, site) if site else None
        return Point(kebab(self._state.stage.value), action.name, when, named, self._back)

    def _take_in(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.kind is Kind.MOVE:
                self._back = self._goes_back(entry)
            self._state = replay([entry], self._state)
            self.on_entry(entry)

    def _goes_back(self, move: Entry) -> bool:
        """A roll back that follows no drain of the target is an early one."""
        if move.direction != Direction.BACK.value:
            return False
        return move.stage != Stage.ROLLED_BACK.value or self._state.direction is Direction.BACK


def kebab(name: str) -> str:
    """The name of a stage, as people write it."""
    return name.replace("_", "-")
