"""Money is conserved: each acknowledged entry is there once with its amount, and every account adds up."""

from collections import Counter

from drill.checkers.evidence import Evidence
from drill.checkers.record import integer, unread
from drill.checkers.surviving import entries
from drill.checkers.surviving.tally import Tally, tally_of
from drill.history import History, Operation
from drill.verdict import Finding

NAME = "ledger"


def ledger(history: History, evidence: Evidence) -> Finding:
    """Judge the serving site's ledger entry by entry, then by account."""
    tally = tally_of(history, evidence)
    if tally is None:
        return unread(NAME)
    tally.look(entries.ledger)
    _sums(tally)
    return tally.finding(NAME)


def _sums(tally: Tally) -> None:
    """Compare what each account holds with what it must and may hold (cents)."""
    held: Counter[str] = Counter()
    for row in tally.stores.ledger.values():
        held[row.account] += row.cents
    least, most = _bounds(tally)
    for account in sorted(held.keys() | least.keys()):
        low, high = least[account], most[account]
        if not low <= held[account] <= high:
            what = (
                f"account {account} holds {held[account]} cents at {tally.stores.site}, and must hold "
                f"{low if low == high else f'{low} to {high}'}"
            )
            tally.foreign("wrong_accounts", account, what)


def _bounds(tally: Tally) -> tuple[Counter[str], Counter[str]]:
    least: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for row in tally.before.ledger.values():
        least[row.account] += row.cents
        most[row.account] += row.cents
    for operation in tally.history.of("earn"):
        if operation.possible:
            account, cents = _asked(operation)
            certain = operation.ok and not tally.optional(operation) and not _held_back(tally, operation)
            least[account] += cents if certain else min(0, cents)
            most[account] += cents if certain else max(0, cents)
    return least, most


def _asked(operation: Operation) -> tuple[str, int]:
    asked = operation.asked
    return str(asked.get("account", operation.key)), integer(asked.get("cents")) or 0


def _held_back(tally: Tally, operation: Operation) -> bool:
    held = tally.stores.hidden.get("ledger")
    if not held:
        return False
    return str(operation.answered.get("entry")) in held or operation.invoke.request in held
