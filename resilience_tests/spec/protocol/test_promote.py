"""What the register says when a lease is renewed, and when a survivor is named."""

from dataclasses import replace
from itertools import product

import pytest

from cutover.errors import Refused, Superseded
from cutover.model.observation import Fence, FenceState, Lead
from cutover.model.position import Position
from cutover.model.register import Unsent
from cutover.protocol.attend import Promote, StandDown, TakeOffice, Watch, attend
from cutover.protocol.promote import promoted, with_lead
from resilience_tests.spec.protocol.worlds import GRANT, PLAN

LEAD = Lead(end=Position("db", 1, 9), confirmed=None, transactions=0, settled=0, sequences=(("s", 10),))
LATE = Unsent(seconds=99.0, transactions=5, end="db/1/9")
CLOSED = Fence(state=FenceState.CLOSED)


@pytest.mark.parametrize("eligible", [("west",), ()])
@pytest.mark.parametrize("unsent", [LATE, replace(LATE, seconds=None)])
def test_a_peer_past_the_bound_is_named_before_it_may_earn_its_eligibility(
    eligible: tuple[str, ...], unsent: Unsent
) -> None:
    """A coordinator that was held up may mark it eligible just before the serving site dies."""
    renewed = with_lead(replace(GRANT, eligible=eligible), PLAN, LEAD, unsent)
    marked = replace(renewed, eligible=("west",))
    assert attend(PLAN, "west", CLOSED, marked, Watch(silent=99.0)) == ()
    well = with_lead(marked, PLAN, LEAD, replace(unsent, seconds=0.1))
    assert attend(PLAN, "west", CLOSED, well, Watch(silent=99.0)) == (Promote(GRANT.lease_count),)


def test_no_ceiling_is_lowered_and_each_is_above_what_was_given_out() -> None:
    for value, ceiling in product((0, 10, 499_999, 500_001, 3_000_000), (0, 1_000_000, 2_000_000)):
        grant = replace(GRANT, ceilings=(("s", ceiling),))
        renewed = with_lead(grant, PLAN, replace(LEAD, sequences=(("s", value),)), Unsent())
        raised = dict(renewed.ceilings)["s"]
        assert raised >= max(ceiling, value + 500_000), f"{value} under {ceiling}: {raised}"


def test_a_ceiling_leaves_most_of_a_small_sequence_to_the_survivor_and_fits_it_to_the_end() -> None:
    """Ids are given out a few at a time up to the end, each few between two renewals."""
    bound, value, grant = 32767, 0, GRANT
    while value < bound:
        value = min(bound, value + max(1, (bound - value) // 20))
        assert value <= dict(grant.ceilings).get("s", bound)
        lead = replace(LEAD, sequences=(("s", value),), bounds=(("s", bound),))
        grant = with_lead(grant, PLAN, lead, Unsent())
        ceiling = dict(grant.ceilings)["s"]
        assert min(value + 1, bound) <= ceiling <= value + (bound - value + 3) // 4, f"{ceiling} over {value}"


def test_only_an_eligible_site_is_promoted_and_only_over_the_renewal_that_was_seen() -> None:
    with pytest.raises(Superseded, match="was renewed"):
        promoted(GRANT, "west", lease_count=GRANT.lease_count + 1, by="agent")
    for site, eligible in (("west", ()), ("east", ("east", "west"))):
        with pytest.raises(Refused, match="may not be promoted"):
            promoted(replace(GRANT, eligible=eligible), site, lease_count=GRANT.lease_count, by="agent")


def test_a_promotion_takes_office_from_everybody() -> None:
    grant = promoted(replace(GRANT, unsent=LATE), "west", lease_count=GRANT.lease_count, by="agent")
    assert (grant.epoch, grant.term, grant.drain, grant.eligible) == (2, 2, None, ())
    assert grant.parted is not None
    assert grant.parted.unsent == LATE
    assert isinstance(attend(PLAN, "west", CLOSED, grant, Watch(silent=99.0))[0], TakeOffice)
    asleep = Fence(state=FenceState.OPEN, epoch=1, lease_live=False)
    assert isinstance(attend(PLAN, "east", asleep, grant, Watch(silent=99.0))[0], StandDown)


def test_a_site_is_promoted_by_its_agent_only_if_everything_speaks_for_it() -> None:
    for eligible, behind, silent, count, parted in product(
        ((), ("west",)), ((), ("west",)), (0.0, 4.0, 4.01), (0, 1), (False, True)
    ):
        grant = replace(GRANT, eligible=eligible, behind=behind, lease_count=count)
        if parted:
            before = replace(GRANT, serving="west", eligible=("east",))
            again = promoted(before, "east", lease_count=GRANT.lease_count, by="agent")
            grant = replace(again, eligible=eligible, behind=behind, lease_count=count)
        may = bool(eligible) and not behind and silent > 4.0 and count > 0 and not parted
        duties = attend(PLAN, "west", CLOSED, grant, Watch(silent=silent))
        assert duties == ((Promote(count),) if may else ()), f"{grant}, {silent}"
