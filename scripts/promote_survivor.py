"""Promote the survivor past the lag bound: the serving site is gone, and its peer had fallen behind.

When    Writes are refused, `cutover status` says that the serving site does not
        answer and that its peer "is behind", and waiting for the site costs more
        than what its peer lacks. A peer that is not behind takes over by itself.
Don't   Don't promote because a site is slow, or because *you* cannot reach it:
        while its lease is renewed it serves. Don't open the survivor by hand:
        the other site would come back and both would write. Don't wipe the lost
        site: what it had acknowledged and not sent is there and nowhere else.
Do      scripts/promote_survivor.py SITE --plan PLAN --yes
        shows how much may be missing, and waits until the lease has run out.
Check   The register names SITE, SITE takes writes, and the parting is recorded,
        so that the lost site can only come home behind its fence.
If not  "not eligible": bring the lost site back. The lease is renewed: the site
        is alive. When it is back: scripts/bring_home.py. If it never will be:
        scripts/finish_or_abandon.py --abandon.
"""

import sys

from runbook import Asked, Finding, Parser, Runbook, Situation, takes_writes

from cutover.cli.migration import say
from cutover.cli.promote import ask_to_promote, prospect
from cutover.engine.observe import look_at_both
from cutover.engine.parts import Parts
from cutover.engine.register import read_register


def options(parser: Parser) -> None:
    """Which site."""
    parser.add_argument("site", metavar="SITE", help="the survivor")


async def look(parts: Parts, asked: Asked) -> Situation:
    """What is known of the survivor; its peer's lease is watched for all of its length."""
    found = asked.found = await prospect(parts, asked.site, say)
    return Situation(known=found.described(), will=found.will(), against=found.against)


async def act(parts: Parts, asked: Asked) -> None:
    """The operator's word."""
    await ask_to_promote(parts, asked.found)


async def check(parts: Parts, asked: Asked) -> list[Finding]:
    """What must be true after."""
    grant, looks = (await read_register(parts)).grant, await look_at_both(parts)
    parted = grant.parted is not None and grant.parted.left == parts.plan.peer(asked.site)
    return [
        Finding(what=f"the register names {asked.site}", holds=grant.serving == asked.site),
        takes_writes(asked.site, looks[asked.site]),
        Finding(what=f"{parts.plan.peer(asked.site)} is recorded as left, or is home", holds=parted or not
                grant.parted),
    ]  # fmt: skip


RUNBOOK = Runbook(
    name="promote_survivor", doc=__doc__ or "", look=look, act=act, check=check, options=options
)

if __name__ == "__main__":
    sys.exit(RUNBOOK.run(sys.argv[1:]))
