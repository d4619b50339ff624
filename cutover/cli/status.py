"""`cutover status`: where a migration stands, what it waits for, and what to do next."""

import asyncio
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cutover.cli.answer import Answer, Outcome, answer_to
from cutover.cli.options import JsonOption, PlanOption, StackOption, WatchOption
from cutover.model.stage import Stage

if TYPE_CHECKING:
    from cutover.cli.migration import Migration
    from cutover.model.observation import Observation, SiteFacts
    from cutover.model.register import Parting, Unsent
    from cutover.protocol.replay import State

LOOK_SECONDS = 1.0
"""Pause between two looks of `--watch`."""

LAG_LOOKS = 5
LAG_SECONDS = 0.2
"""Looks, and the pause between them, until it is known when the target last had everything."""


def status(
    *,
    plan: PlanOption = None,
    stack: StackOption = None,
    watch: WatchOption = False,
    json: JsonOption = False,
) -> Answer:
    """Say where a migration stands, who serves, what it waits for, and what to do next.

    Changes nothing. With `--watch`, go on until the migration has ended.
    """
    return asyncio.run(_watch(plan, stack, json=json) if watch else _once(plan, stack))


async def _once(plan: Path | None, stack: str | None) -> Answer:
    from cutover.cli.migration import chosen

    async with chosen(plan, stack) as migration:
        return await look(migration)


async def _watch(plan: Path | None, stack: str | None, *, json: bool) -> Answer:
    from cutover.cli.migration import chosen

    shown = None
    async with chosen(plan, stack) as migration:
        while True:
            answer = await _look_or_say_why(migration)
            if answer.stage in (Stage.COMPLETE, Stage.ROLLED_BACK) and not answer.waiting_for:
                return answer
            line = answer.to_json() if json else _line(answer)
            if line != shown:
                sys.stdout.write(line + "\n")
                sys.stdout.flush()
                shown = line
            await asyncio.sleep(LOOK_SECONDS)


async def _look_or_say_why(migration: "Migration") -> Answer:
    """One look; a witness that does not answer now may answer at the next."""
    from cutover.errors import Inconclusive, SiteUnreachable

    try:
        return await look(migration)
    except (SiteUnreachable, Inconclusive) as error:
        return answer_to(error)


def _line(answer: Answer) -> str:
    stage = answer.stage.value.replace("_", " ") if answer.stage else "unknown"
    parts = [f"{stage}: {answer.error or ''}".rstrip(": ")]
    if answer.waiting_for:
        parts.append(f"waiting until {answer.waiting_for}")
    return "; ".join(parts)


async def look(migration: "Migration") -> Answer:
    """One look, as an answer."""
    from cutover.engine.journalling import state_of
    from cutover.engine.observe import look_at_both
    from cutover.protocol.advance import ENDED
    from cutover.protocol.moves import Wait

    parts, plan = migration.parts, migration.parts.plan
    state = await state_of(parts)
    if state is None:
        return Answer(
            stage=Stage.PREFLIGHT,
            text=f"{plan.name} has not begun",
            next_steps=(f"cutover plan check {migration.selection.path}",
                        f"cutover run {migration.selection.path}"),
        )  # fmt: skip
    seen = await _observe(migration, state)
    decision = parts.advance(plan, state, seen)
    if state.pending:  # the engine did not look at the sites: that is not a site which does not answer
        facts = await look_at_both(parts)
        seen = replace(seen, source=facts[plan.source], target=facts[plan.target])
    resting = state.stage in ENDED and not state.pending
    silent = [name for name, facts in _sites(migration, seen).items() if facts is None]
    return Answer(
        outcome=Outcome.UNREACHABLE if silent and not resting else Outcome.DONE,
        stage=state.stage,
        waiting_for=decision.until if isinstance(decision, Wait) and not resting else None,
        error=f"{', '.join(silent)} did not answer" if silent and not resting else None,
        next_steps=_next_steps(migration, state, seen),
        text="\n".join(_told(migration, state, seen)),
        details=_details(migration, state, seen),
    )


async def _observe(migration: "Migration", state: "State") -> "Observation":
    """Look until the lag is known: under load no single look finds the target at the very end."""
    from math import isinf

    from cutover.engine.observe import Observer

    observer = Observer(migration.parts)
    seen = await observer.look(state)
    for _ in range(LAG_LOOKS):
        if not isinf(seen.lag_seconds) or state.stage not in (Stage.CATCH_UP, Stage.VERIFY, Stage.SOAK):
            break
        await asyncio.sleep(LAG_SECONDS)
        seen = await observer.look(state)
    return seen


def _sites(migration: "Migration", seen: "Observation") -> dict[str, "SiteFacts | None"]:
    plan = migration.parts.plan
    return {plan.source: seen.source, plan.target: seen.target}


def _next_steps(migration: "Migration", state: "State", seen: "Observation") -> tuple[str, ...]:
    command = migration.selection.command
    if state.paused:
        return (command("resume"),)
    if any(facts is not None and facts.brake for facts in (seen.source, seen.target)):
        return (command("brake status"), command("brake release"))
    kept = (command("quarantine list"),) if _kept(seen) else ()
    if seen.grant.parted is not None and state.stage not in (Stage.COMPLETE, Stage.ROLLED_BACK):
        return (*_while_parted(migration, state, seen), *kept)
    if (survivor := _left_alone(migration, state, seen)) is not None:
        return (command("status --watch"), command(f"promote {survivor}"))
    return (*kept, *migration.next_steps(state.stage))


