"""Each runbook, once, on a stack of real processes: one night in which everything happens."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from infra.embedded.stack import EmbeddedStack
from resilience_tests.live.commands import Shop, opened_shop, shop_stack

pytestmark = pytest.mark.asyncio(loop_scope="module")

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
DEADLINE = 150.0  #: seconds; only a failure waits this long
GATES = "{approve_cutover: true, approve_merge: true, lag_seconds: 1.0}"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStack]:
    async with shop_stack(tmp_path_factory.mktemp("night")) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def shop(stack: EmbeddedStack, tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened_shop(stack, tmp_path) as shop:
        yield shop


@dataclass(frozen=True, slots=True)
class Ran:
    """How a runbook ended."""

    status: int
    answer: dict[str, Any]
    told: str  #: standard error


async def ran(shop: Shop, name: str, *words: str) -> Ran:
    """One runbook, as an operator starts it."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CUTOVER_")}
    environment["CUTOVER_STATE"] = str(shop.folder / "state")
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), *words, "--plan", str(shop.plan), "--json"]
    process = await asyncio.create_subprocess_exec(
        *command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE, env=environment
    )
    try:
        async with asyncio.timeout(DEADLINE):
            printed, told = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert process.returncode is not None
    return Ran(process.returncode, json.loads(printed) if printed else {}, told.decode())


async def read(shop: Shop, name: str, *words: str) -> Ran:
    """Without --yes, nothing is asked for."""
    before = len(await shop.journal())
    found = await ran(shop, name, *words)
    assert len(await shop.journal()) == before, found
    return found


async def done(shop: Shop, name: str, *words: str) -> Ran:
    """With --yes, what must be true after is."""
    found = await ran(shop, name, *words, "--yes")
    assert found.status == 0, f"{name}: {found.answer}\n{found.told}"
    return found


async def status(shop: Shop) -> dict[str, Any]:
    answer = dict((await shop.call("status", "--plan", str(shop.plan))).answer)
    return answer | dict(answer["details"])


async def test_a_night_in_which_every_decision_is_taken(shop: Shop) -> None:
    shop.write_plan(deletes="require_request", gates=GATES)
    await shop.to("catch-up")
    await _deletes_that_nobody_asked_for(shop)
    await _hold_and_go(shop)
    await _the_serving_site_is_lost(shop)
    await _it_comes_home(shop)
    await _the_witness_forgets(shop)
    await read(shop, "roll_back")
    await done(shop, "roll_back")
    assert (await status(shop))["stage"] == "rolled_back"
    assert await shop.try_to_write("east") is None


async def _deletes_that_nobody_asked_for(shop: Shop) -> None:
    assert (await read(shop, "release_brake")).status == 12
    await done(shop, "finish_or_abandon", "--finish")
    await shop.ask("east", """DELETE FROM "Shop"."Orders" WHERE "No" = 7""")
    await shop.until("it brakes", "west", "SELECT brake IS NOT NULL FROM cutover.follow")
    assert "without a user's request" in str((await read(shop, "release_brake")).answer["details"])
    await done(shop, "release_brake")


async def _hold_and_go(shop: Shop) -> None:
    await done(shop, "approve_cutover", "--hold")
    held = await read(shop, "approve_cutover")
    assert (held.status, "it is held" in held.answer["error"]) == (12, True)
    assert (await shop.call("resume")).status == 0
    await done(shop, "approve_cutover")
    assert await shop.try_to_write("west") is None
    assert await shop.try_to_write("east") == "25006"


async def _the_serving_site_is_lost(shop: Shop) -> None:
    """East had stopped following; both change one customer."""
    alive = await read(shop, "promote_survivor", "east")
    assert (alive.status, "has just renewed its lease" in alive.answer["error"]) == (12, True)
    (hits,) = (await shop.ask("west", "SELECT hits FROM visits WHERE page = 'page 0'"))[0]
    arrived = f"SELECT hits = {hits} FROM visits WHERE page = 'page 0'"
    await shop.until("what was written before is there", "east", arrived)
    await shop.stack.kill("east/worker")
    await shop.ask(
        "west", """UPDATE "Shop"."Customers" SET tags = '{west}' WHERE "E-Mail" = 'c1@example.org'"""
    )
    await shop.ask(
        "west", """UPDATE "Shop"."Customers" SET tags = '{west}' WHERE "E-Mail" = 'c2@example.org'"""
    )
    async with asyncio.timeout(DEADLINE):
        while (await status(shop))["behind"] != ["east"]:
            await asyncio.sleep(0.1)  # polls until its deadline
    await shop.stack.kill_site("west")
    known = await read(shop, "promote_survivor", "east")
    assert known.status == 0, known
    await done(shop, "promote_survivor", "east")
    await shop.ask(
        "east", """UPDATE "Shop"."Customers" SET tags = '{east}' WHERE "E-Mail" = 'c1@example.org'"""
    )


async def _tag(shop: Shop, site: str, customer: str) -> None:
    whose = f"'{customer}@example.org'"
    await shop.ask(site, f"""UPDATE "Shop"."Customers" SET tags = '{{{site}}}' WHERE "E-Mail" = {whose}""")


async def _it_comes_home(shop: Shop) -> None:
    assert (await read(shop, "bring_home")).status == 12
    await shop.stack.restart_site("west")
    await shop.stack.start("east/worker")
    await done(shop, "finish_or_abandon", "--finish")
    listed = await shop.call("stranded", "list")
    assert listed.answer["details"]["stranding"]["listed"]["rows"] == 2, listed
    await done(shop, "bring_home")
    (version,) = (await shop.call("quarantine", "list")).answer["details"]["kept"]
    number = str(version["number"])
    await read(shop, "resolve_quarantine", number, "--take")
    await done(shop, "resolve_quarantine", number, "--take")
    tags = await shop.ask(
        "east", """SELECT tags::text FROM "Shop"."Customers" WHERE "E-Mail" = 'c2@example.org'"""
    )
    assert tags == [("{west}",)]
    assert (await status(shop))["quarantine"] == 0


async def _the_witness_forgets(shop: Shop) -> None:
    assert (await read(shop, "rebuild_witness")).status == 12
    for key in await shop.witness():
        await shop.change_witness(key.removeprefix(shop.outputs.witness.prefix), None)
    waits = await ran(shop, "rebuild_witness", "--yes", "--wait", "8")
    assert waits.answer["details"]["findings"]["the register names east"] is True, waits
    await done(shop, "finish_or_abandon", "--finish")
    await done(shop, "bring_home")
    assert (await status(shop))["serving"] == "east"


async def test_a_site_that_will_never_be_back_is_abandoned(shop: Shop) -> None:
    await shop.to("catch-up")
    await shop.stack.kill_site("west")
    try:
        await read(shop, "finish_or_abandon", "--abandon")
        await done(shop, "finish_or_abandon", "--abandon")
        assert await shop.try_to_write("east") is None
    finally:
        await shop.stack.restart_site("west")
