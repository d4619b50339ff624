"""Bring a returned site's stranded writes home.

When    A site was left when its peer was promoted, it is back, and `cutover
        status` waits until "an operator reads `cutover stranded list`".
Don't   Don't copy rows over by hand and don't restore the returned site from its
        peer: what it had acknowledged and not sent would be gone. Don't open it.
Do      scripts/bring_home.py --plan PLAN --yes
        shows every stranded row, merges, and lets the site follow again.
Check   What was stranded is merged, both sites were compared in full, and the
        parting is over. What lost is in quarantine: counted, shown, not gone.
If not  It waits for the site: start its agent and worker. It waits for
        differences: `cutover verify`. Versions wait in quarantine:
        scripts/resolve_quarantine.py. A truncate cannot be merged:
        scripts/finish_or_abandon.py.
"""

import sys

from runbook import Asked, Finding, Runbook, Situation, takes_writes

from cutover.cli.stranded import ask_to_merge, described, newest_stranding, reason_against_merging
from cutover.engine.journalling import state_of
from cutover.engine.observe import look_at_both
from cutover.engine.parts import Parts
from cutover.engine.register import read_register


async def look(parts: Parts, _: Asked) -> Situation:
    """What is stranded, and whether it can be merged now."""
    found = await newest_stranding(parts)
    by_itself = found is not None and not found.over and not await _asked_for(parts)
    against = None if by_itself else reason_against_merging(found)
    survivor = (await read_register(parts)).grant.serving
    will = [
        f"each row is merged into what {survivor} serves, by the merge rule of its table",
        "where both sites changed a row, the version that loses goes to quarantine, whole",
        "the site follows again, both are compared in full, and then either may be promoted",
    ]
    return Situation(known=described(found), will=will, against=against)


async def act(parts: Parts, _: Asked) -> None:
    """The operator's word, where the plan or the brake asks for it."""
    if await _asked_for(parts):
        await ask_to_merge(parts)


async def _asked_for(parts: Parts) -> bool:
    state = await state_of(parts)
    return parts.plan.gates.approve_merge or (state is not None and state.listed_brake is not None)


async def check(parts: Parts, _: Asked) -> list[Finding]:
    """What must be true after."""
    found, looks = await newest_stranding(parts), await look_at_both(parts)
    serving = (await read_register(parts)).grant.serving
    merged = found is not None and found.merged is not None
    return [
        Finding(what="what was stranded is merged", holds=merged),
        Finding(what="both sites are equal and one again", holds=found is not None and found.over),
        takes_writes(serving, looks[serving]),
    ]


RUNBOOK = Runbook(name="bring_home", doc=__doc__ or "", look=look, act=act, check=check)

if __name__ == "__main__":
    sys.exit(RUNBOOK.run(sys.argv[1:]))
