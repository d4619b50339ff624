"""A witness that has lost its memory: says so, and makes register and journal anew (S11)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from cutover.engine.journalling import check_plan
from cutover.engine.observe import look_at_both
from cutover.engine.parts import Parts
from cutover.errors import Refused
from cutover.model.action import Guard
from cutover.model.journal import Entry, Kind
from cutover.model.observation import SiteFacts
from cutover.model.plan_json import plan_digest, plan_to_json
from cutover.model.register import Grant, Registered
from cutover.model.stage import Direction, Stage
from cutover.protocol.rebuild import TERM_LEAP, newest_term, rebuilt, survivor
from cutover.protocol.replay import replay

EPOCHS_MAX = 1_000
"""Epochs that are offered to both sites before giving up: a register is a few ahead of them at most."""


async def check_journal(parts: Parts) -> None:
    """Raise Refused when a site has carried out what the journal does not know: nobody goes on from there.

    The sites are looked at first, so that the journal can only be newer than they are.
    """
    looks = await look_at_both(parts)
    entries = await parts.journal.read()
    for reason in _journal_forgot(looks, entries) if entries else []:
        raise Refused(
            f"{reason}: the witness has lost its memory, the outputs name another one, or an earlier "
            f"migration was never taken out of this site. Nothing was changed. Restore the witness, or run "
            f"`cutover uninstall` with its plan."
        )


async def what_is_lost(parts: Parts) -> list[str]:
    """Why this witness shows less than the sites have seen; empty when it does not.

    Raises SiteUnreachable unless both sites and the witness answer, and Refused
    when the witness holds another migration.
    """
    looks: dict[str, SiteFacts | None] = dict(await _looks(parts))
    seen, entries = await _witness(parts)
    found = list(_journal_forgot(looks, entries))
    if seen is None:
        return ["the register is gone", *found]
    for name, site in parts.sites.items():
        epoch, revision = seen.grant.epoch, seen.grant.revision
        if not await site.remember_register(epoch=epoch, revision=revision):
            found.append(f"site {name!r} has seen a newer register than this (epoch {epoch}, {revision=})")
    return found


async def plan_rebuild(parts: Parts) -> Grant:
    """The register that `rebuild` would write, but for numbers that both sites must agree to first.

    Raises Refused when the witness has lost nothing, or when the sites cannot be brought together.
    """
    await _refuse_unless_lost(parts)
    facts, (seen, entries) = await _looks(parts), await _witness(parts)
    return _new_grant(parts, facts, seen, _term(facts, seen, entries))


async def rebuild(parts: Parts) -> Grant:
    """Close both sites, and write journal and register anew: the survivor's agent then opens its site.

    May be repeated after a crash anywhere. The register comes last, so that
    until then the witness counts as one that has forgotten.
    """
    await _refuse_unless_lost(parts)
    facts, (seen, entries) = await _looks(parts), await _witness(parts)
    survivor(parts.plan, facts)  # raises before anything is closed
    term = _term(facts, seen, entries)
    for site in parts.sites.values():
        await site.close(guard=Guard(term, 0))
    facts = await _looks(parts)  # no epoch changes any more
    grant = replace(_new_grant(parts, facts, seen, term), nonce=parts.nonce())
    grant = await _accepted(parts, grant)
    await _write_journal(parts, grant, begun=len(entries))
    if seen is None:
        return (await parts.register.create(grant)).grant
    return (await parts.register.compare_and_set(seen, grant)).grant


async def _refuse_unless_lost(parts: Parts) -> None:
    if not await what_is_lost(parts):
        raise Refused(
            "the witness shows all that the sites have seen of it, so there is nothing to rebuild. "
            "Nothing was changed. `cutover status` says where the migration stands."
        )


def _new_grant(parts: Parts, facts: Mapping[str, SiteFacts], seen: Registered | None, term: int) -> Grant:
    known = seen.grant if seen else None
    epoch = 1 + max(known.epoch if known else 0, *(one.fence.epoch for one in facts.values()))
    return rebuilt(parts.plan, facts, known, digest=plan_digest(parts.plan), epoch=epoch, term=term)


def _term(facts: Mapping[str, SiteFacts], seen: Registered | None, entries: Sequence[Entry]) -> int:
    return newest_term(facts, seen.grant if seen else None, replay(entries).term) + TERM_LEAP


async def _accepted(parts: Parts, grant: Grant) -> Grant:
    """Under an epoch that both sites take for newer than all they have seen."""
    for epoch in range(grant.epoch, grant.epoch + EPOCHS_MAX):
        offered = [
            await site.remember_register(epoch=epoch, revision=grant.revision)
            for site in parts.sites.values()
        ]
        if all(offered):
            parted = grant.parted and replace(grant.parted, epoch=epoch)
            return replace(grant, epoch=epoch, parted=parted)
    raise Refused(
        f"no epoch up to {grant.epoch + EPOCHS_MAX - 1} is newer than what both sites have seen. Both are "
        f"closed. Ask who has written to their records."
    )


async def _write_journal(parts: Parts, grant: Grant, *, begun: int) -> None:
    """Go on behind what is left of it, or begin anew with the plan; nobody starts over from preflight."""
    first: dict[str, object] = {"plan": plan_to_json(parts.plan), "digest": plan_digest(parts.plan)}
    if not begun:
        await parts.journal.append(_entry(parts, grant, 0, Kind.PLAN, first))
    move = _entry(parts, grant, max(1, begun), Kind.MOVE, {"epoch": grant.epoch, "serving": grant.serving})
    because = f"the witness had lost its memory; {grant.serving!r} has the newest epoch of both sites"
    stage, direction = Stage.PARTED.value, Direction.FORWARD.value
    await parts.journal.append(replace(move, stage=stage, direction=direction, because=because))


def _entry(parts: Parts, grant: Grant, n: int, kind: Kind, facts: dict[str, object]) -> Entry:
    at = parts.clock.stamp()
    return Entry(n=n, term=grant.term, kind=kind, nonce=parts.nonce(), facts=facts, at=at)


async def _looks(parts: Parts) -> dict[str, SiteFacts]:
    return {name: await site.look() for name, site in parts.sites.items()}


async def _witness(parts: Parts) -> tuple[Registered | None, list[Entry]]:
    seen, entries = await parts.register.read(), await parts.journal.read()
    if seen is not None and seen.grant.migration != plan_digest(parts.plan):
        raise Refused(
            f"the witness holds the register of another migration than {parts.plan.name!r}: the outputs "
            f"name another prefix, or the plan was edited. Nothing was changed."
        )
    if entries:
        check_plan(parts.plan, entries[0])
    return seen, entries


def _journal_forgot(looks: Mapping[str, SiteFacts | None], entries: Sequence[Entry]) -> list[str]:
    """A guard names the entry that ordered it: so that entry was in the journal."""
    return [
        f"site {site!r} has carried out entry {facts.fence.guard.entry} of a journal, yet the one at the "
        f"witness has {len(entries)} entries"
        for site, facts in looks.items()
        if facts is not None and facts.fence.guard.entry >= max(1, len(entries))
    ]
