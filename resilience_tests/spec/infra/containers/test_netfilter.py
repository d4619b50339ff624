"""A link is only called cut where packets meet the rules that cut it, and where none was, no rule is made."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from infra.containers import netfilter
from infra.containers.claims import Claim
from infra.containers.links import Links
from infra.containers.netfilter import (
    HOOKS,
    RulesUnavailable,
    Table,
    chain_of,
    chain_of_link,
    check_available,
    check_met,
    is_reachable,
    parse,
    replace_rules,
)
from resilience_tests.spec.infra.containers.test_routes import table_with

JUMP = "-A FORWARD -j DOCKER-USER"
BRIDGE = "br-0123456789ab"
CLAIM = Claim(stack="shop")
PORTS = {"postgres": 5432, "s3": 9000, "platform": 8000, "agent": 8001}
OURS = "198.51.100.7"

PASSING: tuple[Sequence[str], ...] = (
    ["-A FORWARD -j ACCEPT"],
    ["-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
    ["-A FORWARD -p tcp -j ACCEPT"],
    ["-A FORWARD ! -i eth0 -j ACCEPT"],
    ["-A FORWARD -j NFQUEUE --queue-num 0 --queue-bypass"],
    ["-A FORWARD -m mark --mark 0x1 -j RETURN"],
    ["-A FORWARD -j office", "-A office -m conntrack --ctstate ESTABLISHED -j ACCEPT"],
    ["-A FORWARD -j office", "-A office -j floor", "-A floor -j ACCEPT"],
    ["-A FORWARD -g office"],
)
HARMLESS: tuple[Sequence[str], ...] = (
    [],
    ["-A FORWARD -i eth0 -o eth1 -j ACCEPT"],
    ["-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"],
    ["-A FORWARD -p udp -j ACCEPT"],
    ["-A FORWARD -i tun+ -j ACCEPT"],
    ["-A FORWARD -j LOG --log-prefix x"],
    ["-A FORWARD -j office", "-A office -i eth0 -j ACCEPT", "-A office -j RETURN"],
)


def table(*lines: str) -> Table:
    """Return what iptables-save would say with these rules of the chain FORWARD and of others."""
    chains = [":FORWARD ACCEPT [0:0]", ":DOCKER-USER - [0:0]", ":office - [0:0]", ":floor - [0:0]"]
    return parse("\n".join(["*filter", *chains, *lines, "-A DOCKER-USER -j RETURN", "COMMIT"]))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """A machine on which everything is there but the packet rules, which each test says."""
    bridged = tmp_path / "bridged"
    bridged.write_text("1\n")
    monkeypatch.setattr(netfilter, "_BRIDGED", bridged)
    monkeypatch.setattr(netfilter, "_PAUSES", (0.0,), raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(shutil, "which", lambda program: f"/usr/sbin/{program}")
    return monkeypatch


def say(machine: pytest.MonkeyPatch, *tables: Table) -> None:
    """Let the machine have one table after the other."""
    left = list(tables)
    machine.setattr(netfilter, "read", lambda: left.pop(0) if len(left) > 1 else left[0])


def test_a_chain_to_which_nothing_leads_cuts_no_link(machine: pytest.MonkeyPatch) -> None:
    say(machine, table())
    with pytest.raises(RulesUnavailable, match="does not lead every packet to DOCKER-USER"):
        check_available()


def test_a_chain_to_which_some_packets_are_led_cuts_no_link(machine: pytest.MonkeyPatch) -> None:
    say(machine, table("-A FORWARD -i eth0 -j DOCKER-USER"))
    with pytest.raises(RulesUnavailable, match="does not lead every packet to DOCKER-USER"):
        check_available()


@pytest.mark.parametrize("before", PASSING, ids=" ".join)
def test_a_link_is_not_cut_behind_a_rule_that_lets_its_packets_pass(
    machine: pytest.MonkeyPatch, before: Sequence[str]
) -> None:
    say(machine, table(*before, JUMP))
    with pytest.raises(RulesUnavailable, match=f"may pass at `{before[0]}`"):
        check_available()
    check_met(table(JUMP, *before))


@pytest.mark.parametrize("before", HARMLESS, ids=" ".join)
def test_rules_about_other_packets_may_come_first(before: Sequence[str]) -> None:
    check_met(table(*before, JUMP), [BRIDGE])


def test_the_jump_may_say_why_it_is_there() -> None:
    check_met(table('-A FORWARD -m comment --comment "of the engine" -j DOCKER-USER'))


@pytest.mark.parametrize("interface", [BRIDGE, "br-+", "+"])
def test_a_rule_about_the_bridge_of_a_stack_is_about_its_packets(interface: str) -> None:
    passing = table(f"-A FORWARD -i {interface} -o {interface} -j ACCEPT", JUMP)
    with pytest.raises(RulesUnavailable, match="may pass"):
        check_met(passing, [BRIDGE])
    check_met(passing)


def test_the_bridge_of_a_stack_is_where_the_routes_to_its_addresses_lead(
    machine: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table_with(machine, tmp_path, "eth0 0.0.0.0/0", f"{BRIDGE} 198.51.100.0/24")
    say(machine, table(f"-A FORWARD -i {BRIDGE} -j ACCEPT", JUMP))
    check_available(["203.0.113.1"])
    with pytest.raises(RulesUnavailable, match="may pass"):
        check_available([OURS])


def test_a_jump_that_the_engine_is_moving_is_waited_for(machine: pytest.MonkeyPatch) -> None:
    """An engine that makes a network takes it away, and puts it back."""
    say(machine, table(), table(JUMP))
    check_available()


@pytest.fixture
def restored(machine: pytest.MonkeyPatch, tmp_path: Path) -> list[list[str]]:
    """Keep what the kernel would be told, change by change."""
    told: list[list[str]] = []
    machine.setattr(netfilter, "_LOCK", tmp_path / "lock")
    machine.setattr(netfilter, "_restore", lambda lines: told.append(list(lines)))
    return told


@pytest.mark.parametrize("link", [None, "east-west"])
@pytest.mark.parametrize("machines", [table(JUMP), parse("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT")])
def test_where_nothing_was_cut_healing_changes_nothing(
    machine: pytest.MonkeyPatch, restored: list[list[str]], machines: Table, link: str | None
) -> None:
    say(machine, machines)
    assert replace_rules(CLAIM, link, {}) == []
    assert replace_rules(CLAIM, link, {"any": []}) == []
    assert restored == []


def test_healing_empties_the_chains_that_there_are_and_makes_none(
    machine: pytest.MonkeyPatch, restored: list[list[str]]
) -> None:
    cut = chain_of_link("shop", "east-west")
    say(
        machine,
        parse(f":FORWARD ACCEPT [0:0]\n:{chain_of('shop')} - [0:0]\n:{cut} - [0:0]\n-A {cut} -j DROP"),
    )
    assert replace_rules(CLAIM, None, {}) == ["-j DROP"]
    assert replace_rules(CLAIM, "east-west", {}) == ["-j DROP"]
    assert restored == [[f":{cut} - [0:0]"]] * 2


def test_a_cut_makes_what_leads_to_it(machine: pytest.MonkeyPatch, restored: list[list[str]]) -> None:
    say(machine, table(JUMP))
    cut = chain_of_link("shop", "east-west")
    assert replace_rules(CLAIM, "east-west", {cut: ["-j DROP"]}) == []
    (lines,) = restored
    assert [line.split()[1] for line in lines if line.startswith("-I")] == list(HOOKS)
    assert lines[-1] == f"-A {cut} -j DROP"


def test_a_root_that_may_not_read_the_rules_has_cut_nothing(machine: pytest.MonkeyPatch) -> None:
    say(machine, table())
    assert is_reachable()
    machine.setattr(netfilter, "read", unreadable)
    assert not is_reachable()


async def test_what_cannot_be_healed_after_a_cut_is_told(
    machine: pytest.MonkeyPatch, restored: list[list[str]]
) -> None:
    """Rules that can no longer be read may still be there."""
    say(machine, table(JUMP))
    links = Links(CLAIM, {"east": ["198.51.100.1"], "west": ["198.51.100.2"]}, PORTS)
    await links.cut("east-west")
    machine.setattr(netfilter, "read", unreadable)
    for undo in (links.heal, links.broken, links.close):
        with pytest.raises(RulesUnavailable):
            await undo()
    assert len(restored) == 1


def unreadable() -> Table:
    raise RulesUnavailable("iptables-save failed: Permission denied (you must be root)")
