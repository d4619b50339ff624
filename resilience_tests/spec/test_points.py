"""Where a fault can be anchored, when it strikes there, and whether it hit anything."""

import asyncio
import inspect
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import pytest
import typer

from cutover.engine.journalling import done_entry, move_entry
from cutover.engine.parts import Parts
from cutover.errors import Superseded
from cutover.model.action import (
    ACTIONS,
    Action,
    CloseSite,
    DeclareDrain,
    PromoteSite,
    ReleaseBrake,
    Throttle,
)
from cutover.model.journal import Entry, Intent, Kind
from cutover.model.observation import Fence, FenceState, SiteFacts
from cutover.model.position import Position
from cutover.model.stage import Direction, Stage
from cutover.ports.database import Rows, SiteDatabase
from cutover.ports.witness import Register
from cutover.protocol.moves import Move
from cutover.protocol.preview import preview
from cutover.protocol.replay import State, replay
from drill.cli.run_one import run
from drill.detours import ways_to
from drill.drills import Drill, full, smoke
from drill.live.coordinator import EFFECTS, pointed
from drill.live.field import UnderWay, in_flight, is_fed
from drill.points import RANDOM, WHENS, Point, PointedJournal, all_points, victims_by_point
from drill.sample_plan import sample_plan

PLAN = sample_plan()
POINTS = all_points(PLAN)
ONLY_BY_AN_OPERATOR = {ReleaseBrake.name, Throttle.name, PromoteSite.name}
"""No migration orders them by itself: their drills are those of the runbooks."""


@dataclass
class Told:
    """A harness that remembers what it was told; `strike` waits for `go`."""

    points: list[str] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    called: asyncio.Event = field(default_factory=asyncio.Event)

    async def strike(self, point: Point) -> None:
        self.points.append(str(point))
        self.called.set()
        await self.go.wait()

    def entry(self, entry: Entry) -> None:
        """Nobody records it here."""


@dataclass
class Place:
    """A site, its rows and the register at once: each call says when it began and ended."""

    began: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        async def call(*_given: object, **_named: object) -> str:
            self.began.append(name)
            self.ended.append(name)
            return name

        return call


@dataclass
class Entries:
    """A journal in memory."""

    entries: list[Entry] = field(default_factory=list)

    async def append(self, entry: Entry) -> None:
        if entry.n != len(self.entries):
            raise Superseded("the slot")
        self.entries.append(entry)

    async def read(self, start: int = 0) -> list[Entry]:
        return self.entries[start:]


class Still:
    """A clock that nobody asks."""

    def stamp(self) -> str:
        return ""


def parts_over(place: Place) -> Parts:
    here: Any = place
    journal = Entries([Entry(n=0, term=0, kind=Kind.PLAN, nonce="")])
    clock: Any = Still()

    async def preflight() -> list[str]:
        return []

    return Parts(
        plan=PLAN,
        sites={PLAN.source: here, PLAN.target: here},
        rows={PLAN.source: here, PLAN.target: here},
        stores={},
        logs={},
        appliers={},
        register=here,
        journal=journal,
        clock=clock,
        random=Random(1),
        preflight=preflight,
    )


async def moved(parts: Parts, *moves: Move) -> State:
    """Journal these moves, each with all its actions but those of the last one done."""
    state = replay(await parts.journal.read())
    for move in moves:
        for action in state.pending:
            done = done_entry(parts, state, 1, action, {"end": "a/1/0", "clean": True})
            await parts.journal.append(done)
            state = replay([done], state)
        entry = move_entry(parts, state, 1, move, {})
        await parts.journal.append(entry)
        state = replay([entry], state)
    return state


def draining(action: Action) -> Move:
    return Move(Stage.DRAIN, (action,), "a test")


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_a_point_is_read_as_it_is_written(point: Point) -> None:
    assert Point.parse(str(point)) == point


def test_points_have_names_of_their_own() -> None:
    assert len({str(point) for point in POINTS}) == len(POINTS)


def test_a_point_without_a_moment_lies_before_its_action() -> None:
    assert Point.parse("drain/close-site") == Point("drain", "close-site", "before")


