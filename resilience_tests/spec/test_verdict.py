"""One violation outweighs what nobody knows, and that outweighs what held."""

from itertools import permutations

from drill.verdict import Verdict, Witness, finding, worst


def test_the_worst_verdict_wins_in_any_order() -> None:
    for order in permutations(Verdict):
        assert worst(order) is Verdict.VIOLATED
    assert worst([Verdict.HELD, Verdict.INCONCLUSIVE, Verdict.HELD]) is Verdict.INCONCLUSIVE
    assert worst([Verdict.HELD]) is Verdict.HELD


def test_what_nobody_looked_at_is_not_held() -> None:
    assert worst([]) is Verdict.INCONCLUSIVE


def test_a_finding_keeps_its_doubts_beside_its_violations() -> None:
    lost, hidden = Witness(what="lost"), Witness(what="hidden")
    assert finding("c").verdict is Verdict.HELD
    assert finding("c", doubts=[hidden]).verdict is Verdict.INCONCLUSIVE
    both = finding("c", violations=[lost], doubts=[hidden])
    assert (both.verdict, both.witnesses) == (Verdict.VIOLATED, (lost, hidden))


def test_exit_codes_are_those_of_the_contract() -> None:
    assert {verdict.value: verdict.exit_code for verdict in Verdict} == {
        "held": 0,
        "inconclusive": 11,
        "violated": 10,
    }
