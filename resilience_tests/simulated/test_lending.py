"""Leases that the peer lends while only the witness is gone: writes go on, and never at two sites."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from cutover.engine.act import Executor
from cutover.errors import Inconclusive
from cutover.model.action import PromoteSite
from cutover.model.plan import Lease
from cutover.model.stage import Stage
from drill.history import WRITES, Kind, Operation, history_of
from drill.planted.troubles import ELIGIBLE, until
from drill.sample_plan import sample_plan
from drill.schedule import Load, Schedule, Strike
from drill.simulator.nap import Nap
from drill.simulator.places import WITNESS
from drill.simulator.rehearsal import Rehearsal, conditions_of, events_of, play, rehearse
from drill.simulator.world import World
from drill.verdict import Verdict
from resilience_tests.simulated.apart import SURVIVOR, Apart, ending
from resilience_tests.spec.protocol.worlds import GRANT

LEASE = sample_plan().lease
AWAY = 8.0
"""For how long the witness is gone (seconds): longer than two leases and their margins."""
SLACK = 0.05
"""How much later an answer may come than its lease ended: the drift of a clock, and the way to the user."""
SOAKING = "t=5.000"
"""A time at which the target has served for a while, and its changes flow back."""
STAGES = {"verify": (ELIGIBLE, "soak"), "soak": (SOAKING, "soak"), "way back": ("back/drain", "roll-back")}
"""Where a site serves and users write: the point, and what the migration ends in."""
SERVES = {"verify": "east", "soak": "west", "way back": "west"}


def _load(*, lending: bool) -> Load:
    return Load(
        clients=8, uploads=30, others=200, most=900, pace_seconds=0.2, lasts_seconds=14.0, lending=lending
    )


def _drilled(stage: str, *faults: tuple[str, str], lending: bool, seed: int = 0) -> Rehearsal:
    """One migration that loses all of these at one point of this stage."""
    point, ending = STAGES[stage]
    strikes = tuple(Strike(fault=fault, victim=victim, point=point, seconds=AWAY) for fault, victim in faults)
    return play(Schedule(seed=seed, ending=ending, strikes=strikes, load=_load(lending=lending)))


def _struck(told: Rehearsal) -> tuple[float, float]:
    """When the last of the faults had struck, and when the first of them was undone."""
    events = events_of(told.history)
    struck = [event.t for event in events if event.type is Kind.FAULT]
    return max(struck), min(event.t for event in events if event.type is Kind.HEAL)


def _written(told: Rehearsal, begins: float, ends: float) -> list[Operation]:
    """The writes that were acknowledged between these times."""
    operations = history_of(events_of(told.history)).operations
    return [one for one in operations if one.ok and one.invoke.f in WRITES and begins <= _at(one) < ends]


def _at(operation: Operation) -> float:
    assert operation.completion is not None
    return operation.completion.t


def _sites(operations: list[Operation]) -> set[str | None]:
    return {one.completion.site for one in operations if one.completion is not None}


def _seconds_without_a_write(told: Rehearsal, begins: float, ends: float) -> list[int]:
    """The whole seconds between the two, counted from the first, in which no write was acknowledged."""
    written = {int(_at(one) - begins) for one in _written(told, begins, ends)}
    return sorted(set(range(int(ends - begins))) - written)


# -- only the witness is gone ----------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", ["kill", "partition", "pause"])
def test_while_only_the_witness_is_gone_users_write_on(stage: str, fault: str) -> None:
    told = _drilled(stage, (fault, "witness"), lending=True)
    struck, healed = _struck(told)
    over = struck + LEASE.seconds + LEASE.margin
    assert not _seconds_without_a_write(told, over, healed)
    assert _sites(_written(told, over, healed)) == {SERVES[stage]}
    assert told.evidence.announced is None, "nobody was promoted"
    assert told.verdict is Verdict.HELD, told.explained()


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("fault", ["kill", "partition"])
def test_without_lending_nobody_writes_from_the_end_of_the_lease_until_the_witness_is_back(
    stage: str, fault: str
) -> None:
    told = _drilled(stage, (fault, "witness"), lending=False)
    struck, healed = _struck(told)
    assert _sites(_written(told, struck, struck + LEASE.seconds)) == {SERVES[stage]}
    assert not _written(told, struck + LEASE.seconds + SLACK, healed)
    assert _written(told, healed, told.seconds)
    assert told.verdict is Verdict.HELD, told.explained()


# -- the peer is gone, too -------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["verify", "soak"])
@pytest.mark.parametrize(
    "faults",
    [
        (("kill", "witness"), ("partition", "sites")),
        (("kill", "witness"), ("kill", "peer")),
        (("partition", "witness"), ("partition", "sites")),
    ],
    ids=lambda faults: ", ".join(" ".join(one) for one in faults),
)
def test_without_witness_and_peer_a_site_stops_within_its_lease(
    stage: str, faults: tuple[tuple[str, str], ...]
) -> None:
    peer = "target" if SERVES[stage] == "east" else "source"
    named = tuple((fault, peer if victim == "peer" else victim) for fault, victim in faults)
    told = _drilled(stage, *named, lending=True)
    struck, healed = _struck(told)
    assert _sites(_written(told, struck, struck + LEASE.seconds)) == {SERVES[stage]}
    assert not _written(told, struck + LEASE.seconds + SLACK, healed)
    assert told.verdict is Verdict.HELD, told.explained()


@pytest.mark.parametrize("stage", ["verify", "soak"])
def test_a_site_that_is_cut_off_stops_within_its_lease_and_its_peer_takes_over(stage: str) -> None:
    victim = "source" if SERVES[stage] == "east" else "target"
    told = _drilled(stage, ("partition", victim), lending=True)
    struck, healed = _struck(told)
    left, (survivor,) = SERVES[stage], {"east", "west"} - {SERVES[stage]}
    assert left not in _sites(_written(told, struck + LEASE.seconds + SLACK, healed))
    assert survivor in _sites(_written(told, struck + LEASE.seconds + LEASE.margin, healed))
    assert told.verdict is not Verdict.VIOLATED, told.explained()  # a person may have to choose


# -- one site hears the witness, and the other does not ----------------------------------------


@dataclass
class Watched:
    """Times of a drill in which the target serves, and where its peer's last loan ends (seconds)."""

    begins: float = 0.0
    ends: float = 0.0
    lent_until: float = 0.0

    async def peer_is_deaf(self, world: World) -> None:
        """Only the site that does not serve is cut off from the witness."""
        await self._after_a_while(world)
        await self._deaf(world, world.plan.source, AWAY)
        self.ends = asyncio.get_running_loop().time()
        await Nap(LEASE.seconds + LEASE.margin)

    async def serving_is_deaf(self, world: World) -> None:
        """Only the site that serves is: its peer sees no renewal any more, and wants to take over."""
        await self._after_a_while(world)
        await self._deaf(world, world.plan.target, 4 * LEASE.seconds)
        self.lent_until = world.servers[world.plan.source].lent_until

    async def heir_hears(self, world: World) -> None:
        """The witness dies, and comes back to the peer alone."""
        await self._alone_with_the_heir(world, restarted=False)

    async def restarted_heir_hears(self, world: World) -> None:
        """The same, and the peer loses its power just before; from then on nobody asks it to lend."""
        await self._alone_with_the_heir(world, restarted=True)

    async def _alone_with_the_heir(self, world: World, *, restarted: bool) -> None:
        heir, witness = world.plan.source, world.hosts[WITNESS]
        await self._after_a_while(world)
        await witness.die()
        await Nap(LEASE.seconds + LEASE.margin + 2.0)
        if restarted:
            await world.kill_site(heir, power=True)
            world.restart_site(heir)
        witness.up = True
        self.ends = asyncio.get_running_loop().time()
        away = [WITNESS, heir] if restarted else [WITNESS]
        await self._deaf(world, world.plan.target, 3 * LEASE.seconds, away)
        self.lent_until = world.servers[heir].lent_until

    async def _after_a_while(self, world: World) -> None:
        """In soak, with a renewal that the peer's agent has just seen."""
        await until(world, Stage.SOAK)
        await Nap(LEASE.seconds / 2)
        grant = world.witness.grant()
        while world.witness.grant() == grant:
            await Nap(LEASE.seconds / 100)
        await Nap(LEASE.seconds / 8)
        self.begins = asyncio.get_running_loop().time()

    async def _deaf(self, world: World, site: str, seconds: float, away: Sequence[str] = (WITNESS,)) -> None:
        ways = world.network.between(site, list(away))
        for way in ways:
            way.cuts += 1
        await Nap(seconds)
        for way in ways:
            way.cuts -= 1