@pytest.mark.parametrize(
    ("text", "teaches"),
    [
        ("drian", "no stage is called 'drian'; there are .*drain"),
        (
            "back/verify",
            "on the way back no stage is called 'verify'; there are drain, cut-over, rolled-back",
        ),
        ("drain/shut-site", "no action is called 'shut-site'; there are .*close-site"),
        ("drain/close-site:while", "before, during, after an action, not 'while'"),
        ("drain/close-site@east", "no site of a point is called 'east'; there are source, target"),
        ("drain/:before", "names no action: a point is .*STAGE"),
    ],
)
def test_a_point_that_does_not_exist_is_refused_with_those_that_do(text: str, teaches: str) -> None:
    with pytest.raises(ValueError, match=teaches):
        Point.parse(text)


def test_every_action_of_the_protocol_is_somewhere_a_point() -> None:
    assert {point.action for point in POINTS if point.action} == set(ACTIONS) - ONLY_BY_AN_OPERATOR


def test_every_action_that_a_migration_orders_is_a_point_on_its_way() -> None:
    soak = State(stage=Stage.SOAK, clean=True)
    ways = {
        False: preview(PLAN, State(), None) + preview(PLAN, replace(soak, wanted=Intent.COMPLETE), None),
        True: preview(PLAN, replace(soak, wanted=Intent.ROLL_BACK), None),
    }
    for back, moves in ways.items():
        for move in moves:
            for action in move.actions:
                site = "source" if getattr(action, "site", PLAN.source) == PLAN.source else "target"
                for when in WHENS:
                    stage = move.stage.value.replace("_", "-")
                    here = Point(stage, action.name, when, site, back)
                    anywhere = Point(stage, action.name, when, None, back)
                    assert here in POINTS or anywhere in POINTS, f"{here} is missing"


def test_each_way_asks_for_its_ending() -> None:
    asked = {str(point): point.ending for point in POINTS if point.action is None}
    assert asked == {
        "preflight": None,
        "backfill": None,
        "catch-up": None,
        "verify": None,
        "drain": None,
        "cut-over": None,
        "soak": None,
        "back/drain": "roll-back",
        "back/cut-over": "roll-back",
        "back/rolled-back": "roll-back",
        "complete": "complete",
        "rolled-back": "roll-back-from:verify",
        "parted": None,
    }


def test_a_coordinator_is_a_victim_everywhere_and_others_where_something_goes_on() -> None:
    victims = victims_by_point(PLAN)
    assert all("coordinator" in found for found in victims.values())
    assert victims[Point("preflight")] == {"source", "coordinator"}
    assert "worker" not in victims[Point("backfill")]
    assert "worker" in victims[Point("backfill", "follow", "after")]
    assert "worker" not in victims[Point.parse("cut-over/grant-epoch:before")]
    assert victims[Point.parse("complete/release-log@target:before")] == {
        "coordinator",
        "target",
        "agent-target",
    }


def test_a_worker_is_a_victim_where_its_site_is_fed_and_an_agent_where_its_site_serves() -> None:
    victims = victims_by_point(PLAN)
    assert "worker-source" not in victims[Point("drain")]
    assert {"worker-source", "agent-target"} <= victims[Point("drain", back=True)]
    assert "worker" not in victims[Point("drain", back=True)]
    assert {"worker", "worker-source"} <= victims[Point.parse("parted/compare-sites:during")], (
        "of either survivor"
    )
    assert "agent-target" in victims[Point.parse("cut-over/open-site:before")], "nobody serves yet"


def test_a_drain_that_is_given_up_is_on_the_way_there_and_back_and_in_a_roll_back() -> None:
    given_up = {str(point): point.ending for point in POINTS if point.gives_up and point.when == "before"}
    at_once = "roll-back-from:drain/close-site:after"
    assert given_up == {
        "verify/give-up-drain:before": None,
        "verify/open-site:before": None,
        "soak/give-up-drain:before": "roll-back",
        "soak/open-site:before": "roll-back",
        "rolled-back/give-up-drain:before": at_once,
        "rolled-back/open-site:before": at_once,
    }
    for point in POINTS:
        for first in ways_to(point):
            assert all(one.time is not None or Point.parse(one.point) in POINTS for one in first), point


async def told_of(moves: list[Move]) -> list[str]:
    """The points that a journal tells of, for these moves."""
    parts = parts_over(Place())
    told: list[str] = []

    async def reached(point: Point) -> None:
        told.append(str(point))

    journal = PointedJournal(parts.journal, PLAN, reached, lambda _: None)
    await journal.read()
    await moved(replace(parts, journal=journal), *moves)
    return told


