"""Each runbook in a drill: users at work, a person who does what it says, and the checkers at the end."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from cutover.cli.answer import Outcome
from cutover.engine.journalling import ask
from cutover.model.journal import Intent
from cutover.model.merge import Kept
from cutover.model.stage import Stage
from drill.sample_plan import sample_plan
from drill.simulator.nap import Nap
from drill.simulator.rehearsal import Rehearsal
from drill.simulator.world import World
from drill.verdict import Verdict
from resilience_tests.simulated.runbooks import NAMES, done, drilled, read, runbook, until, until_it_waits

PLAN = sample_plan()
ASKING = replace(PLAN, gates=replace(PLAN.gates, approve_cutover=True, approve_merge=True))
"""Nothing that cannot be taken back happens without a person."""


def held(ended: Rehearsal, stage: Stage) -> None:
    assert ended.stage is stage, ended.explained()
    assert ended.verdict is Verdict.HELD, ended.explained()


async def at_soak(world: World) -> None:
    await until(lambda: world.state.stage is Stage.SOAK and not world.state.pending)


def test_hold_and_go_at_the_cutover() -> None:
    async def night(world: World) -> None:
        await until_it_waits(world, "cutover approve")
        await done(world, "approve_cutover", "--hold", "--detach")
        assert (await read(world, "approve_cutover")).outcome is Outcome.REFUSED
        await ask(world.parts("operator"), Intent.RESUME)
        await until_it_waits(world, "cutover approve")
        assert (await read(world, "approve_cutover")).outcome is Outcome.DONE
        await done(world, "approve_cutover", "--detach")

    held(drilled(night, ASKING), Stage.SOAK)


def test_roll_back_with_what_the_target_took() -> None:
    async def night(world: World) -> None:
        await at_soak(world)
        await read(world, "roll_back")
        await done(world, "roll_back", "--detach")
        assert (await read(world, "roll_back")).outcome is Outcome.REFUSED

    held(drilled(night, PLAN), Stage.ROLLED_BACK)


def test_promote_the_survivor_past_the_lag_bound_and_bring_the_other_home() -> None:
    """West falls behind and east dies: nobody takes over before a person has seen what is missing."""

    async def night(world: World) -> None:
        await until_it_waits(world, "cutover approve")
        alive = await read(world, "promote_survivor", "west")
        assert "has just renewed its lease" in str(alive.error)
        await world.kill("worker west")
        await until(lambda: "west" in (world.witness.grant() or _NOBODY).behind)
        await world.kill_site("east")
        world.start("worker west")
        shown = await read(world, "promote_survivor", "west")
        assert "was past the lag bound" in shown.text
        await done(world, "promote_survivor", "west", "--detach")
        assert (await read(world, "bring_home")).outcome is Outcome.REFUSED
        world.restart_site("east")
        await until_it_waits(world, "cutover stranded merge")
        assert "listed: " in (await read(world, "bring_home")).text
        await done(world, "bring_home", "--detach")

    held(drilled(night, ASKING), Stage.SOAK)


def test_at_soak_a_coordinator_that_rests_hears_what_an_operator_asks_for() -> None:
    """It once went to sleep again on a promotion and on a brake that was released."""

    async def night(world: World) -> None:
        await at_soak(world)
        east = world.servers["east"]
        assert east.told is not None
        east.told = replace(east.told, braked="transaction 7 empties users")
        await done(world, "release_brake", "--detach")
        await world.kill("worker east")
        await until(lambda: "east" in (world.witness.grant() or _NOBODY).behind)
        await world.kill_site("west")
        world.start("worker east")
        await done(world, "promote_survivor", "east", "--detach")
        world.restart_site("west")
        await until(lambda: world.state.stage is Stage.VERIFY)
        await done(world, "roll_back", "--detach")

    held(drilled(night, PLAN), Stage.ROLLED_BACK)


class _NOBODY:
    behind = ()


def test_release_the_brake_that_was_looked_at() -> None:
    async def night(world: World) -> None:
        await until_it_waits(world, "cutover approve")
        west = world.servers["west"]
        assert (await read(world, "release_brake")).outcome is Outcome.REFUSED
        assert west.told is not None
        west.told = replace(west.told, braked="transaction 7 empties users")
        assert "transaction 7 empties users" in (await read(world, "release_brake")).text
        await done(world, "release_brake", "--detach")
        assert west.told.braked is None
        await done(world, "approve_cutover", "--detach")

    held(drilled(night, ASKING), Stage.SOAK)


def test_resolve_what_is_in_quarantine_one_by_one() -> None:
    async def night(world: World) -> None:
        await until_it_waits(world, "cutover approve")
        east = world.servers["east"]
        kept = Kept(
            table="public.users", key=("ada",), row={"name": "ada"}, site="west", reason="both changed it"
        )
        east.quarantine |= {1: kept, 2: kept}
        assert "both changed it" in (await read(world, "resolve_quarantine", "1", "--leave")).text
        await done(world, "resolve_quarantine", "1", "--leave")
        await done(world, "resolve_quarantine", "2", "--leave")
        assert (east.quarantine, sorted(east.decided)) == ({}, [1, 2])
        await done(world, "approve_cutover", "--detach")

    held(drilled(night, ASKING), Stage.SOAK)


def test_finish_what_a_dead_coordinator_left() -> None:
    async def night(world: World) -> None:
        await until(lambda: world.state.stage is Stage.CATCH_UP)
        await world.kill("coordinator")
        await read(world, "finish_or_abandon", "--finish")
        await done(world, "finish_or_abandon", "--finish")
        world.start("coordinator")

    held(drilled(night, PLAN), Stage.SOAK)


def test_abandon_a_site_that_will_never_be_back() -> None:
    async def night(world: World) -> None:
        await at_soak(world)
        await world.kill_site("east")
        shown = await read(world, "finish_or_abandon", "--abandon")
        assert "east does not answer" in shown.text
        await done(world, "finish_or_abandon", "--abandon", "--detach")

    ended = drilled(night, PLAN)
    assert ended.stage is Stage.COMPLETE, ended.explained()
    doubts = {found.checker: found.verdict for found in ended.findings if found.verdict is not Verdict.HELD}
    assert doubts == {"converged": Verdict.INCONCLUSIVE}, ended.explained()  # there is nobody to compare with


@pytest.mark.parametrize("stage", [Stage.VERIFY, Stage.SOAK], ids=lambda stage: stage.value)
@pytest.mark.parametrize("loses", ["all", "register", "journal"])
def test_rebuild_a_witness_that_lost_its_memory(stage: Stage, loses: str) -> None:
    """The site that served serves on, and nothing that it acknowledged is lost."""

    async def night(world: World) -> None:
        if stage is Stage.SOAK:
            await until_it_waits(world, "cutover approve")
            await done(world, "approve_cutover", "--detach")
            await at_soak(world)
        else:
            await until_it_waits(world, "cutover approve")
        served = world.serving
        refused = await _refused(world)
        assert "nothing to rebuild" in refused
        await world.kill("coordinator")
        if loses != "journal":
            world.witness.register = None
        if loses != "register":
            world.witness.entries.clear()
        await Nap(world.plan.lease.seconds)
        await read(world, "rebuild_witness")
        await _rebuilt(world, served)

    ended = drilled(night, ASKING)
    assert ended.verdict is Verdict.HELD, ended.explained()


async def _refused(world: World) -> str:
    from cutover.errors import Refused

    found = runbook("rebuild_witness")
    with pytest.raises(Refused) as raised:
        await found.look(world.parts("runbook"), found.asked([]))
    return str(raised.value)


async def _rebuilt(world: World, served: str) -> None:
    """Somebody agrees to the merge, the second time that it is run."""
    import asyncio

    rebuilding = asyncio.ensure_future(done(world, "rebuild_witness", "--detach"))
    await until(lambda: world.witness.grant() is not None and world.witness.grant().parted is not None)  # type: ignore[union-attr]
    world.start("coordinator")
    await until_it_waits(world, "cutover stranded merge")
    await done(world, "bring_home", "--detach")
    await rebuilding
    assert world.serving == served
    if served == "east":
        await ask(world.parts("operator"), Intent.RESUME)
        await until_it_waits(world, "cutover approve")
        await done(world, "approve_cutover", "--detach")


@pytest.mark.parametrize("room", ["simulated", "live"])
def test_each_runbook_is_read_and_carried_out_in_a_drill(room: str) -> None:
    """The next one, too. By what stands in the tests, such as `done(world, "roll_back")`."""
    tests = ast.parse((Path(__file__).parents[1] / room / "test_runbooks.py").read_text(encoding="utf-8"))
    only_read: set[str] = set()
    carried_out: set[str] = set()
    for call in (node for node in ast.walk(tests) if isinstance(node, ast.Call)):
        words = [getattr(word, "value", None) for word in call.args[1:]]
        match call.func, words:
            case ast.Name("read"), [str(name), *_]:
                only_read.add(name)
            case ast.Name("done"), [str(name), *_]:
                carried_out.add(name)
            case ast.Name("ran"), [str(name), *rest] if "--yes" in rest:
                carried_out.add(name)
    assert only_read == set(NAMES)
    assert carried_out == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_each_runbook_says_when_what_not_what_and_what_then(name: str) -> None:
    parts = [line.split("  ")[0] for line in runbook(name).doc.splitlines() if line[:1].isupper()]
    assert parts[1:] == ["When", "Don't", "Do", "Check", "If not"], f"scripts/{name}.py: {parts[1:]}"