def _while_parted(migration: "Migration", state: "State", seen: "Observation") -> tuple[str, ...]:
    """The site that was left is on its way home, or is gone."""
    command = migration.selection.command
    asks = migration.parts.plan.gates.approve_merge or state.listed_brake is not None
    asked = asks and state.listed and not state.merge_approved
    if asked and not state.merged:
        return (command("stranded list"), command("stranded merge"))
    steps = (command("status --watch"), f"cutover run {migration.selection.path}", command("stranded list"))
    silent = None in (seen.source, seen.target)
    return (*steps, command("abandon")) if silent else steps


def _left_alone(migration: "Migration", state: "State", seen: "Observation") -> str | None:
    """The site that an operator could promote: its peer serves, does not answer, and has earned nothing."""
    sites, serving = _sites(migration, seen), seen.grant.serving
    other = migration.parts.plan.peer(serving)
    gone = sites[serving] is None and sites[other] is not None
    return other if gone and other in seen.grant.eligible else None


def _kept(seen: "Observation") -> int:
    """Versions in quarantine that nobody has decided on, at the sites that answer."""
    return sum(facts.kept for facts in (seen.source, seen.target) if facts is not None)


def _told(migration: "Migration", state: "State", seen: "Observation") -> list[str]:
    back = " (back)" if state.direction.value == "back" and state.stage is not Stage.ROLLED_BACK else ""
    paused = ", paused" if state.paused else ""
    lines = [f"{migration.parts.plan.name}: {state.stage.value.replace('_', ' ')}{back}{paused}"]
    lines.append(f"{seen.grant.serving} serves under epoch {seen.grant.epoch}{_lag(state, seen)}")
    lines += _promotable(migration, state, seen)
    lines += [f"{name}: {_site(facts)}" for name, facts in _sites(migration, seen).items()]
    if state.pending:
        lines.append(f"left to do: {', '.join(action.name for action in state.pending)}")
    return lines


def _promotable(migration: "Migration", state: "State", seen: "Observation") -> list[str]:
    """Who may take over if the serving site dies now, or who was left when that happened."""
    from cutover.cli.stranded import bound

    grant = seen.grant
    if grant.parted is not None:
        parted = grant.parted
        told = (
            f"parted since epoch {parted.epoch}: {parted.left} was left, its peer promoted by an {parted.by}"
        )
        stranded = f"stranded at {parted.left}, at most: {bound(parted.unsent)}"
        return [told] if state.merged else [told, stranded]
    peer = migration.parts.plan.peer(grant.serving)
    if peer not in grant.eligible:
        return []
    if peer not in grant.behind:
        return [f"{peer} is eligible: it takes over by itself if {grant.serving} dies"]
    unsent = bound(grant.unsent)
    return [f"{peer} is behind: only `cutover promote {peer}` lets it take over, without {unsent}"]


def _lag(state: "State", seen: "Observation") -> str:
    """How far the other site is behind; nobody follows before a migration copies, and after it has ended."""
    if state.stage in (Stage.PREFLIGHT, Stage.COMPLETE, Stage.ROLLED_BACK):
        return ""
    seconds = seen.lag_seconds
    return (
        f", its peer is {seconds:.2f} s behind"
        if seconds < 1e9
        else ", how far its peer is behind is unknown"
    )


def _site(facts: "SiteFacts | None") -> str:
    if facts is None:
        return "unknown, it does not answer"
    said = [f"fence {facts.fence.state.value}"]
    if facts.following:
        said.append("follows its peer")
    if facts.tables_pending:
        said.append(f"{facts.tables_pending} table(s) not yet copied")
    if facts.rows_copied:
        said.append(f"{facts.rows_copied} rows copied")
    if facts.set_aside:
        said.append(f"{facts.set_aside} row(s) set aside")
    if facts.kept:
        said.append(f"{facts.kept} version(s) in quarantine to decide on")
    if facts.brake:
        said.append(f"brake: {facts.brake}")
    return ", ".join(said)


def _details(migration: "Migration", state: "State", seen: "Observation") -> dict[str, object]:
    return {
        "name": migration.parts.plan.name,
        "direction": state.direction.value,
        "paused": state.paused,
        "serving": seen.grant.serving,
        "epoch": seen.grant.epoch,
        "eligible": list(seen.grant.eligible),
        "behind": list(seen.grant.behind),
        "unsent": _bound(seen.grant.unsent),
        "parted": _parted_details(seen.grant.parted),
        "quarantine": _kept(seen),
        "lag_seconds": round(seen.lag_seconds, 3) if seen.lag_seconds < 1e9 else None,
        "drains": state.drains,
        "pending": [action.name for action in state.pending],
        "journal_entries": state.next_n,
        "sites": {name: _site_details(facts) for name, facts in _sites(migration, seen).items()},
    }


def _bound(unsent: "Unsent") -> dict[str, object]:
    """What the peer of the serving site may lack; None: unknown."""
    return {"seconds": unsent.seconds, "transactions": unsent.transactions}


def _parted_details(parted: "Parting | None") -> dict[str, object] | None:
    if parted is None:
        return None
    return {"left": parted.left, "epoch": parted.epoch, "by": parted.by, "bound": _bound(parted.unsent)}


def _site_details(facts: "SiteFacts | None") -> dict[str, object] | None:
    """None: the site did not answer, so nothing is known of it."""
    if facts is None:
        return None
    return {
        "fence": facts.fence.state.value,
        "epoch": facts.fence.epoch,
        "lease_live": facts.fence.lease_live,
        "following": facts.following,
        "end": str(facts.end),
        "applied": str(facts.applied) if facts.applied else None,
        "tables_pending": facts.tables_pending,
        "rows_copied": facts.rows_copied,
        "set_aside": facts.set_aside,
        "kept": facts.kept,
        "brake": facts.brake,
        "log_kept": facts.slot,
    }
