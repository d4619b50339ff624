"""What each mode of a link means for packets, and how the rules of many stacks are told apart."""

import pytest

from infra.containers.claims import (
    NEVER,
    Claim,
    from_comment,
    from_labels,
    is_dead,
    of_all,
    of_stack,
    this_process,
)
from infra.containers.netfilter import chain_of, parse, removals
from infra.containers.packets import QUEUED, Ends, Measure, Mode, also_hit, queues_of, rules_for
from infra.embedded import relay

ENDS = Ends(origin=["198.51.100.1"], destination=["198.51.100.2"], ports=[9000, 5432])
TO = "-s 198.51.100.1/32 -d 198.51.100.2/32 -p tcp -m multiport --dports 5432,9000"
BACK = "-s 198.51.100.2/32 -d 198.51.100.1/32 -p tcp -m multiport --sports 5432,9000"


def written(mode: Mode, ends: Ends = ENDS) -> list[str]:
    """Return the rules of a mode without their comments."""
    return [
        rule.replace(' -m comment --comment "why"', "")
        for rule in rules_for(mode, ends, Measure(queue=7), "why")
    ]


def test_every_mode_of_the_relays_is_one_of_packets_too() -> None:
    assert {mode.value for mode in relay.Mode} <= {mode.value for mode in Mode}
    assert Mode(relay.Mode.CUT_BACK) is Mode.CUT_BACK


def test_a_cut_link_drops_both_ways_and_a_half_cut_one_its_own() -> None:
    assert written(Mode.CUT) == [f"{TO} -j DROP", f"{BACK} -j DROP"]
    assert written(Mode.CUT_TO) == [f"{TO} -j DROP"]
    assert written(Mode.CUT_BACK) == [f"{BACK} -j DROP"]
    assert written(Mode.OPEN) == []


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.OPEN])
def test_every_rule_is_about_the_links_connections_only(mode: Mode) -> None:
    rules = written(mode)
    assert rules
    assert all(rule.startswith((f"{TO} ", f"{BACK} ")) for rule in rules)


def test_each_pair_of_addresses_has_its_rules() -> None:
    ends = Ends(
        origin=["198.51.100.1", "203.0.113.1"], destination=["198.51.100.2", "203.0.113.2"], ports=[1]
    )
    assert len(set(written(Mode.CUT, ends))) == 2 * 2 * 2


def test_a_reset_is_never_answered_by_a_reset() -> None:
    for mode in (Mode.REFUSE, Mode.RESET):
        assert all("RST" in rule or "--length" in rule for rule in written(mode))


@pytest.mark.parametrize("mode", QUEUED)
def test_packets_of_a_queue_whose_program_is_gone_pass(mode: Mode) -> None:
    rules = written(mode)
    assert all(rule.endswith("-j NFQUEUE --queue-num 7 --queue-bypass") for rule in rules)
    assert queues_of(rules) == {7}


def test_links_that_packets_cannot_tell_apart_are_named() -> None:
    links = {
        "operator-west": ENDS,
        "clients-west": ENDS,
        "clients-east": Ends(origin=ENDS.origin, destination=["198.51.100.3"], ports=ENDS.ports),
        "operator-agent": Ends(origin=ENDS.origin, destination=ENDS.destination, ports=[1]),
    }
    assert also_hit("operator-west", links) == ("clients-west",)


def test_a_claim_reads_back_from_labels_and_from_comments() -> None:
    claim = Claim(stack="shop-1", owner=this_process(), expires=1_800_000_000.0)
    assert from_labels(claim.labels()) == claim
    said = from_comment(claim.comment("east-west", "cut-to"))
    assert said is not None
    assert (said.claim, said.link, said.mode) == (claim, "east-west", "cut-to")


def test_labels_and_comments_of_others_are_no_claims() -> None:
    assert from_labels({"com.example": "x"}) is None
    assert from_comment("allow the printer / second floor") is None


def test_what_nobody_can_judge_is_not_left_over() -> None:
    here = this_process().partition("@")[0]
    assert not is_dead(f"{here}@another-machine.1")
    assert not is_dead("kept")
    assert not Claim(stack="x", owner="unreadable", expires=NEVER).is_left_over(now=1e12)


def test_a_claim_ends_with_its_owner_or_its_expiry() -> None:
    pid, _, rest = this_process().partition(":")
    assert not is_dead(f"{pid}:{rest}")
    assert is_dead(f"{pid}:1{rest}"), "the same pid with another start is somebody else"
    assert Claim(stack="x", owner=this_process(), expires=100.0).is_left_over(now=100.0)
    assert not Claim(stack="x", owner=this_process(), expires=100.0).is_left_over(now=99.0)


def saved(*claims: Claim) -> str:
    """Return a table in which each claim has broken a link, the first one having made the chain."""
    chain = chain_of(claims[0].stack)
    lines = [
        ":INPUT ACCEPT [0:0]",
        f":{chain} - [0:0]",
        '-A INPUT -s 198.51.100.9/32 -m comment --comment "mine" -j DROP',
    ]
    lines.append(f'-A INPUT -m comment --comment "{claims[0].comment()}" -j {chain}')
    lines += [
        f'-A {chain} -m comment --comment "{one.comment("east-west", "cut")}" -j DROP' for one in claims
    ]
    return "\n".join(["*filter", *lines, "COMMIT"])


def test_a_chain_that_nobody_holds_goes_with_what_leads_to_it_and_nothing_else() -> None:
    claim = Claim(stack="shop", owner="kept")
    (going,) = removals(parse(saved(claim)), of_stack("shop"))
    chain = chain_of("shop")
    assert going.lines == (
        f":{chain} - [0:0]",
        f'-D INPUT -m comment --comment "{claim.comment()}" -j {chain}',
        f"-X {chain}",
    )
    assert removals(parse(saved(claim)), of_stack("office")) == []


def test_of_a_chain_that_somebody_holds_only_the_rules_of_others_go() -> None:
    kept, visitor = Claim(stack="shop"), Claim(stack="shop", owner="visitor")
    (going,) = removals(parse(saved(kept, visitor, kept, visitor)), lambda claim: claim.owner == "visitor")
    assert going.lines == (f"-D {chain_of('shop')} 4", f"-D {chain_of('shop')} 2"), (
        "from the end: numbers shift"
    )


def test_nothing_of_a_machine_without_stacks_is_taken_away() -> None:
    assert removals(parse("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT"), of_all) == []
