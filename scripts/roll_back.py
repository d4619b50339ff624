"""Roll back: make the source serve again, with everything that the target accepted.

When    The target serves (soak) and users are worse off than before, or a
        migration that has not cut over must end tonight.
Don't   Don't open the source by hand and don't point clients at it: what the
        target has accepted since would be missing there, and both would write.
        Don't run `cutover complete` to "clean up first": it removes the way back.
Do      scripts/roll_back.py --plan PLAN --yes
        prints the moves, drains the target as the cutover drained the source.
Check   The journal says rolled back with nothing left to do, the register names
        the source, the source takes writes, and the target takes none.
If not  It waits for a site that is gone: scripts/promote_survivor.py, or
        scripts/finish_or_abandon.py. It waits for differences: `cutover verify`.
"""

import sys
from dataclasses import replace

from runbook import Asked, Finding, Runbook, Situation, takes_none, takes_writes

from cutover.cli.migration import describe
from cutover.cli.roll_back import ask_to_roll_back, refuse_to_roll_back
from cutover.engine.journalling import state_of
from cutover.engine.observe import look_at_both
from cutover.engine.parts import Parts
from cutover.engine.register import read_register
from cutover.errors import BadInput
from cutover.model.journal import Intent
from cutover.model.observation import FenceState
from cutover.model.stage import Stage
from cutover.protocol.preview import preview


async def look(parts: Parts, _: Asked) -> Situation:
    """Where it stands, and the moves that bring the source back; Refused where there is no way back."""
    state = await state_of(parts)
    if state is None:
        raise BadInput(f"migration {parts.plan.name!r} has not begun: there is nothing to roll back.")
    if state.stage is Stage.ROLLED_BACK and not state.pending:
        return Situation(known=["it is rolled back"], will=[], against="it is rolled back already.")
    await refuse_to_roll_back(parts, state.stage)
    grant = (await read_register(parts)).grant
    known = [f"{parts.plan.name} is at {state.stage.value}; {grant.serving} serves under epoch {grant.epoch}"]
    moves = preview(parts.plan, replace(state, wanted=Intent.ROLL_BACK, paused=False), grant)
    return Situation(known=known, will=describe(moves).splitlines())


async def act(parts: Parts, _: Asked) -> None:
    """The operator's word."""
    await ask_to_roll_back(parts)


async def check(parts: Parts, _: Asked) -> list[Finding]:
    """What must be true after."""
    plan, looks, state = parts.plan, await look_at_both(parts), await state_of(parts)
    ended = state is not None and state.stage is Stage.ROLLED_BACK and not state.pending
    target = looks[plan.target]
    gone = target is not None and target.fence.state is FenceState.ABSENT
    return [
        Finding(what="the journal says rolled back, with nothing left to do", holds=ended),
        Finding(
            what=f"the register names {plan.source}",
            holds=(await read_register(parts)).grant.serving == plan.source,
        ),
        takes_writes(plan.source, looks[plan.source]),
        *([] if gone else [takes_none(plan.target, target)]),
    ]


RUNBOOK = Runbook(name="roll_back", doc=__doc__ or "", look=look, act=act, check=check)

if __name__ == "__main__":
    sys.exit(RUNBOOK.run(sys.argv[1:]))
