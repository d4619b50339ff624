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
from infra.containers.netfilter import chain_of, chain_of_link, parse, removals
from infra.containers.packets import QUEUED, Ends, Measure, Mode, also_hit, queues_of, rules_for
from infra.embedded import relay

ENDS = Ends(origin=["198.51.100.1"], destination=["198.51.100.2"], ports=[9000, 5432])
CHAIN = "LINK"
FINDS_TO = "-s 198.51.100.1/32 -p tcp -m multiport --dports 5432,9000 -j LINKt"
FINDS_BACK = "-d 198.51.100.1/32 -p tcp -m multiport --sports 5432,9000 -j LINKb"
TO, BACK = "-d 198.51.100.2/32 -p tcp", "-s 198.51.100.2/32 -p tcp"


def written(mode: Mode, ends: Ends = ENDS) -> dict[str, list[str]]:
    """Return the rules of a mode without their comments."""
    rules = rules_for(mode, ends, Measure(queue=7), "why", CHAIN)
    return {
        chain: [rule.replace(' -m comment --comment "why"', "") for rule in these]
        for chain, these in rules.items()
    }


def acting(mode: Mode) -> list[str]:
    """Return the rules of a mode that do something."""
    rules = written(mode)
    return [*rules["LINKt"], *rules["LINKb"]]


def test_every_mode_of_the_relays_is_one_of_packets_too() -> None:
    assert {mode.value for mode in relay.Mode} <= {mode.value for mode in Mode}
    assert Mode(relay.Mode.CUT_BACK) is Mode.CUT_BACK


def test_a_cut_link_drops_both_ways_and_a_half_cut_one_its_own() -> None:
    both = {"LINK": [FINDS_TO, FINDS_BACK], "LINKt": [f"{TO} -j DROP"], "LINKb": [f"{BACK} -j DROP"]}
    assert written(Mode.CUT) == both
    assert written(Mode.CUT_TO) == both | {"LINK": [FINDS_TO], "LINKb": []}
    assert written(Mode.CUT_BACK) == both | {"LINK": [FINDS_BACK], "LINKt": []}
    assert written(Mode.OPEN) == {"LINK": [], "LINKt": [], "LINKb": []}


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.OPEN])
def test_every_rule_is_about_the_links_connections_only(mode: Mode) -> None:
    rules = written(mode)
    assert rules["LINK"]
    assert set(rules["LINK"]) <= {FINDS_TO, FINDS_BACK}
    assert all(rule.startswith(f"{TO} ") for rule in rules["LINKt"])
    assert all(rule.startswith(f"{BACK} ") for rule in rules["LINKb"])


def test_every_address_at_either_end_has_its_rules() -> None:
    ends = Ends(
        origin=["198.51.100.1", "203.0.113.1"], destination=["198.51.100.2", "203.0.113.2"], ports=[1]
    )
    assert [len(these) for these in written(Mode.CUT, ends).values()] == [4, 2, 2]


def test_a_reset_is_never_answered_by_a_reset() -> None:
    for mode in (Mode.REFUSE, Mode.RESET):
        assert all("RST" in rule or "--length" in rule for rule in acting(mode))


@pytest.mark.parametrize("mode", QUEUED)
def test_packets_of_a_queue_whose_program_is_gone_pass(mode: Mode) -> None:
    rules = acting(mode)
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


MAIN = chain_of("shop")


def saved(maker: Claim, **links: Claim) -> str:
    """Return a table in which somebody made the stack's chain and others broke links."""
    lines = [":INPUT ACCEPT [0:0]", f":{MAIN} - [0:0]", *(f":{_chain(link)} - [0:0]" for link in links)]
    lines.append('-A INPUT -s 198.51.100.9/32 -m comment --comment "mine" -j DROP')
    lines.append(f'-A INPUT -m comment --comment "{maker.comment()}" -j {MAIN}')
    for link, claim in links.items():
        lines.append(f'-A {MAIN} -m comment --comment "{claim.comment(link)}" -j {_chain(link)}')
        lines.append(f'-A {_chain(link)} -m comment --comment "{claim.comment(link, "cut")}" -j DROP')
    return "\n".join(["*filter", *lines, "COMMIT"])


def _chain(link: str) -> str:
    return chain_of_link("shop", link)


def test_chains_that_nobody_holds_go_with_what_leads_to_them_and_nothing_else() -> None:
    claim = Claim(stack="shop", owner="kept")
    (going,) = removals(parse(saved(claim, there=claim)), of_stack("shop"))
    assert going.lines == (
        f":{MAIN} - [0:0]",
        f":{_chain('there')} - [0:0]",
        f'-D INPUT -m comment --comment "{claim.comment()}" -j {MAIN}',
        f"-X {MAIN}",
        f"-X {_chain('there')}",
    )
    assert removals(parse(saved(claim, there=claim)), of_stack("office")) == []


def test_of_chains_that_somebody_holds_only_the_rules_of_others_go() -> None:
    kept, visitor = Claim(stack="shop"), Claim(stack="shop", owner="visitor")
    (going,) = removals(parse(saved(kept, there=kept, back=visitor)), lambda claim: claim.owner == "visitor")
    assert going.lines == (f":{_chain('back')} - [0:0]",)
    (going,) = removals(
        parse(saved(visitor, there=kept, back=visitor)), lambda claim: claim.owner == "visitor"
    )
    assert going.lines == (f":{_chain('back')} - [0:0]",), "what leads to a rule that stays, stays"


def test_names_of_chains_are_as_short_as_the_kernel_wants_them() -> None:
    assert len(chain_of_link("a" * 24, "operator-witness") + "t") <= 28


def test_nothing_of_a_machine_without_stacks_is_taken_away() -> None:
    assert removals(parse("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT"), of_all) == []
