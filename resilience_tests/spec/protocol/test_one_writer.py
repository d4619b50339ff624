"""Wherever a coordinator stops, and whatever comes between, at most one site takes writes (S1).

Method: the space is small, so enumerate it - every state, every observation
and every prefix of the proposed actions, since a prefix is all that a crash can
leave behind - and beside it every life that three events lead to, partings
included. Bugs are planted in what is decided and in what the register refuses.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

import pytest

from cutover.model.action import (
    ACTIONS,
    Action,
    CloseSite,
    DeclareDrain,
    Disqualify,
    GrantEpoch,
    Guard,
    PromoteSite,
    RemoveFence,
)
from cutover.model.observation import Observation
from cutover.model.plan import Plan
from cutover.model.register import Grant
from cutover.model.stage import Stage
from cutover.protocol.advance import advance
from cutover.protocol.moves import CarryOn, Decision, Move
from cutover.protocol.promote import promoted
from cutover.protocol.replay import State
from resilience_tests.spec.protocol.healthy import lives_after
from resilience_tests.spec.protocol.worlds import (
    AT,
    CALM,
    CLOSED,
    LONG,
    OPEN,
    PLAN,
    Then,
    World,
    every_case,
    left_by,
    objection,
)

Advance = Callable[[Plan, State, Observation], Decision]


class Order(NamedTuple):
    """What is to be done now, by whom, and in what world."""

    then: Then
    guard: Guard
    actions: tuple[Action, ...]


Orders = Iterator[tuple[Order, State, Observation]]


def ordered(decision: Decision) -> tuple[Action, ...]:
    """What is to be done now."""
    if isinstance(decision, CarryOn):
        return (decision.action,)
    return decision.actions if isinstance(decision, Move) else ()


def world_of(state: State, seen: Observation) -> Then:
    """The site that the register names takes writes, if nothing speaks against it.

    Once its drain does not stand, its agent may have opened it again. That a
    lease is over is known from a silence, or was when a promotion was ordered.
    """
    grant = seen.grant
    serving: frozenset[str] = frozenset({grant.serving})
    closed = grant.drain is not None and (seen.drained or state.stage is Stage.CUT_OVER)
    count = grant.lease_count
    known = any(isinstance(one, PromoteSite) and one.lease_count == count for one in state.pending)
    over = known or seen.silent_seconds > 0
    return Then(grant, frozenset() if closed else serving, frozenset() if over else serving)


def enumerated(decide: Advance, kind: type[World]) -> Orders:
    """Every state and observation, then whatever a crash can leave of what was proposed there."""
    guard, crashed = Guard(1, 8), set()
    for state, seen in every_case():
        decision = decide(PLAN, state, seen)
        if isinstance(decision, Move) and decision.actions:
            order = Order(world_of(state, seen), guard, decision.actions)
            crashed.add((order, decision.stage, decision.direction))
            yield order, state, seen
    for order, stage, direction in crashed:
        for done, then in left_by(*order, kind):
            state = replace(AT, stage=stage, direction=direction, pending=order.actions[done:])
            seen = look_at(then)
            again = Order(then, Guard(then.grant.term, 9), ordered(decide(PLAN, state, seen)))
            yield again, state, seen


def look_at(then: Then) -> Observation:
    """What somebody sees who goes on."""
    source, target = (OPEN if site in then.open else CLOSED for site in (PLAN.source, PLAN.target))
    silent = 0.0 if then.grant.serving in then.live else LONG
    return replace(CALM, grant=then.grant, source=source, target=target, silent_seconds=silent)


def lived(decide: Advance, _: type[World]) -> Orders:
    """Every life that three events lead to, in sound and in silence."""
    for life in lives_after(3):
        for silent in (0.0, LONG):
            seen = life.seen(silent=silent)
            guard = Guard(life.term, life.state.move_n)
            actions = ordered(decide(PLAN, life.state, seen))
            yield Order(world_of(life.state, seen), guard, actions), life.state, seen


Source = Callable[[Advance, type[World]], Orders]


def first_objection(source: Source, decide: Advance, kind: type[World] = World) -> tuple[set[Order], str]:
    """The orders that were judged, and what is wrong with the first that leads to two writers."""
    judged: set[Order] = set()
    for order, state, seen in source(decide, kind):
        if not order.actions or order in judged:
            continue
        judged.add(order)
        wrong = objection(*order, kind)
        if wrong:
            return judged, f"{wrong}\n{state}\n{seen}"
    return judged, ""


def test_wherever_it_crashes_two_sites_never_both_accept_writes_and_every_action_was_there() -> None:
    """An action that is proposed nowhere is in none of these runs, and nobody would notice."""
    judged, wrong = first_objection(enumerated, advance)
    assert not wrong
    assert len(judged) > 1_000
    assert {action.name for order in judged for action in order.actions} == set(ACTIONS)


def test_whatever_came_between_two_sites_never_both_accept_writes() -> None:
    judged, wrong = first_objection(lived, advance)
    assert not wrong
    assert len(judged) > 1_000


def granted_first(plan: Plan, state: State, seen: Observation) -> Decision:
    """Names the arriving site before the leaving one is closed."""
    decision = advance(plan, state, seen)
    match decision:
        case Move(actions=(DeclareDrain(leaving) as declared, CloseSite() as closed)):
            return replace(decision, actions=(declared, GrantEpoch(plan.peer(leaving)), closed))
    return decision


def impatient(plan: Plan, state: State, seen: Observation) -> Decision:
    """Does not wait until the lease is over before a survivor is promoted."""
    return advance(plan, state, replace(seen, silent_seconds=LONG))


def bared(plan: Plan, state: State, seen: Observation) -> Decision:
    """Leaves the source without a fence while the target may still be promoted."""
    decision = advance(plan, state, seen)
    if not isinstance(decision, Move):
        return decision
    last = tuple(one for one in decision.actions if isinstance(one, Disqualify))
    return replace(decision, actions=(*(one for one in decision.actions if one not in last), *last))


def bared_target(plan: Plan, state: State, seen: Observation) -> Decision:
    """Takes the fence of the target away, too, when the source is left as it was."""
    decision = advance(plan, state, seen)
    if isinstance(decision, Move) and any(isinstance(one, RemoveFence) for one in decision.actions):
        return replace(decision, actions=(*decision.actions, RemoveFence(plan.target)))
    return decision


class Deaf(World):
    """A promotion does not ask whether the lease was renewed since."""

    def changed(self, action: Action) -> Grant:
        if isinstance(action, PromoteSite) and action.site in self.grant.eligible:
            return promoted(self.grant, action.site, lease_count=self.grant.lease_count, by="operator")
        return super().changed(action)


class Blind(World):
    """An epoch is granted though its drain was given up."""

    def changed(self, action: Action) -> Grant:
        if isinstance(action, GrantEpoch):
            return replace(self.grant, serving=action.site, drain=None)
        return super().changed(action)


class Forgetful(World):
    """The register takes what an overtaken coordinator wants."""

    def changed(self, action: Action) -> Grant:
        self.guard = Guard(self.grant.term, 0)
        return super().changed(action)


PLANTED: dict[str, tuple[Advance, type[World]]] = {
    "the arriving site is named before the leaving one is closed": (granted_first, World),
    "a survivor is promoted while the lease lives": (impatient, World),
    "the source is bared while the target may be promoted": (bared, World),
    "the target is bared": (bared_target, World),
    "a renewal meanwhile forbids no promotion": (advance, Deaf),
    "an epoch is granted though its drain was given up": (advance, Blind),
    "the register takes orders of any age": (advance, Forgetful),
}


@pytest.mark.parametrize("source", [enumerated, lived])
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_leads_to_two_writers(bug: str, source: Source) -> None:
    decide, kind = PLANTED[bug]
    assert "two writers" in first_objection(source, decide, kind)[1]
