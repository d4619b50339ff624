"""Release the delete brake: let a stopped worker apply deletes that somebody has looked at.

When    `cutover brake status` shows a brake, and you know which job or person
        deleted those rows, and that it was meant.
Don't   Don't release to make lag go away. Don't delete the rows at the other
        site yourself, and don't drop the slot: nothing of what was deleted is
        lost while the brake is on, for the other site still has it.
Do      scripts/release_brake.py --plan PLAN --yes
        lets pass just what it shows; whatever comes next brakes again.
Check   No brake is on.
If not  Another transaction braked: look at that one. If the deletes were a
        mistake: `cutover pause`, take the rows from the site that still has
        them, then roll back (scripts/roll_back.py).
"""

import sys

from runbook import Asked, Finding, Runbook, Situation

from cutover.cli.brake import ask_to_release
from cutover.engine.observe import look_at_both
from cutover.engine.parts import Parts


async def look(parts: Parts, _: Asked) -> Situation:
    """Which brakes are on, and why."""
    looks = await look_at_both(parts)
    on = [f"{site}: {facts.brake}" for site, facts in looks.items() if facts is not None and facts.brake]
    silent = [f"{site} does not answer" for site, facts in looks.items() if facts is None]
    against = None if on else "no brake is on."
    return Situation(known=[*on, *silent], will=[f"apply this: {one}" for one in on], against=against)


async def act(parts: Parts, _: Asked) -> None:
    """The operator's word, with the reasons that were shown."""
    await ask_to_release(parts)


async def check(parts: Parts, _: Asked) -> list[Finding]:
    """What must be true after."""
    return [
        Finding(
            what=f"no brake is on at {site}"
            if facts is None or not facts.brake
            else f"{site}: {facts.brake}",
            holds=None if facts is None else not facts.brake,
        )
        for site, facts in (await look_at_both(parts)).items()
    ]


RUNBOOK = Runbook(name="release_brake", doc=__doc__ or "", look=look, act=act, check=check)

if __name__ == "__main__":
    sys.exit(RUNBOOK.run(sys.argv[1:]))
