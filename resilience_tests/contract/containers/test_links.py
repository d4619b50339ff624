"""Links between real containers are broken as the modes say, at once, and only the ones that were meant."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from infra.containers.claims import Claim, this_process
from infra.containers.holders import HoldingUnavailable, check_available, mark_of
from infra.containers.links import Links
from infra.containers.netfilter import chain_of, read
from infra.containers.packets import Mode
from infra.embedded.processes import marked_with
from infra.topology import CLIENTS, OPERATOR, WITNESS
from resilience_tests.contract.containers.field import PORTS, WITHIN, Field, Peer, rules_of

LATE = 10.0
"""How late (seconds) what was sent over a cut link may come after the heal: TCP's next attempt."""


@dataclass(frozen=True)
class Sites:
    """East, west and the link's rules."""

    east: Peer
    west: Peer
    stack: str
    links: Links


@pytest.fixture(scope="module")
def peers(ground: Field) -> tuple[Peer, Peer]:
    """One container in the place of each site."""
    return ground.peer(), ground.peer()


@pytest.fixture
async def sites(ground: Field, peers: tuple[Peer, Peer]) -> AsyncIterator[Sites]:
    """Both sites with all links open before and after."""
    east, west = peers
    addresses = {
        "east": [east.address],
        "west": [west.address],
        WITNESS: ["198.51.100.1"],
        OPERATOR: [east.gateway],
        CLIENTS: [east.gateway],
    }
    claim = Claim(stack=ground.claim.stack, owner=this_process())
    links = Links(claim, addresses, PORTS)
    yield Sites(east, west, claim.stack, links)
    await links.close()


async def test_over_a_cut_link_nothing_passes_until_it_is_healed(sites: Sites) -> None:
    assert sites.east.open(sites.west.address, 5432) == "ok"
    assert sites.east.say("before") == "ok"
    await sites.links.cut("east-west")
    assert sites.east.say("meanwhile") == "TimeoutError"
    assert "meanwhile" not in sites.west.heard()
    assert sites.east.open(sites.west.address, 8000) == "TimeoutError"
    await sites.links.heal("east-west")
    assert sites.west.hears("meanwhile", LATE), "TCP sends it again"
    assert sites.east.open(sites.west.address, 8000) == "ok"


async def test_the_link_the_other_way_stays_open(sites: Sites) -> None:
    await sites.links.cut("east-west")
    assert sites.west.open(sites.east.address, 5432) == "ok"
    assert sites.west.say("the other way") == "ok"


async def test_a_link_that_is_cut_to_its_destination_still_carries_what_was_asked_before(
    sites: Sites,
) -> None:
    assert sites.east.open(sites.west.address, 5432) == "ok"
    await sites.links.cut("east-west", Mode.CUT_TO)
    assert sites.east.say("not asked") == "TimeoutError"
    assert "not asked" not in sites.west.heard()


async def test_with_the_way_back_cut_what_was_asked_is_done_and_nobody_is_told(sites: Sites) -> None:
    assert sites.east.open(sites.west.address, 5432) == "ok"
    await sites.links.cut("east-west", "cut-back")
    assert sites.east.say("done untold") == "TimeoutError"
    assert sites.west.hears("done untold", WITHIN)
    assert sites.east.open(sites.west.address, 5432) == "TimeoutError"


async def test_a_refusing_link_refuses_new_connections_and_resets_standing_ones(sites: Sites) -> None:
    assert sites.east.open(sites.west.address, 9000) == "ok"
    assert sites.east.say("before") == "ok"
    await sites.links.cut("east-west", Mode.REFUSE)
    assert sites.east.say("meanwhile") == "ConnectionResetError"
    assert sites.east.open(sites.west.address, 9000) == "ConnectionRefusedError"
    await sites.links.heal("east-west")
    assert sites.east.open(sites.west.address, 9000) == "ok"


async def test_a_resetting_link_accepts_connections_and_resets_them_with_their_first_data(
    sites: Sites,
) -> None:
    await sites.links.cut("east-west", Mode.RESET)
    assert sites.east.open(sites.west.address, 9000) == "ok"
    assert sites.east.say("first") == "ConnectionResetError"


async def test_only_the_services_that_were_named_are_cut(sites: Sites) -> None:
    await sites.links.cut("east-west", services=["postgres"])
    assert sites.east.open(sites.west.address, PORTS["postgres"]) == "TimeoutError"
    assert sites.east.open(sites.west.address, PORTS["s3"]) == "ok"


