"""`cutover stranded`: what a site had acknowledged and not sent when its peer was promoted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cutover.cli.answer import Answer
from cutover.cli.options import PlanOption, StackOption

if TYPE_CHECKING:
    from cutover.engine.parts import Parts
    from cutover.model.journal import Entry
    from cutover.model.plan import Plan
    from cutover.model.register import Grant, Unsent

Facts = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranding:
    """The newest parting, and what has become of it."""

    left: str
    epoch: int  #: under which its peer was promoted
    over: bool  #: both sites are one again
    unsent: "Unsent | None" = None  #: the bound, while the parting stands
    by: str | None = None
    listed: Facts | None = None  #: what the journal keeps of the listing
    merged: Facts | None = None

    def to_json(self) -> dict[str, object]:
        bound = None
        if self.unsent is not None:
            bound = {"seconds": self.unsent.seconds, "transactions": self.unsent.transactions}
        return {
            "left": self.left,
            "epoch": self.epoch,
            "by": self.by,
            "over": self.over,
            "bound": bound,
            "listed": dict(self.listed) if self.listed is not None else None,
            "merged": dict(self.merged) if self.merged is not None else None,
        }


def list_stranded(*, plan: PlanOption = None, stack: StackOption = None) -> Answer:
    """Say what is stranded at a site whose peer was promoted without a drain.

    While that site is gone this is a bound: what it may have acknowledged and
    not sent when it last renewed its lease. Once it is back, it stays closed,
    and every row is listed from its log. Changes nothing.
    """
    import asyncio

    return asyncio.run(_list(plan, stack))


def merge(*, plan: PlanOption = None, stack: StackOption = None) -> Answer:
    """Let what was listed be merged into what the survivor serves.

    Needed where the plan says `approve_merge`, and where what is stranded deletes
    what the brake would have held; read `stranded list` first.
    Nothing is discarded: where both sites changed a row, the version that loses
    goes to quarantine. The merge itself cannot be taken back.
    """
    import asyncio

    return asyncio.run(_merge(plan, stack))


async def _list(plan: Path | None, stack: str | None) -> Answer:
    from cutover.cli.migration import chosen

    async with chosen(plan, stack) as migration:
        state, found = await migration.state(), await newest_stranding(migration.parts)
        waits = found is not None and not found.over and found.listed is not None and found.merged is None
        brake = found is not None and found.listed is not None and "brake" in found.listed
        asked = waits and (migration.parts.plan.gates.approve_merge or brake)
        after = ("stranded merge", "status") if asked else ("status",)
        return Answer(
            stage=state.stage,
            text="\n".join(described(found)),
            next_steps=tuple(migration.selection.command(words) for words in after),
            details={"stranding": found.to_json() if found else None},
        )


async def _merge(plan: Path | None, stack: str | None) -> Answer:
    from cutover.cli.migration import chosen

    async with chosen(plan, stack) as migration:
        state = await migration.state()
        found = await ask_to_merge(migration.parts)
        return Answer(
            stage=state.stage,
            text=f"asked to merge what {found.left!r} had not sent. A running coordinator reads it within a "
            f"second.",
            next_steps=(
                migration.selection.command("status --watch"),
                f"cutover run {migration.selection.path}",
            ),
            details={"stranding": found.to_json()},
        )


async def ask_to_merge(parts: "Parts") -> Stranding:
    """Write the operator's word into the journal; Refused unless there is a listing to agree to."""
    from cutover.engine.journalling import ask
    from cutover.errors import Refused
    from cutover.model.journal import Intent

    found = await newest_stranding(parts)
    against = reason_against_merging(found)
    if against is not None or found is None:
        raise Refused(f"{against} Nothing was changed.")
    await ask(parts, Intent.MERGE)
    return found


