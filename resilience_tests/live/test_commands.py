"""The commands as their user meets them: own tables, real processes, from preflight to uninstall."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from infra.embedded.stack import EmbeddedStack
from resilience_tests.live.commands import Shop, as_told, opened_shop, shop_stack
from resilience_tests.live.customer import shopping
from resilience_tests.live.shop import PICTURES

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[EmbeddedStack]:
    async with shop_stack(tmp_path_factory.mktemp("shop")) as stack:
        yield stack


@pytest_asyncio.fixture(loop_scope="module")
async def shop(stack: EmbeddedStack, tmp_path: Path) -> AsyncIterator[Shop]:
    async with opened_shop(stack, tmp_path) as shop:
        yield shop


async def test_ones_own_tables_move_under_writes_and_come_back_with_what_the_target_took(shop: Shop) -> None:
    checked = await shop.call("plan", "check", str(shop.plan))
    assert (checked.status, checked.answer["next_steps"]) == (0, [f"cutover run {shop.plan}"]), checked
    told = (await shop.call("run", str(shop.plan), "--dry-run")).answer["details"]["moves"]
    async with shopping(shop) as customer:
        for stage in ("backfill", "verify"):
            await shop.to(stage)
        reached = await shop.call("run", str(shop.plan))
        assert (reached.status, reached.answer["stage"]) == (0, "soak"), reached
        assert reached.answer["next_steps"][0] == f"cutover status --watch --plan {shop.plan}"
        assert reached.answer["waiting_for"] == "an operator runs `cutover complete` or `cutover roll-back`"
        await customer.has_ordered("west")
        assert await shop.try_to_write("east") == "25006"
        status = await shop.call("status")
        assert (status.status, status.answer["stage"]) == (0, "soak"), status
        details = status.answer["details"]
        assert (details["serving"], details["epoch"], details["eligible"]) == ("west", 2, ["east"])
        assert [details["sites"][site]["fence"] for site in ("east", "west")] == ["closed", "open"]
        assert (await shop.call("verify")).status == 0
        back = await shop.call("roll-back")
        assert (back.status, back.answer["stage"]) == (0, "rolled_back"), back.error
        await customer.has_ordered("east")
        assert await shop.try_to_write("west") == "25006"
    moves = iter(await shop.moves())
    assert all(as_told(move) in moves for move in told), (
        "a move that the dry run told was not made, or not in order"
    )
    assert customer.turned_away >= 2
    assert await customer.missing("east") == []
    assert set(PICTURES) < set(await shop.objects("east"))


async def test_a_dry_run_tells_the_very_moves_that_are_then_journalled(shop: Shop) -> None:
    dry = await shop.call("run", str(shop.plan), "--dry-run")
    assert (dry.status, await shop.witness()) == (0, {})
    await shop.to("catch-up")
    halfway = await shop.call("run", str(shop.plan), "--dry-run")
    made = await shop.moves()
    assert (await shop.call("run", str(shop.plan))).status == 0
    journalled = await shop.moves()
    assert [as_told(move) for move in dry.answer["details"]["moves"]] == journalled
    assert [as_told(move) for move in halfway.answer["details"]["moves"]] == journalled[len(made) :]


async def test_after_complete_wiping_one_side_changes_nothing_on_the_other_and_uninstall_leaves_nothing(
    shop: Shop,
) -> None:
    before = {site: await shop.catalog(site) for site in ("east", "west")}
    assert (await shop.call("run", str(shop.plan))).status == 0
    rows, objects = await shop.rows("west"), await shop.objects("west")
    assert rows == await shop.rows("east")
    assert objects == await shop.objects("east")
    assert len(objects) == len(PICTURES)
    [(above,)] = await shop.ask(
        "west",
        'INSERT INTO "Shop"."Orders" (customer) SELECT customer FROM "Shop"."Orders" LIMIT 1 RETURNING "No"',
    )
    assert above > 500
    completed = await shop.call("complete", "--yes")
    assert (completed.status, completed.answer["stage"]) == (0, "complete"), completed
    for site in ("east", "west"):
        assert await shop.ask_server(site, "SELECT * FROM pg_replication_slots") == []
        assert (await shop.call("status")).answer["details"]["sites"][site]["following"] is False
    assert await shop.try_to_write("east") == "25006"
    rows = await shop.rows("west")
    await _wipe(shop, "east")
    assert (await shop.rows("west"), await shop.objects("west")) == (rows, objects)
    assert (await shop.call("uninstall", "--yes")).status == 0
    assert {site: await shop.catalog(site) for site in before} == before
    await _wipe(shop, "west")
    assert not any((await shop.rows("east")).values())
    assert await shop.try_to_write("west") is None


async def _wipe(shop: Shop, site: str) -> None:
    """Delete everything there, past any fence."""
    await shop.ask_server(
        site,
        """
        SET session_replication_role = replica;
        DO $$ DECLARE t regclass; BEGIN
            FOREACH t IN ARRAY ARRAY['"Shop"."Order Items"', '"Shop"."Orders"', '"Shop"."Customers"',
                'visits', 'pictures']::regclass[]
            LOOP
                EXECUTE format('ALTER TABLE %s DISABLE TRIGGER ALL', t);
                EXECUTE format('DELETE FROM %s', t);
                EXECUTE format('ALTER TABLE %s ENABLE TRIGGER ALL', t);
            END LOOP;
        END $$
        """,
    )
    await shop.empty_bucket(site)


@pytest.mark.parametrize("stage", ["backfill", "catch-up", "verify"])
async def test_rolled_back_early_the_source_is_as_it_was(shop: Shop, stage: str) -> None:
    before = await shop.catalog("east"), await shop.catalog("west")
    async with shopping(shop) as customer:
        await shop.to(stage)
        back = await shop.call("roll-back")
        assert (back.status, back.answer["stage"]) == (0, "rolled_back"), back.error
        await customer.has_ordered("east")
    assert (customer.turned_away, await customer.missing("east")) == (0, [])
    assert await shop.catalog("east") == before[0]
    assert await shop.try_to_write("west") == "25006"
    assert (await shop.call("uninstall", "--yes")).status == 0
    assert (await shop.catalog("east"), await shop.catalog("west")) == before


async def test_rolled_back_in_a_drain_whose_coordinator_was_killed_the_source_serves_again(
    shop: Shop,
) -> None:
    before = await shop.catalog("east")
    shop.write_plan(gates="{approve_cutover: true, lag_seconds: 60, drain_seconds: 300}")
    running = await shop.closed_and_not_drained()
    await running.kill()
    assert await shop.try_to_write("east") == "25006"
    rows = await shop.rows("east")
    await shop.stack.resume("west/worker")
    back = await shop.call("roll-back")
    assert (back.status, back.answer["stage"]) == (0, "rolled_back"), back.error
    assert await shop.rows("east") == rows
    async with shopping(shop) as customer:
        assert customer.turned_away == 0
    assert await shop.catalog("east") == before


@pytest.mark.parametrize(
    ("sequence", "action", "granted"),
    [("pictures_id_seq", "move-sequences", False), ("cutover.fence_state", "open-site", True)],
    ids=["before the epoch is granted", "after it"],
)
async def test_rolled_back_in_a_cutover_whose_coordinator_was_killed_no_write_is_lost(
    shop: Shop, sequence: str, action: str, *, granted: bool
) -> None:
    """A lock on a sequence keeps the action from ending; nothing else needs it."""
    before = await shop.catalog("east")
    shop.write_plan(gates="{approve_cutover: true, drain_seconds: 300}")
    async with shopping(shop) as customer:
        running = await shop.start("run", str(shop.plan))
        await running.says("cutover approve")
        async with shop.holding("west", f"ALTER SEQUENCE {sequence} OWNED BY NONE"):
            assert (await shop.call("approve")).status == 0
            await running.says(f"cut over: {action}")
            await running.kill()
        back = await shop.call("roll-back")
        assert (back.status, back.answer["stage"]) == (0, "rolled_back"), back.error
        await customer.has_ordered("east")
    assert await customer.missing("east") == []
    grants = [entry["facts"] for entry in await shop.journal() if "epoch" in entry["facts"]]
    assert ("west" in {facts.get("serving") for facts in grants}) == granted
    if not granted:
        assert await shop.catalog("east") == before


async def test_pausing_holds_a_migration_and_of_two_coordinators_the_later_one_finishes(shop: Shop) -> None:
    shop.write_plan(gates="{approve_cutover: true}")
    first = await shop.start("run", str(shop.plan))
    await first.says("cutover approve")
    assert (await shop.call("pause")).status == 0
    await first.says("cutover resume")
    assert (await shop.call("approve")).status == 0
    waiting = await shop.call("status")
    assert waiting.answer["waiting_for"] == "an operator runs `cutover resume`"
    assert waiting.answer["next_steps"] == ["cutover resume"]
    second = await shop.start("run", str(shop.plan))
    await second.says("cutover resume")
    assert (await shop.call("resume")).status == 0
    ended = await first.end()
    assert (ended.status, "another coordinator has taken over" in ended.error) == (12, True), ended
    ended = await second.end()
    assert (ended.status, ended.answer["stage"]) == (0, "soak"), ended
    assert await shop.rows("west") == await shop.rows("east")


async def test_a_delete_that_nobody_asked_for_puts_the_brake_on_until_it_is_released(shop: Shop) -> None:
    shop.write_plan(deletes="require_request", gates="{approve_cutover: true}")
    running = await shop.start("run", str(shop.plan))
    await running.says("cutover approve")
    await shop.ask("east", """DELETE FROM "Shop"."Orders" WHERE "No" = 7""")
    await running.says("brake release")
    assert len(await shop.ask("west", """SELECT 1 FROM "Shop"."Order Items" WHERE "Order No" = 7""")) == 4
    status = await shop.call("brake", "status")
    assert "deletes 5 row(s) without a user's request" in status.answer["details"]["brakes"]["west"], status
    assert status.answer["next_steps"] == ["cutover brake release"]
    assert (await shop.call("status")).answer["next_steps"] == [
        "cutover brake status",
        "cutover brake release",
    ]
    assert (await shop.call("brake", "release")).status == 0
    assert (await shop.call("approve")).status == 0
    ended = await running.end()
    assert (ended.status, ended.answer["stage"]) == (0, "soak"), ended
    assert await shop.rows("west") == await shop.rows("east")
    assert (await shop.call("brake", "status")).answer["details"]["brakes"] == {"east": None, "west": None}