async def test_the_way_back_is_told_apart_from_the_way_there() -> None:
    there = draining(CloseSite(PLAN.source))
    back = Move(Stage.DRAIN, (CloseSite(PLAN.target),), "a test", Direction.BACK)
    assert await told_of([there, Move(Stage.SOAK, (), ""), back]) == [
        "drain",
        "drain/close-site@source:before",
        "drain/close-site@source:after",
        "soak",
        "back/drain",
        "back/drain/close-site@target:before",
    ]


async def test_rolling_back_early_is_not_the_way_back() -> None:
    ended = Move(Stage.ROLLED_BACK, (), "a test", Direction.BACK)
    assert (await told_of([draining(CloseSite(PLAN.source)), ended]))[-1] == "rolled-back"
    back = Move(Stage.CUT_OVER, (), "a test", Direction.BACK)
    assert (await told_of([back, ended]))[-1] == "back/rolled-back"


async def test_a_fault_during_an_action_finds_its_call_begun_and_not_answered() -> None:
    place, told, answers = Place(), Told(), list[str]()
    harness: Any = told
    parts = pointed(parts_over(place), harness, Point.parse("drain/close-site:during"))
    await parts.journal.read()
    state = await moved(parts, draining(CloseSite(PLAN.source)))

    async def close() -> None:
        site: Any = parts.sites[PLAN.source]
        answers.append(await site.close(guard=state.move_n))

    closing = asyncio.ensure_future(close())
    async with asyncio.timeout(5):
        await told.called.wait()
        assert (told.points, place.began, answers) == (["drain/close-site:during"], ["close"], [])
        told.go.set()
        await closing
    assert answers == ["close"]


async def test_looking_and_reading_are_not_the_action() -> None:
    place, told = Place(), Told()
    told.go.set()
    harness: Any = told
    parts = pointed(parts_over(place), harness, Point.parse("drain/declare-drain:during"))
    await parts.journal.read()
    await moved(parts, draining(DeclareDrain(PLAN.source)))
    register: Any = parts.register
    site: Any = parts.sites[PLAN.source]
    for ask in (register.read, site.look, site.fence, site.instant, site.probe_write, site.close):
        await ask()
    assert told.points == []
    await register.compare_and_set()
    assert told.points == ["drain/declare-drain:during"]


async def test_another_action_does_not_pass_for_the_one_that_is_waited_for() -> None:
    place, told = Place(), Told()
    told.go.set()
    harness: Any = told
    parts = pointed(parts_over(place), harness, Point.parse("drain/declare-drain:during"))
    await parts.journal.read()
    await moved(parts, Move(Stage.CUT_OVER, (DeclareDrain(PLAN.source),), "a test"))
    register: Any = parts.register
    await register.compare_and_set()
    assert told.points == []


def test_every_action_has_calls_that_exist() -> None:
    assert set(EFFECTS) == set(ACTIONS)
    known = {name for port in (SiteDatabase, Rows, Register) for name, _ in inspect.getmembers(port)}
    assert set().union(*EFFECTS.values()) <= known


async def test_preflight_is_a_point_before_anything_was_asked() -> None:
    told = Told()
    told.go.set()
    harness: Any = told
    parts = pointed(parts_over(Place()), harness, Point("preflight"))
    assert await parts.preflight() == []
    assert told.points == ["preflight"]


def at(offset: int) -> Position:
    return Position("east", 1, offset)


OPEN, CLOSED = Fence(state=FenceState.OPEN), Fence(state=FenceState.CLOSED)
FOLLOWER = SiteFacts(fence=CLOSED, end=Position("west", 1, 9), applied=at(5), following=True)
CLOSING = UnderWay(action="close-site", action_at=frozenset({"source"}))