def _disturbed(disturb: Callable[[World], Awaitable[None]], seed: int = 0) -> Rehearsal:
    load = replace(_load(lending=True), lasts_seconds=0.0)
    return rehearse(seed, ending="soak", conditions=conditions_of(load), disturb=disturb)


def test_a_peer_that_alone_did_not_hear_the_witness_is_not_promoted_when_it_hears_it_again() -> None:
    watched = Watched()
    told = _disturbed(watched.peer_is_deaf)
    assert not _seconds_without_a_write(told, watched.begins, watched.ends + LEASE.seconds + LEASE.margin)
    assert _sites(_written(told, watched.begins, told.seconds)) == {"west"}
    assert told.evidence.announced is None, "nobody was promoted"
    assert told.verdict is Verdict.HELD, told.explained()


def test_a_site_that_alone_does_not_hear_the_witness_borrows_until_its_peer_takes_over() -> None:
    """A peer that wants to take over lends no more, and waits for the end of what it has lent."""
    watched = Watched()
    told = _disturbed(watched.serving_is_deaf)
    over = watched.begins + LEASE.seconds + SLACK
    assert _sites(_written(told, over, over + 1.0)) == {"west"}, "it serves on what was lent"
    _assert_taken_over(told, watched)


def _assert_taken_over(told: Rehearsal, watched: Watched) -> None:
    """East serves, and has begun only when nothing that it had lent ran any more."""
    at_east = [one for one in _written(told, watched.begins, told.seconds) if _sites([one]) == {"east"}]
    assert at_east
    assert _at(at_east[0]) > watched.lent_until - SLACK
    assert told.evidence.announced is not None
    assert told.evidence.announced.site == "west"
    assert told.verdict is not Verdict.VIOLATED, told.explained()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_peer_that_has_lent_takes_over_only_when_its_loan_is_over(*, restarted: bool) -> None:
    """It has seen no renewal for longer than a lease when the witness is back; restarted, it counts anew."""
    watched = Watched()
    told = _disturbed(watched.restarted_heir_hears if restarted else watched.heir_hears)
    over = watched.begins + LEASE.seconds + LEASE.margin
    assert _sites(_written(told, over, watched.ends)) == {"west"}, "it serves on what was lent"
    runs = watched.lent_until - watched.ends
    assert runs > (LEASE.seconds + LEASE.margin if restarted else LEASE.seconds)
    _assert_taken_over(told, watched)


def test_an_operator_cannot_promote_a_site_while_what_it_has_lent_may_run() -> None:
    async def story(apart: Apart) -> None:
        plan = replace(apart.parts.plan, lease=Lease(seconds=3.0, margin=0.5, lending=True))
        parts, west = replace(apart.parts, plan=plan), apart.parts.sites["west"]
        await parts.register.create(GRANT)
        assert await west.lend(epoch=1, lease_count=1, seconds=3.5)
        promote = PromoteSite("west", GRANT.lease_count)
        for seconds in (0.0, 3.4):
            await asyncio.sleep(seconds)
            with pytest.raises(Inconclusive, match="'west' has lent"):
                await Executor(parts).carry_out(promote, SURVIVOR)
        assert not await west.lend(epoch=1, lease_count=1, seconds=3.5), "it was withheld meanwhile"
        await asyncio.sleep(0.2)
        assert await Executor(parts).carry_out(promote, SURVIVOR) == {"epoch": 2}

    ending(story)
