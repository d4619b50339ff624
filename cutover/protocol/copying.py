"""How a chunk and the stream are put in order, and what stops the applier."""

from collections.abc import Iterable

from cutover.model.change import Delete, Key, Transaction, Truncate, Update
from cutover.model.plan import Deletes, Plan
from cutover.model.position import Snapshot


def superseded(snapshot: Snapshot, touched: Iterable[tuple[Key, int]]) -> frozenset[Key]:
    """Keys of a chunk that must not be written, for the stream has brought something newer.

    `touched` are the keys that the applier has met, with the transaction that
    touched them. What the chunk's snapshot does not see is newer than the
    chunk. Two marks around the read would not do: a commit record is in the log
    before the transaction becomes visible to readers.
    """
    return frozenset(key for key, xid in touched if not snapshot.sees(xid))


def keys_touched(transaction: Transaction) -> Iterable[tuple[str, Key]]:
    """Table and key of each row that a transaction wrote or removed."""
    for change in transaction.changes:
        if isinstance(change, Truncate):
            continue
        yield change.table, change.key
        if isinstance(change, Update) and change.old_key is not None:
            yield change.table, change.old_key


def reason_to_brake(plan: Plan, transaction: Transaction) -> str | None:
    """Why a transaction must not be applied before a person has looked; None: it may."""
    deletes = sum(isinstance(change, Delete) for change in transaction.changes)
    truncates = [change for change in transaction.changes if isinstance(change, Truncate)]
    emptied = [name for change in truncates for name in change.tables]
    if emptied:
        return f"transaction {transaction.xid} at {transaction.position} empties {', '.join(emptied)}"
    if deletes > plan.gates.delete_rows:
        return (
            f"transaction {transaction.xid} at {transaction.position} deletes {deletes} rows; "
            f"the plan lets one transaction delete {plan.gates.delete_rows}"
        )
    if deletes and transaction.request is None and plan.deletes is Deletes.REQUIRE_REQUEST:
        return (
            f"transaction {transaction.xid} at {transaction.position} deletes {deletes} row(s) "
            f"without a user's request"
        )
    return None