@pytest.mark.parametrize(
    ("victim", "seen", "hit"),
    [
        ("source", CLOSING, {"action": "close-site"}),
        ("target", CLOSING, None),
        ("worker", CLOSING, None),
        ("coordinator", CLOSING, {"action": "close-site"}),
        ("coordinator", UnderWay(calls={"source": 3}), None),
        ("source", UnderWay(calls={"source": 3}), {"operations": 3}),
        ("target", UnderWay(calls={"source": 3}), None),
        ("target", UnderWay(fed=frozenset({"target"})), {"changes to": ["target"]}),
        ("source", UnderWay(fed=frozenset({"target"})), {"changes to": ["target"]}),
        ("worker", UnderWay(fed=frozenset({"target"})), {"changes to": ["target"]}),
        ("worker", UnderWay(fed=frozenset({"source"})), None),
        ("target", UnderWay(standing=True), None),
    ],
)
def test_a_fault_hits_what_is_on_its_victim_or_on_a_link_of_it(
    victim: str, seen: UnderWay, hit: dict[str, object] | None
) -> None:
    assert in_flight(victim, seen) == hit


def test_a_coordinator_that_stands_at_a_point_is_in_a_call_of_its_own() -> None:
    assert in_flight("coordinator", UnderWay(standing=True))
    assert not in_flight("coordinator", UnderWay())


@pytest.mark.parametrize(
    ("follower", "leading", "end", "fed"),
    [
        (FOLLOWER, SiteFacts(fence=OPEN, end=at(6)), None, True),
        (FOLLOWER, SiteFacts(fence=OPEN, end=at(5)), None, False),
        (replace(FOLLOWER, tables_pending=1), SiteFacts(fence=OPEN, end=at(5)), None, True),
        (replace(FOLLOWER, following=False), SiteFacts(fence=OPEN, end=at(6)), None, False),
        (replace(FOLLOWER, applied=None), SiteFacts(fence=OPEN, end=at(6)), None, True),
        (FOLLOWER, SiteFacts(fence=CLOSED, end=at(9)), None, False),
        (FOLLOWER, SiteFacts(fence=CLOSED, end=at(9)), at(5), False),
        (FOLLOWER, SiteFacts(fence=CLOSED, end=at(9)), at(6), True),
    ],
)
def test_changes_are_on_their_way_while_the_follower_has_not_all_that_users_wrote(
    follower: SiteFacts, leading: SiteFacts, end: Position | None, *, fed: bool
) -> None:
    assert is_fed(follower, leading, end) is fed


@pytest.mark.parametrize(
    ("at", "ending", "teaches"),
    [
        ("back/drain", "complete", "never comes by back/drain: .* --ending roll-back"),
        ("complete", "soak", "never comes by complete: .* --ending complete"),
        ("rolled-back", "roll-back", "never comes by rolled-back: .* --ending roll-back-from:verify"),
        ("drain", "soon", "no ending is called 'soon'; there are soak, roll-back, complete, roll-back-from:"),
        ("drian", None, "no stage is called 'drian'"),
    ],
)
def test_a_point_and_an_ending_that_do_not_meet_are_refused(
    at: str, ending: str | None, teaches: str
) -> None:
    with pytest.raises(typer.BadParameter, match=teaches):
        run(fault="kill", victim="source", at=at, ending=ending)


def test_the_full_suite_strikes_at_every_point_somebody_who_is_busy_there() -> None:
    drills, victims = full(1), victims_by_point(PLAN)
    calm = {str(point) for point in POINTS if not (point.parted or point.gives_up)}
    assert {one.point for one in drills} >= calm
    for one in drills[len(smoke(1)) :]:
        point = Point.parse(str(one.point))
        assert one.victim in victims[point]
        assert one.ending == (point.ending or "soak")


def test_the_smoke_suite_kills_either_site_at_each_stage_and_goes_back_twice() -> None:
    drills = smoke(1)
    for stage in ("backfill", "catch-up", "verify", "drain", "cut-over", "soak"):
        assert {"source", "target"} <= {one.victim for one in drills if one.point == stage}
    assert {one.ending for one in drills} >= {"complete", "roll-back", "roll-back-from:verify"}


def test_a_fault_at_the_end_is_not_waited_for_before_the_end_was_asked_for() -> None:
    kill = Drill(seed=1, fault="kill", victim="source")
    assert replace(kill, point="back/drain").strikes_at_the_end
    assert not replace(kill, point="drain", ending="roll-back").strikes_at_the_end
    assert not replace(kill, point=RANDOM, ending="roll-back").strikes_at_the_end
    assert replace(kill, ending="roll-back-from:catch-up").early == "catch_up"
    assert replace(kill, ending="roll-back").early is None
