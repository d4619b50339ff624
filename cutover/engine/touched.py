"""Which rows the stream has touched that a chunk may not have seen."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from cutover.model.change import Key, Transaction, Truncate
from cutover.model.position import Position, Snapshot
from cutover.protocol.copying import keys_touched


@dataclass(slots=True)
class Touched:
    """Keys met in the log, until every later snapshot is sure to see their transaction.

    The log shows a transaction before readers see it, so what was applied just
    before a chunk was read may be missing in the chunk. After a restart the
    keys must be known again: so the log is confirmed only up to where all is
    visible, and what comes again from it is noted and not applied.
    """

    _xids: dict[str, dict[Key, int]] = field(default_factory=dict)
    _unseen: deque[tuple[Position, int]] = field(default_factory=deque)
    _visible: Position | None = None
    _emptied: dict[str, int] = field(default_factory=dict)

    def note(self, transaction: Transaction) -> None:
        """Remember what a transaction touched."""
        for table, key in keys_touched(transaction):
            self._xids.setdefault(table, {})[key] = transaction.xid
        for change in transaction.changes:
            if isinstance(change, Truncate):
                self._emptied |= dict.fromkeys(change.tables, transaction.xid)
        self._unseen.append((transaction.position, transaction.xid))

    def emptied_since(self, table: str, snapshot: Snapshot) -> bool:
        """Whether a chunk of this table, read in `snapshot`, holds rows that a truncate removed."""
        return table in self._emptied and not snapshot.sees(self._emptied[table])

    def of(self, table: str) -> Iterable[tuple[Key, int]]:
        """Keys of one table, with the transaction that touched each last."""
        return self._xids.get(table, {}).items()

    def saw(self, snapshot: Snapshot) -> None:
        """Forget what this and every later snapshot sees."""
        for table, xids in self._xids.items():
            self._xids[table] = {key: xid for key, xid in xids.items() if not snapshot.past(xid)}
        while self._unseen and snapshot.past(self._unseen[0][1]):
            self._visible = self._unseen.popleft()[0]

    def confirmable(self, durable: Position) -> Position | None:
        """How far the log may be forgotten while tables are being copied.

        What is visible at the peer may not be on this site's disk yet, and what
        is on the disk may not be visible: the log is kept from the lesser on.
        """
        if not self._unseen:
            return durable
        if self._visible is None or durable.reaches(self._visible):
            return self._visible
        return durable