def reason_against_merging(found: Stranding | None) -> str | None:
    """Why there is nothing to agree to; None: there is."""
    if found is None:
        return "no site was ever left in this migration, so nothing is stranded."
    if found.merged is not None:
        return f"what {found.left!r} had not sent is merged already (`cutover stranded list`)."
    if found.listed is None:
        return (
            f"what is stranded at {found.left!r} is not listed yet: the site is not back, or no coordinator "
            f"runs (`cutover status`). Whoever agrees to a merge should have read the list."
        )
    return None


async def newest_stranding(parts: "Parts") -> Stranding | None:
    """What register and journal say of the newest parting; None when there was none."""
    registered = await parts.register.read()
    return stranding(parts.plan, registered.grant if registered else None, await parts.journal.read())


def stranding(plan: "Plan", grant: "Grant | None", entries: Sequence["Entry"]) -> Stranding | None:
    """The same, from what was read."""
    journalled = _journalled(plan, entries)
    parted = grant.parted if grant else None
    if parted is None:
        return replace(journalled, over=True) if journalled else None
    known = journalled if journalled is not None and journalled.epoch == parted.epoch else None
    return Stranding(
        left=parted.left,
        epoch=parted.epoch,
        over=False,
        unsent=parted.unsent,
        by=parted.by,
        listed=known.listed if known else None,
        merged=known.merged if known else None,
    )


def _journalled(plan: "Plan", entries: Sequence["Entry"]) -> Stranding | None:
    """Fold the entries: a move to `parted` under a new epoch begins another parting."""
    found: Stranding | None = None
    for entry in entries:
        if entry.stage == "parted" and entry.kind.value == "move":
            epoch, serving = int(str(entry.facts["epoch"])), str(entry.facts["serving"])
            if found is None or found.epoch != epoch:
                found = Stranding(left=plan.peer(serving), epoch=epoch, over=False)
        if found is None or entry.kind.value != "done":
            continue
        name = entry.actions[0]["action"]
        if name == "list-stranded":
            found = replace(found, listed=entry.facts)
        elif name == "merge-stranded":
            found = replace(found, merged=entry.facts)
    return found


def described(found: Stranding | None) -> list[str]:
    """For people."""
    if found is None:
        return ["no site was ever left: nothing is stranded"]
    lines = [f"{found.left} was left when its peer was promoted under epoch {found.epoch}"]
    if found.over:
        lines[0] += "; both sites are one again"
    if found.listed is not None:
        lines += _listing(found.listed)
    elif found.unsent is not None:
        lines.append(f"stranded there: {bound(found.unsent)}. It is listed once that site is back")
    if found.merged is not None:
        lines += _outcome(found.merged)
    return lines


def bound(unsent: "Unsent") -> str:
    """The most that a site may have acknowledged and its peer not have."""
    count = "an unknown number of" if unsent.transactions is None else f"up to {unsent.transactions}"
    seconds = "an unknown time" if unsent.seconds is None else f"{unsent.seconds:.1f} s"
    since = f"{count} transaction(s) of {seconds} before its last renewal"
    return f"{since}, and what it wrote within its last lease"


def _listing(listed: Facts) -> list[str]:
    tables, keys, repeated = listed.get("tables"), listed.get("keys"), listed.get("repeated")
    counted = [f"{n} of {table}" for table, n in tables.items()] if isinstance(tables, Mapping) else []
    again = f"; {repeated} row(s) of requests that both sites carried out" if repeated else ""
    said = f"listed: {listed.get('transactions')} transaction(s), {listed.get('rows')} row(s)"
    named = [f"    {key}" for key in keys] if isinstance(keys, list) else []
    brake = [f"    look first: {listed['brake']}"] if listed.get("brake") else []
    return [f"{said}: {', '.join(counted) or 'none'}{again}", *brake, *named]


def _outcome(merged: Facts) -> list[str]:
    why = merged.get("why")
    changed = f"merged: {merged.get('merged')} of {merged.get('rows')} row(s) changed"
    reasons = [f"    {n}: {reason}" for reason, n in why.items()] if isinstance(why, Mapping) else []
    return [f"{changed}, {merged.get('kept')} version(s) kept in quarantine", *reasons]
