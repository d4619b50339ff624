"""`cutover promote`: let the survivor serve although its peer was not drained."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cutover.cli.answer import Answer
from cutover.cli.options import DetachOption, PlanOption, StackOption
from cutover.model.journal import Intent
from cutover.model.stage import Stage

if TYPE_CHECKING:
    from cutover.engine.parts import Parts
    from cutover.model.plan import Plan
    from cutover.model.register import Grant
    from cutover.protocol.replay import State

LOOK_SECONDS = 0.25
"""Pause between two looks at the register while a lease is watched."""

SiteArgument = Annotated[
    str, typer.Argument(metavar="SITE", help="The site that is to serve.", show_default=False)
]
ActOption = Annotated[
    bool, typer.Option("--yes", help="Do it; without this, only say what is known and what would be done.")
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospect:
    """What is known of a site that is to be promoted."""

    site: str
    grant: "Grant"
    against: str | None  #: why it may not be; None: it may
    watched: bool  #: the lease of its peer was seen to run out

    def described(self) -> list[str]:
        """For people."""
        from cutover.cli.stranded import bound

        grant, peer = self.grant, self.grant.serving
        lines = [f"{peer} serves under epoch {grant.epoch}"]
        if self.site == peer:
            return lines
        eligible = "eligible" if self.site in grant.eligible else "not eligible"
        behind = (
            ", and was past the lag bound at its peer's last renewal" if self.site in grant.behind else ""
        )
        lines.append(f"{self.site} is {eligible}{behind}")
        lines.append(f"stranded at {peer}, at most: {bound(grant.unsent)}")
        if self.watched:
            lines.append(f"the lease of {peer} has run out: it was watched for all of it")
        return lines

    def will(self) -> list[str]:
        """What promoting it does, for people."""
        peer = self.grant.serving
        return [
            f"{self.site} serves under epoch {self.grant.epoch + 1}, as soon as the lease has run out",
            f"what {peer} acknowledged and had not sent stays there, out of users' sight, until it is back; "
            f"then it is listed and merged, and what loses goes to quarantine",
            f"{peer} is not given its writes back: it comes home behind its fence",
        ]

    def to_json(self) -> dict[str, object]:
        grant = self.grant
        return {
            "site": self.site,
            "serving": grant.serving,
            "epoch": grant.epoch,
            "eligible": self.site in grant.eligible,
            "behind": self.site in grant.behind,
            "bound": {"seconds": grant.unsent.seconds, "transactions": grant.unsent.transactions},
            "lease_over": self.watched,
            "may": self.against is None,
        }


def promote(
    site: SiteArgument,
    *,
    plan: PlanOption = None,
    stack: StackOption = None,
    yes: ActOption = False,
    detach: DetachOption = False,
) -> Answer:
    """Let SITE serve although its peer was not drained, also past the lag bound.

    For when the serving site is gone and its peer was not promoted by itself:
    it had fallen behind, or its agent is gone, too. Says first what is known:
    whether SITE is eligible, and how much its peer may have acknowledged and
    not sent. Without --yes that is all. The lease of the serving site must run
    out first; while it is renewed, the site is alive and nobody is promoted.
    """
    import asyncio

    return asyncio.run(_promote(site, plan, stack, yes=yes, detach=detach))


async def _promote(site: str, plan: Path | None, stack: str | None, *, yes: bool, detach: bool) -> Answer:
    from cutover.cli.migration import chosen, say
    from cutover.errors import Refused

    async with chosen(plan, stack) as migration:
        found = await prospect(migration.parts, site, say)
        if found.against is not None:
            raise Refused(f"{found.against} Nothing was changed.")
        if not yes:
            return await migration.foretold(found, {"promotion": found.to_json()}, f"promote {site} --yes")
        say("\n".join([*found.described(), *found.will()]))
        await ask_to_promote(migration.parts, found)
        if detach:
            return migration.reached((await migration.state()).stage)
        return await migration.drive(Stage.PARTED)


async def prospect(parts: "Parts", site: str, tell: Callable[[str], None]) -> Prospect:
    """Look whether `site` may be promoted, and watch its peer's lease for as long as it may hold.

    Raises SiteUnreachable when the witness does not answer: without it nobody can be promoted.
    """
    from cutover.engine.journalling import state_of
    from cutover.engine.register import read_register

    state, grant = await state_of(parts), (await read_register(parts)).grant
    against = reason_against_promoting(parts.plan, state, grant, site)
    if against is not None:
        return Prospect(site=site, grant=grant, against=against, watched=False)
    tell(f"watching the lease of {grant.serving} for {grant.lease_seconds + parts.plan.lease.margin:.1f} s")
    now = await watched(parts, grant)
    alive = (now.epoch, now.lease_count) != (grant.epoch, grant.lease_count)
    return Prospect(site=site, grant=now, against=_alive(now) if alive else None, watched=not alive)


async def watched(parts: "Parts", grant: "Grant") -> "Grant":
    """Read the register until it shows another renewal than `grant`, or the lease has run out."""
    from cutover.engine.register import read_register
    from cutover.protocol.attend import lease_is_over

    began, now = parts.clock.monotonic(), grant
    while not lease_is_over(parts.plan, grant, parts.clock.monotonic() - began):
        await parts.clock.sleep(LOOK_SECONDS)
        now = (await read_register(parts)).grant
        if (now.epoch, now.lease_count) != (grant.epoch, grant.lease_count):
            break
    return now


def _alive(grant: "Grant") -> str:
    return (
        f"{grant.serving!r} has just renewed its lease, so it is alive and serves: promoting its peer would "
        f"strand what it acknowledges. For a planned change use `cutover run` or `cutover roll-back`."
    )


def reason_against_promoting(plan: "Plan", state: "State | None", grant: "Grant", site: str) -> str | None:
    """Why `site` may not be promoted, whatever its peer's lease; None: it may."""
    from cutover.protocol.advance import ENDED

    if site not in (plan.source, plan.target):
        return f"{site!r} is no site of plan {plan.name!r}, which has {plan.source!r} and {plan.target!r}."
    if state is None:
        return f"migration {plan.name!r} has not begun."
    if state.stage in ENDED:
        return f"migration {plan.name!r} has ended ({state.stage.value}): the sites do not follow each other."
    if grant.serving == site:
        return f"{site!r} serves already, under epoch {grant.epoch}."
    if grant.parted is not None:
        return (
            f"{grant.serving!r} was promoted under epoch {grant.parted.epoch}, and {site!r} is not home. "
            f"It lacks what was written meanwhile, and may be promoted again once it was merged and compared."
        )
    if site not in grant.eligible:
        return (
            f"{site!r} is not eligible (eligible: {', '.join(grant.eligible) or 'none'}): no full compare "
            f"has shown that it has everything, so there is no telling what its users would miss. Bring "
            f"{grant.serving!r} back, or restore it; writes wait until then."
        )
    return None


async def ask_to_promote(parts: "Parts", found: Prospect) -> None:
    """Write the operator's word into the journal; Refused when the site may not be promoted."""
    from cutover.engine.journalling import ask
    from cutover.errors import Refused

    if found.against is not None:
        raise Refused(f"{found.against} Nothing was changed.")
    await ask(parts, Intent.PROMOTE, site=found.site, lease_count=found.grant.lease_count)
