"""The journal as the engine uses it: start a migration, read where it stands, write what comes next."""

from contextlib import suppress

from cutover.engine.parts import Parts
from cutover.errors import BadInput, Refused, Superseded
from cutover.model.action import Action, Guard, action_to_json
from cutover.model.journal import Entry, Intent, Kind
from cutover.model.observation import FenceState
from cutover.model.plan import Plan
from cutover.model.plan_json import plan_digest, plan_to_json
from cutover.model.register import Grant
from cutover.protocol.moves import Move
from cutover.protocol.replay import State, replay

ATTEMPTS = 20
"""Appends of an operator's intent before giving up: its rival writes a few entries a second."""


async def state_of(parts: Parts) -> State | None:
    """Where the migration stands; None when its journal has not been begun.

    Raises BadInput when the journal was begun with another plan.
    """
    entries = await parts.journal.read()
    if not entries:
        return None
    check_plan(parts.plan, entries[0])
    return replay(entries)


def check_plan(plan: Plan, first: Entry) -> None:
    """Raise unless entry 0 holds this very plan."""
    if first.kind is not Kind.PLAN:
        raise Refused(f"journal entry 0 is a {first.kind.value}, not a plan: this is not a journal of ours")
    begun, now = first.facts.get("digest"), plan_digest(plan)
    if begun != now:
        raise BadInput(
            f"plan {plan.name!r} was edited: the migration was begun with {str(begun)[:12]}, this file is "
            f"{now[:12]}. A migration keeps the plan it was begun with (it is in entry 0 of the journal). "
            f"Nothing was changed. Undo the edit, or roll back and begin anew."
        )


async def begin(parts: Parts) -> State:
    """Make the register and entry 0, unless they are there; return where the migration stands.

    The register is made before the journal. So a journal without a register is
    a witness that has lost its memory, and is refused.
    """
    plan, digest = parts.plan, plan_digest(parts.plan)
    if await parts.journal.read() == []:
        await _refuse_a_forgetful_witness(parts)
        await _create_register(parts, digest)
        facts: dict[str, object] = {"plan": plan_to_json(plan), "digest": digest}
        first = Entry(n=0, term=0, kind=Kind.PLAN, nonce=parts.nonce(), facts=facts, at=parts.clock.stamp())
        with suppress(Superseded):
            await parts.journal.append(first)
    state = await state_of(parts)
    if state is None:
        raise Refused(
            "the journal at the witness was begun and is empty again: do not go on with this witness"
        )
    return state


async def _refuse_a_forgetful_witness(parts: Parts) -> None:
    """A site with a fence has been in a migration: a witness without its journal has lost it (S11)."""
    if await parts.register.read() is not None:
        return
    for name, site in parts.sites.items():
        fence = await site.fence()
        if fence.state is not FenceState.ABSENT and fence.guard != Guard(0, 0):
            raise Refused(
                f"site {name!r} carries the fence of a migration (epoch {fence.epoch}, term "
                f"{fence.guard.term}), and the witness has no journal of one: it has lost its memory, or the "
                f"outputs name another prefix. Nothing was changed. Restore the witness; if that migration "
                f"has ended, run `cutover uninstall` first."
            )


async def _create_register(parts: Parts, digest: str) -> None:
    plan = parts.plan
    first = Grant(
        migration=digest,
        revision=0,
        nonce=parts.nonce(),
        term=0,
        epoch=1,
        serving=plan.source,
        lease_holder=plan.source,
        lease_seconds=plan.lease.seconds,
        lease_count=0,
        eligible=(),
    )
    try:
        await parts.register.create(first)
    except Superseded:
        found = await parts.register.read()
        if found is None or found.grant.migration != digest:
            raise BadInput(
                f"the witness holds the register of another migration or another plan, not of {plan.name!r}. "
                f"Nothing was changed. Name another prefix at the witness, or finish that migration first."
            ) from None


def move_entry(parts: Parts, state: State, term: int, move: Move, facts: dict[str, object]) -> Entry:
    """A decision, with what it rests on."""
    return Entry(
        n=state.next_n,
        term=term,
        kind=Kind.MOVE,
        nonce=parts.nonce(),
        stage=move.stage.value,
        direction=move.direction.value,
        actions=tuple(action_to_json(action) for action in move.actions),
        facts=facts,
        because=move.because,
        at=parts.clock.stamp(),
    )


def done_entry(parts: Parts, state: State, term: int, action: Action, facts: dict[str, object]) -> Entry:
    """One action was carried out."""
    return Entry(
        n=state.next_n,
        term=term,
        kind=Kind.DONE,
        nonce=parts.nonce(),
        stage=state.stage.value,
        direction=state.direction.value,
        actions=(action_to_json(action),),
        facts=facts,
        at=parts.clock.stamp(),
    )


def take_over_entry(parts: Parts, state: State, term: int) -> Entry:
    """A coordinator begins: whoever finds this entry is of an older term and stops."""
    facts: dict[str, object] = {"intent": Intent.TAKE_OVER.value}
    at = parts.clock.stamp()
    return Entry(n=state.next_n, term=term, kind=Kind.INTENT, nonce=parts.nonce(), facts=facts, at=at)


async def ask(parts: Parts, intent: Intent | None, **facts: object) -> Entry:
    """Write an operator's command into the journal (None: an approval), for the coordinator to read."""
    for _ in range(ATTEMPTS):
        state = await state_of(parts)
        if state is None:
            raise BadInput(
                f"migration {parts.plan.name!r} has not begun, so there is nothing to {_verb(intent)}. "
                f"Nothing was changed. `cutover run` begins it."
            )
        entry = Entry(
            n=state.next_n,
            term=state.term,
            kind=Kind.INTENT if intent else Kind.APPROVAL,
            nonce=parts.nonce(),
            facts=({"intent": intent.value} if intent else {}) | facts,
            at=parts.clock.stamp(),
        )
        try:
            await parts.journal.append(entry)
        except Superseded:
            continue
        return entry
    raise Superseded(f"the tail of the journal (after {ATTEMPTS} attempts)")


def _verb(intent: Intent | None) -> str:
    return "approve" if intent is None else intent.value.replace("_", " ")
