"""A drain whose coordinator died gives the source its writes back at its deadline, by itself."""

from pathlib import Path

from resilience_tests.live.commands import opened_shop, shop_stack


async def test_a_source_whose_coordinator_died_in_a_drain_takes_writes_again_at_the_deadline(
    tmp_path: Path,
) -> None:
    async with shop_stack(tmp_path) as stack, opened_shop(stack, tmp_path) as shop:
        shop.write_plan(gates="{approve_cutover: true, lag_seconds: 60, drain_seconds: 2}")
        running = await shop.closed_and_not_drained()
        await running.kill()
        assert await shop.try_to_write("east") == "25006"
        await shop.until(
            "the source is open again", "east", "SELECT last_value % 2 = 1 FROM cutover.fence_state"
        )
        assert await shop.try_to_write("east") is None
        made = [entry["stage"] for entry in await shop.journal() if entry["kind"] == "move"]
        assert made[-1] == "drain", "nobody but the agent gave the drain up"
        await shop.stack.resume("west/worker")
        again = await shop.call("run", str(shop.plan))
        assert (again.status, again.answer["stage"]) == (0, "soak"), again
        assert await shop.rows("west") == await shop.rows("east")
        drains = [
            entry for entry in await shop.journal() if entry["kind"] == "move" and entry["stage"] == "drain"
        ]
        assert len(drains) == 2
        assert await shop.try_to_write("west") is None
