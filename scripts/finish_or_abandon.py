"""Finish or abandon an interrupted migration.

When    A coordinator died, or a migration stands still and nobody knows why.
        --finish carries on from the journal to where an operator is asked next.
        --abandon ends it at the site that serves, when the other one will never
        be back.
Don't   Don't delete the journal or begin under another prefix: both sites still
        carry its fence. Don't abandon a site that will come back: what is
        stranded there is then yours to bring home by hand.
Do      scripts/finish_or_abandon.py --finish --plan PLAN --yes
        scripts/finish_or_abandon.py --abandon --plan PLAN --yes
Check   Nothing is left to do of the last move, and the site that the register
        names takes writes. Abandoned: the journal says that it has ended.
If not  `cutover status` says what it waits for: a brake (release_brake.py), an
        approval (approve_cutover.py), differences (`cutover verify`), a site
        (promote_survivor.py), or a witness that forgot (rebuild_witness.py).
"""

import sys

from runbook import Asked, Finding, Parser, Runbook, Situation, takes_writes

from cutover.cli.abandon import ask_to_abandon, remains
from cutover.cli.migration import describe
from cutover.engine.journalling import state_of
from cutover.engine.observe import Observer, look_at_both
from cutover.engine.parts import Parts
from cutover.engine.register import read_register
from cutover.errors import BadInput
from cutover.protocol.advance import ENDED
from cutover.protocol.moves import Wait
from cutover.protocol.preview import preview
from cutover.protocol.replay import State


def options(parser: Parser) -> None:
    """Which of the two."""
    decision = parser.add_mutually_exclusive_group(required=True)
    decision.add_argument("--finish", action="store_true", help="carry on from the journal")
    decision.add_argument("--abandon", action="store_true", help="end it without the other site")


async def look(parts: Parts, asked: Asked) -> Situation:
    """Where it stands, and what either would do."""
    state, asked.observer = await state_of(parts), Observer(parts)
    if state is None:
        raise BadInput(f"migration {parts.plan.name!r} has not begun. Nothing was changed.")
    left = ", ".join(action.name for action in state.pending) or "nothing"
    known = [f"{parts.plan.name} is at {state.stage.value}; left to do of its last move: {left}"]
    if asked.abandon:
        found = await remains(parts)
        return Situation(known=[*known, *found.described()], will=found.will())
    if state.stage in ENDED and not state.pending:
        return Situation(known=known, will=[], against="it has ended: there is nothing to finish.")
    if state.paused:
        return Situation(known=known, will=[], against="an operator holds it: `cutover resume` first.")
    moves = preview(parts.plan, state, (await read_register(parts)).grant)
    return Situation(known=known, will=describe(moves).splitlines())


async def act(parts: Parts, asked: Asked) -> None:
    """To finish, a coordinator is all that it takes."""
    if asked.abandon:
        await ask_to_abandon(parts)


async def check(parts: Parts, asked: Asked) -> list[Finding]:
    """What must be true after."""
    state, looks = await state_of(parts), await look_at_both(parts)
    serving = (await read_register(parts)).grant.serving
    done = state is not None and not state.pending
    findings = [
        Finding(what="nothing is left to do of the last move", holds=done),
        takes_writes(serving, looks[serving]),
    ]
    if asked.abandon:
        ended = state is not None and state.stage in ENDED
        return [Finding(what="the migration has ended", holds=ended), *findings]
    rests = state is not None and await _rests(parts, state, asked.observer)
    return [Finding(what="it has come to where an operator is asked", holds=rests), *findings]


async def _rests(parts: Parts, state: State, observer: Observer) -> bool:
    """The same decision as a coordinator's, on looks of one observer: lag is measured between them."""
    if state.stage in ENDED:
        return True
    decision = parts.advance(parts.plan, state, await observer.look(state))
    return isinstance(decision, Wait) and decision.until.startswith("an operator")


RUNBOOK = Runbook(
    name="finish_or_abandon", doc=__doc__ or "", look=look, act=act, check=check, options=options
)

if __name__ == "__main__":
    sys.exit(RUNBOOK.run(sys.argv[1:]))
