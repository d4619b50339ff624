"""The register anew, from what both sites remember: their witness has lost its memory (S11)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from cutover.errors import Refused
from cutover.model.observation import FenceState, SiteFacts
from cutover.model.plan import Plan
from cutover.model.register import Grant, Parting, Unsent

TERM_LEAP = 1_000
"""How far above every term that a site has seen the new one begins.

A coordinator takes its term at the witness first: one that had just begun when
the witness forgot is known to nobody. So many cannot have begun unseen.
"""


def survivor(plan: Plan, facts: Mapping[str, SiteFacts]) -> str:
    """The site whose fence has the newest epoch: it was the last that could acknowledge a write.

    Refused when none has ever been opened under a lease, or when the sites do
    not keep their logs for each other, so that nothing can bring them together.
    """
    problem = next(_problems(plan, facts), None)
    if problem is not None:
        raise Refused(f"{problem} Nothing was changed.")
    return max(facts, key=lambda site: facts[site].fence.epoch)


def _problems(plan: Plan, facts: Mapping[str, SiteFacts]) -> Iterator[str]:
    epochs = {site: one.fence.epoch for site, one in facts.items()}
    shown = ", ".join(f"{epochs[site]} at {site!r}" for site in (plan.source, plan.target))
    if max(epochs.values()) == 0:
        yield (
            f"no site was ever opened by this migration (epochs {shown}), so there is nothing to rebuild. "
            f"Run `cutover uninstall`, and begin anew under another prefix at the witness."
        )
    if len(set(epochs.values())) == 1:
        yield (
            f"both sites show the same epoch ({shown}), which no migration leaves behind: ask who changed "
            f"their records before anything else."
        )
    for site, one in facts.items():
        if one.fence.state is FenceState.ABSENT or not one.slot:
            yield (
                f"site {site!r} keeps no log for its peer: the migration had not come as far as verify, or "
                f"had ended (epochs {shown}). Whoever has the newest epoch serves: run `cutover uninstall`, "
                f"and begin anew under another prefix at the witness."
            )


def rebuilt(
    plan: Plan, facts: Mapping[str, SiteFacts], known: Grant | None, *, digest: str, epoch: int, term: int
) -> Grant:
    """The grant under which the survivor serves on and the other site counts as left.

    `known` is what the witness shows, if anything. Nobody may be promoted
    before the site that was left is listed, merged and compared in full.
    """
    serving = survivor(plan, facts)
    first = Grant(
        migration=digest,
        revision=0,
        nonce="",
        term=term,
        epoch=epoch,
        serving=serving,
        lease_holder=serving,
        lease_seconds=plan.lease.seconds,
        lease_count=0,
        eligible=(),
    )
    base = known or first
    unknown = Unsent(seconds=None, transactions=None)
    return replace(
        first,
        revision=base.revision + 1,
        lease_count=base.lease_count + 1,
        ceilings=base.ceilings,
        parted=Parting(left=plan.peer(serving), epoch=epoch, term=term, unsent=unknown, by="operator"),
    )


def newest_term(facts: Mapping[str, SiteFacts], known: Grant | None, journalled: int) -> int:
    """The newest term that anybody can tell of."""
    return max(journalled, known.term if known else 0, *(one.fence.guard.term for one in facts.values()))