async def test_the_host_is_cut_off_as_any_place_is(sites: Sites) -> None:
    """The operator's packets pass other rules than those between containers."""
    change = await sites.links.cut("operator-west", Mode.REFUSE)
    with pytest.raises(ConnectionRefusedError):
        await _connect(sites.west.address, 5432)
    await _connect(sites.east.address, 5432)
    assert change.also == ("clients-west",)
    await sites.links.heal("operator-west")
    await _connect(sites.west.address, 5432)


async def test_on_a_lossy_link_that_loses_everything_nothing_passes(sites: Sites) -> None:
    await sites.links.cut("east-west", Mode.LOSSY, share=1.0)
    assert sites.east.open(sites.west.address, 5432) == "TimeoutError"


async def test_a_lossy_link_loses_some_and_tcp_sends_it_again(sites: Sites) -> None:
    assert sites.east.open(sites.west.address, 5432) == "ok"
    await sites.links.cut("east-west", Mode.LOSSY, share=0.2)
    for number in range(20):
        assert sites.east.say(f"word {number}", within=30.0) == "ok"


@pytest.mark.usefixtures("_holding")
async def test_a_narrow_link_takes_as_long_as_its_rate_says(sites: Sites) -> None:
    assert sites.east.open(sites.west.address, 5432) == "ok"
    rate = 1_000_000
    await sites.links.cut("east-west", Mode.NARROW, rate=rate)
    said = sites.east.said("x" * (3 * rate), within=60.0)
    assert said["outcome"] == "ok"
    assert said["seconds"] >= 3.0, "3 MB at 1 MB/s, each way"


@pytest.fixture
def _holding() -> None:
    try:
        check_available()
    except HoldingUnavailable as error:
        pytest.skip(f"NOT TRIED: {error}")


@pytest.mark.usefixtures("_holding")
@pytest.mark.parametrize(("mode", "least"), [(Mode.DELAY, 0.1), (Mode.SLOW, 0.05)])
async def test_a_delayed_link_takes_its_time_each_way_until_it_is_healed(
    sites: Sites, mode: Mode, least: float
) -> None:
    assert sites.east.open(sites.west.address, 5432) == "ok"
    await sites.links.cut("east-west", mode, seconds=0.05)
    said = sites.east.said("late", within=5.0)
    assert said["outcome"] == "ok"
    assert said["seconds"] >= least
    await sites.links.heal("east-west")
    assert sites.east.said("at once")["outcome"] == "ok"


@pytest.mark.usefixtures("_holding")
async def test_a_delay_that_has_ended_by_itself_fails_its_heal_and_the_link_is_open(sites: Sites) -> None:
    await sites.links.cut("east-west", Mode.DELAY, seconds=5.0)
    (pid,) = marked_with(mark_of(sites.stack))
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(HoldingUnavailable, match="exit status -9"):
        await sites.links.heal("east-west")
    assert await sites.links.broken() == []
    assert sites.east.open(sites.west.address, 5432) == "ok"


async def test_a_link_has_one_mode_at_a_time_and_healing_one_leaves_the_others(sites: Sites) -> None:
    await sites.links.cut("east-west", Mode.CUT)
    await sites.links.cut("east-west", Mode.REFUSE)
    await sites.links.cut("west-east", Mode.CUT_BACK)
    assert [(one.link, one.mode) for one in await sites.links.broken()] == [
        ("east-west", "refuse"),
        ("west-east", "cut-back"),
    ]
    await sites.links.heal("east-west")
    assert [one.link for one in await sites.links.broken()] == ["west-east"]
    await sites.links.heal()
    assert await sites.links.broken() == []


async def test_what_one_process_broke_another_can_heal(sites: Sites, ground: Field) -> None:
    await sites.links.cut("east-west")
    other = Links(ground.claim, {"east": [], "west": []}, PORTS)
    assert [one.link for one in await other.broken()] == ["east-west"]
    await other.heal("east-west")
    assert sites.east.open(sites.west.address, 5432) == "ok"


async def test_after_the_end_no_rule_of_the_stack_is_left(sites: Sites) -> None:
    await sites.links.cut("east-west")
    assert rules_of(sites.stack)
    await sites.links.close()
    assert rules_of(sites.stack) == []
    assert not [chain for chain in read().chains if chain.startswith(chain_of(sites.stack))]


async def test_a_link_that_there_is_not_is_named(sites: Sites) -> None:
    with pytest.raises(KeyError, match="no link 'east-north'"):
        await sites.links.cut("east-north")


async def _connect(host: str, port: int) -> None:
    _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), WITHIN)
    writer.close()
    await writer.wait_closed()
