"""Resolve quarantine: decide on one version that lost when two sites were merged.

When    `cutover quarantine list` shows a version, and somebody who knows the
        content has said which of the two is right.
Don't   Don't decide to get the number down: `cutover complete` waits for it on
        purpose. Don't take a version over a newer edit of a user without asking.
        Don't edit the records in the schema `cutover`.
Do      scripts/resolve_quarantine.py NUMBER --leave --plan PLAN --yes   what stands there stays
        scripts/resolve_quarantine.py NUMBER --take --plan PLAN --yes    write this version over it
Check   The version is not undecided any more, and if it was taken, the row
        stands there as it was kept, but for its counters.
If not  "the fence would refuse it": the other site serves; make the change there
        through your application, then --leave. A constraint is in the way, or an
        object cannot be had: the message names it.
"""

import sys

from runbook import Asked, Finding, Parser, Runbook, Situation

from cutover.cli.quarantine import decide, reason_against_taking, the_one, versions
from cutover.engine.parts import Parts
from cutover.protocol.merging import taken


def options(parser: Parser) -> None:
    """Which version, and the decision."""
    parser.add_argument("number", metavar="NUMBER", type=int, help="as `cutover quarantine list` shows it")
    decision = parser.add_mutually_exclusive_group(required=True)
    decision.add_argument("--take", action="store_true", help="write it over what stands there")
    decision.add_argument("--leave", action="store_true", help="what stands there stays")
    parser.add_argument("--site", help="whose quarantine, where both have that number")


async def look(parts: Parts, asked: Asked) -> Situation:
    """Both versions."""
    found = await the_one(parts, asked.number, asked.site)
    asked.site, asked.kept = found.at, found.kept
    against = await reason_against_taking(parts, found) if asked.take else None
    done = "the kept version is written over what stands" if asked.take else "what stands there stays"
    return Situation(known=found.described(), will=[f"{done}; both stay on record"], against=against)


async def act(parts: Parts, asked: Asked) -> None:
    """The decision."""
    await decide(parts, asked.number, asked.site, take=asked.take)


async def check(parts: Parts, asked: Asked) -> list[Finding]:
    """What must be true after."""
    left = [one.number for one in await versions(parts, [asked.site])]
    findings = [Finding(what=f"version {asked.number} is decided", holds=asked.number not in left)]
    if not asked.take:
        return findings
    rows = await parts.rows[asked.site].rows_of(asked.kept.table, [asked.kept.key])
    here = rows.get(asked.kept.key)
    stands = here == taken(parts.plan, asked.kept, here)
    return [*findings, Finding(what="the row stands there as it was kept", holds=stands)]


RUNBOOK = Runbook(
    name="resolve_quarantine",
    doc=__doc__ or "",
    look=look,
    act=act,
    check=check,
    options=options,
    detached=True,
)

if __name__ == "__main__":
    sys.exit(RUNBOOK.run(sys.argv[1:]))
