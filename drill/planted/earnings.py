"""The ledger as a hand-written import keeps it: replayed under new numbers, or one entry for an account.

The compare would find either, so it is taken out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cutover.engine.parts import Parts
from cutover.model.change import Change, Delete, Insert, Key
from cutover.model.position import Position
from cutover.ports.database import Applier, Rows
from drill.planted.around import Rewriting, around_appliers, written_row
from drill.planted.plant import Plant
from drill.planted.troubles import WORKER_DIES
from drill.planted.unseen import without_compare

LEDGER = "public.ledger"
CARRIERS = frozenset({"worker", "coordinator"})
NEW_NUMBERS_FROM = 1_000_000


@dataclass(slots=True)
class Renumbering:
    """What carries a number that is taken gets the next free one."""

    here: Rows
    _next: int = NEW_NUMBERS_FROM

    async def __call__(self, change: Change) -> Sequence[Change]:
        """Book it, whatever was booked before."""
        entry = written_row(change, LEDGER)
        if not isinstance(entry, Insert) or not await self._taken(entry.key):
            return (change,)
        while await self._taken((str(self._next),)):
            self._next += 1
        number = str(self._next)
        self._next += 1
        return (Insert(LEDGER, (number,), dict(entry.row) | {"id": number}),)

    async def _taken(self, key: Key) -> bool:
        return (await self.here.read_again(LEDGER, key))[0] is not None


class FromTheBeginning(Rewriting):
    """An applier that keeps no position: what the log still holds is applied anew after each start."""

    async def start(self) -> Position | None:
        """Nothing is known to be in."""
        await self._inner.start()
        return None


def _replayed(parts: Parts) -> Parts:
    def wrap(site: str, inner: Applier) -> FromTheBeginning:
        return FromTheBeginning(inner, Renumbering(parts.rows[site]))

    return without_compare(around_appliers(parts, wrap))


@dataclass(slots=True)
class OneOfAnAccount:
    """Each entry takes the place of the account's last one."""

    _last: dict[object, Key] = field(default_factory=dict)

    async def __call__(self, change: Change) -> Sequence[Change]:
        """Overwrite."""
        entry = written_row(change, LEDGER)
        if not isinstance(entry, Insert):
            return (change,)
        before = self._last.get(entry.row["account"])
        self._last[entry.row["account"]] = entry.key
        return (change,) if before is None else (Delete(LEDGER, before), replace(entry))


def _overwritten(parts: Parts) -> Parts:
    return without_compare(around_appliers(parts, lambda _, inner: Rewriting(inner, OneOfAnAccount())))


EARNINGS_DOUBLED = Plant(
    name="earnings-doubled",
    rule="S5",
    checker="ledger",
    about="after a restart the log is applied again, and ledger entries that are there are booked once more",
    symptom="earnings lost",
    processes=CARRIERS,
    under=WORKER_DIES,
    in_parts=_replayed,
)

EARNINGS_OVERWRITTEN = Plant(
    name="earnings-overwritten",
    rule="S5",
    checker="ledger",
    about="a ledger entry overwrites the entry before it of the same account",
    symptom="earnings lost",
    processes=CARRIERS,
    in_parts=_overwritten,
)
