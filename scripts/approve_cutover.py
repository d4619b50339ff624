"""Hold or go: let a migration stop writes and cut over, or make it stand still first.

When    `cutover status` waits until "an operator runs `cutover approve`", the
        people who must know are awake, and nothing below speaks against it.
        With --hold: something is wrong, and it must not cut over by itself.
Don't   Don't edit gates in the plan (a begun plan is refused), don't close the
        source by hand (writers are then refused without anybody serving), and
        don't hold in the middle of a drain: it ends by itself at its deadline.
Do      scripts/approve_cutover.py --plan PLAN --yes          go
        scripts/approve_cutover.py --plan PLAN --hold --yes   hold (undone by `cutover resume`)
Check   Go: the register names the target, it takes writes, the source takes
        none. Hold: the journal says paused, and the source takes writes.
If not  A drain that was given up is tried again; after several it waits for
        `cutover resume`. To go back: scripts/roll_back.py.
"""

import sys

from runbook import Asked, Finding, Parser, Runbook, Situation, takes_none, takes_writes

from cutover.cli.approve import ask_to_cut_over
from cutover.engine.journalling import ask, state_of
from cutover.engine.observe import look_at_both
from cutover.engine.parts import Parts
from cutover.engine.register import read_register
from cutover.model.journal import Intent
from cutover.model.observation import SiteFacts
from cutover.model.stage import Stage
from cutover.protocol.advance import EARLY
from cutover.protocol.replay import State


def options(parser: Parser) -> None:
    """Hold in place of go."""
    parser.add_argument("--hold", action="store_true", help="stand still before the cutover")


async def look(parts: Parts, asked: Asked) -> Situation:
    """Where it stands, and what speaks against it."""
    state, plan = await state_of(parts), parts.plan
    grant, looks = (await read_register(parts)).grant, await look_at_both(parts)
    stage = "not begun" if state is None else state.stage.value
    eligible = "has passed a full compare" if plan.target in grant.eligible else "has passed no full compare"
    known = [f"{plan.name} is at {stage}; {grant.serving} serves", f"{plan.target} {eligible}"]
    if asked.hold:
        will = [f"nothing new is decided until `cutover resume`; {grant.serving} serves on"]
        return Situation(known=known, will=will, against=_against_holding(state))
    will = [
        f"{plan.source} refuses writes, for as long as {plan.target} takes to apply the rest of its log",
        f"{plan.target} serves under epoch {grant.epoch + 1}, and its changes flow back to {plan.source}",
        f"after {plan.gates.drain_seconds:.0f} s without that, {plan.source} gets its writes back",
    ]
    against = _against_going(state, looks)
    if against is None and plan.target not in grant.eligible:
        against = f"{plan.target!r} is not eligible yet: `cutover run` compares the sites first."
    return Situation(known=known, will=will, against=against)


def _against_holding(state: State | None) -> str | None:
    if state is None or state.stage not in EARLY:
        where = "has not begun" if state is None else f"is at {state.stage.value}"
        return f"there is no cutover to hold: the migration {where}."
    return "it is held already: `cutover resume` lets it go on." if state.paused else None


def _against_going(state: State | None, looks: dict[str, SiteFacts | None]) -> str | None:
    if state is None or state.stage is not Stage.VERIFY:
        return "only a migration at verify waits to cut over: see `cutover status`."
    if state.paused:
        return "it is held: `cutover resume` first, once it is known why."
    if state.clean is False:
        return "the last compare found differences: see `cutover verify`."
    for site, facts in looks.items():
        if facts is None:
            return f"{site!r} does not answer."
        if facts.brake:
            return f"{site!r} stands still: {facts.brake} See scripts/release_brake.py."
        if facts.set_aside:
            return f"{facts.set_aside} row(s) are set aside at {site!r}: see `cutover quarantine list`."
    return None


async def act(parts: Parts, asked: Asked) -> None:
    """The operator's word."""
    if asked.hold:
        await ask(parts, Intent.PAUSE)
    else:
        await ask_to_cut_over(parts)


async def check(parts: Parts, asked: Asked) -> list[Finding]:
    """What must be true after."""
    plan, looks, state = parts.plan, await look_at_both(parts), await state_of(parts)
    if asked.hold:
        held = state is not None and state.paused
        return [
            Finding(what="the journal says paused", holds=held),
            takes_writes(plan.source, looks[plan.source]),
        ]
    serving = (await read_register(parts)).grant.serving
    return [
        Finding(what=f"the register names {plan.target}", holds=serving == plan.target),
        takes_writes(plan.target, looks[plan.target]),
        takes_none(plan.source, looks[plan.source]),
    ]


RUNBOOK = Runbook(name="approve_cutover", doc=__doc__ or "", look=look, act=act, check=check, options=options)

if __name__ == "__main__":
    sys.exit(RUNBOOK.run(sys.argv[1:]))
