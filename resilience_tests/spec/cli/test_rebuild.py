"""A witness that lost its memory: what is told of it, refused, and made anew."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cutover.cli.coordinator import coordinate
from cutover.engine.parts import Parts
from cutover.engine.rebuild import check_journal, plan_rebuild, rebuild, what_is_lost
from cutover.errors import Refused, SiteUnreachable
from cutover.model.action import Guard
from cutover.model.observation import Fence, FenceState, SiteFacts
from cutover.model.position import Position
from cutover.model.stage import Stage
from cutover.protocol.rebuild import survivor
from cutover.protocol.replay import replay
from resilience_tests.spec.cli.shell import Shell, in_time
from resilience_tests.spec.cli.world import PLAN, World, in_memory


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = in_memory(tmp_path, monkeypatch)
    world.add_post("east", "first")
    return world


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def forget(world: World) -> None:
    world.witness.register = None
    world.witness.entries.clear()


def at_soak(world: World, shell: Shell) -> Parts:
    assert shell.call("run", str(world.path))[1]["stage"] == "soak"
    return world.parts(world.plan)


async def test_a_site_that_was_never_opened_tells_nothing(world: World) -> None:
    with pytest.raises(Refused, match="no site was ever opened"):
        await plan_rebuild(world.parts(world.plan))


def test_a_witness_that_knows_all_is_left_alone(world: World, shell: Shell) -> None:
    parts = at_soak(world, shell)
    assert asyncio.run(what_is_lost(parts)) == []
    with pytest.raises(Refused, match="nothing to rebuild"):
        asyncio.run(rebuild(parts))
    assert world.servers["west"].opened


def test_an_older_register_is_told_from_the_newest(world: World, shell: Shell) -> None:
    parts = at_soak(world, shell)
    asyncio.run(what_is_lost(parts))  # as an agent does: both sites have seen the newest
    old = dict(world.witness.entries), world.witness.register
    assert shell.call("roll-back")[1]["stage"] == "rolled_back"
    world.witness.entries, world.witness.register = old
    asyncio.run(what_is_lost(parts))
    (first, *_) = asyncio.run(what_is_lost(parts))
    assert "has carried out entry" in first


def test_while_a_site_is_silent_nobody_knows_who_served(world: World, shell: Shell) -> None:
    parts = at_soak(world, shell)
    forget(world)
    world.down.add("east")
    with pytest.raises(SiteUnreachable):
        asyncio.run(rebuild(parts))
    assert (world.witness.register, world.witness.entries) == (None, {})
    assert world.servers["west"].opened


def test_the_site_with_the_newest_epoch_serves_and_the_journal_begins_anew(
    world: World, shell: Shell
) -> None:
    parts = at_soak(world, shell)
    forget(world)
    grant = asyncio.run(rebuild(parts))
    assert (grant.serving, grant.epoch, grant.eligible) == ("west", 3, ())
    assert grant.parted is not None
    assert (grant.parted.left, grant.parted.term, grant.parted.unsent.seconds) == ("east", grant.term, None)
    assert not any(server.opened for server in world.servers.values())
    state = replay([world.witness.entry(n) for n in sorted(world.witness.entries)])
    assert (state.stage, state.parted) == (Stage.PARTED, 3)
    world.add_post("east", "stranded")
    assert shell.call("run", str(world.path))[1]["stage"] == "soak"
    assert world.posts("west") == ["first", "stranded"]


class Cut(Exception):
    """The process was killed."""


def cut_after(parts: Parts, effects: int) -> Parts:
    """The same parts, of a process that is killed behind so many effects."""
    left = iter(range(effects))

    class Counted:
        def __init__(self, port: Any) -> None:
            self._port = port

        def __getattr__(self, name: str) -> Any:
            method = getattr(self._port, name)
            if name not in ("close", "append", "create", "compare_and_set", "remember_register"):
                return method

            async def counted(*given: Any, **named: Any) -> Any:
                if next(left, None) is None:
                    raise Cut
                return await method(*given, **named)

            return counted

    sites: Any = {name: Counted(site) for name, site in parts.sites.items()}
    register: Any = Counted(parts.register)
    journal: Any = Counted(parts.journal)
    return replace(parts, sites=sites, register=register, journal=journal)


@pytest.mark.parametrize("effects", range(8))
def test_killed_behind_any_effect_it_is_run_again_to_the_same_end(
    effects: int, world: World, shell: Shell
) -> None:
    parts = at_soak(world, shell)
    forget(world)
    try:
        asyncio.run(rebuild(cut_after(parts, effects)))
    except Cut:
        assert not all(server.opened for server in world.servers.values())
        asyncio.run(rebuild(parts))
    grant = world.witness.grant()
    assert grant is not None
    assert grant.serving == "west"
    assert grant.parted is not None
    assert grant.parted.epoch == grant.epoch
    state = replay([world.witness.entry(n) for n in sorted(world.witness.entries)])
    assert state.parted == grant.epoch
    assert shell.call("run", str(world.path))[1]["stage"] == "soak"


def test_an_epoch_that_one_site_was_shown_and_none_has_opened_is_passed_over(
    world: World, shell: Shell
) -> None:
    parts = at_soak(world, shell)
    forget(world)
    world.servers["east"].register_seen = (9, 400)
    grant = asyncio.run(rebuild(parts))
    seen = [server.register_seen for server in world.servers.values()]
    assert seen == [(grant.epoch, grant.revision)] * 2
    assert seen[0] > (9, 400)


def test_a_coordinator_of_before_is_refused_by_both_sites(world: World, shell: Shell) -> None:
    """One that had taken a term which no site has seen is refused, too."""
    parts = at_soak(world, shell)
    before = max(server.guard.term for server in world.servers.values())
    forget(world)
    asyncio.run(rebuild(parts))
    for site in parts.sites.values():
        with pytest.raises(Refused, match="another coordinator has taken over"):
            asyncio.run(site.close(guard=Guard(before + 5, 99)))


def test_a_journal_that_lost_its_tail_stops_every_coordinator(world: World, shell: Shell) -> None:
    parts = at_soak(world, shell)
    for n in sorted(world.witness.entries)[4:]:
        del world.witness.entries[n]
    with pytest.raises(Refused, match="has carried out entry"):
        asyncio.run(check_journal(parts))
    with in_time(), pytest.raises(Refused, match="has carried out entry"):
        asyncio.run(coordinate(parts))
    assert "has carried out entry" in shell.refused("run", str(world.path))


def facts(epoch: int, *, slot: bool = True, state: FenceState = FenceState.CLOSED) -> SiteFacts:
    return SiteFacts(fence=Fence(state=state, epoch=epoch), end=Position("one", 1, 9), slot=slot)


def every_pair() -> Iterator[tuple[SiteFacts, SiteFacts]]:
    kinds = [
        facts(epoch, slot=slot, state=state)
        for epoch in range(3)
        for slot in (True, False)
        for state in FenceState
    ]
    return ((east, west) for east in kinds for west in kinds)


def test_of_all_that_two_sites_can_show_only_one_newest_epoch_is_an_answer(world: World) -> None:
    """Whatever else they show, nobody is named who was not the last that could acknowledge."""
    named = 0
    for east, west in every_pair():
        linked = all(one.slot and one.fence.state is not FenceState.ABSENT for one in (east, west))
        try:
            serving = survivor(world.plan, {"east": east, "west": west})
        except Refused:
            assert not linked or east.fence.epoch == west.fence.epoch
            continue
        named += 1
        assert linked
        newest, other = (east, west) if serving == "east" else (west, east)
        assert newest.fence.epoch > other.fence.epoch
    assert named == 24


def test_a_prefix_whose_migration_has_ended_says_what_the_next_one_needs(world: World, shell: Shell) -> None:
    assert shell.call("run", str(world.path), "--until", "catch-up")[0] == 0
    assert shell.call("roll-back")[0] == 0
    again = shell.call("run", str(world.path))
    assert (again[0], again[1]["stage"]) == (0, "rolled_back")
    assert "name another witness prefix" in shell.text("run", str(world.path))
    other = world.folder / "other.yaml"
    other.write_text(PLAN.replace("name: move", "name: other"))
    for command in (["run", str(other)], ["plan", "check", str(other)]):
        told = shell.refused(*command)
        assert "prefix 'p/'" in told
        assert "cutover uninstall --plan" in told
