"""A witness that lost its memory: make register and journal anew from what both sites remember.

When    Nobody serves, and agents say "the witness has lost its memory": its
        bucket was lost, or restored from a backup that is older than what the
        sites have seen, and a newer backup does not exist.
Don't   Don't rebuild while a newer state of the bucket can still be had: restore
        that, nothing then needs to be merged. Don't write a register by hand and
        don't open a site: you do not know who served last, the sites do. Stop
        every coordinator first.
Do      scripts/rebuild_witness.py --plan PLAN --yes
        closes both sites, writes journal and register; the site with the newest
        epoch serves, the other one counts as left.
Check   The register names that site under a new epoch, it takes writes, and the
        other one was listed, merged and compared in full.
If not  A site does not answer: bring it back first, for it may have served last.
        "there is nothing to rebuild": look at the links to the witness. It waits
        for a word: scripts/bring_home.py.
"""

import sys

from runbook import Asked, Finding, Runbook, Situation, takes_writes

from cutover.engine.observe import look_at_both
from cutover.engine.parts import Parts
from cutover.engine.rebuild import plan_rebuild, rebuild, what_is_lost
from cutover.engine.register import read_register


async def look(parts: Parts, asked: Asked) -> Situation:
    """What is lost, and who would serve; Refused when nothing is, or when the sites cannot tell."""
    lost, grant = await what_is_lost(parts), await plan_rebuild(parts)
    left = parts.plan.peer(grant.serving)
    will = [
        "both sites are closed: nobody serves on an old register, and every older coordinator is refused",
        f"{grant.serving}, whose fence has the newest epoch, serves under epoch {grant.epoch} or higher",
        f"{left} counts as left: what it had not sent is listed and merged, and both are compared in full "
        f"before anybody may be promoted",
    ]
    asked.serving = grant.serving
    return Situation(known=lost, will=will)


async def act(parts: Parts, asked: Asked) -> None:
    """Register and journal, anew."""
    asked.serving = (await rebuild(parts)).serving


async def check(parts: Parts, asked: Asked) -> list[Finding]:
    """What must be true after."""
    grant, looks = (await read_register(parts)).grant, await look_at_both(parts)
    return [
        Finding(what=f"the register names {asked.serving}", holds=grant.serving == asked.serving),
        takes_writes(grant.serving, looks[grant.serving]),
        Finding(what="the other site is home, and both are equal", holds=grant.parted is None),
    ]


RUNBOOK = Runbook(name="rebuild_witness", doc=__doc__ or "", look=look, act=act, check=check)

if __name__ == "__main__":
    sys.exit(RUNBOOK.run(sys.argv[1:]))
